"""Owns what a container's process is given: environment, command line, rewritten paths. Pure but for the look-ups."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from devstack.kubeapi import Object

Lookup = Callable[[str, str], Object | None]
"""(``secrets`` or ``configmaps``, name) → object of the pod's namespace, None when there is none."""

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_BRACKETED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ContainerConfigError(Exception):
    """The container cannot be made from its spec now (kubelet's CreateContainerConfigError); it is tried again."""


@dataclass(frozen=True, slots=True)
class PodPaths:
    """Where the container's file system would be: ``root`` holds every mount path as a link to its volume."""

    root: Path
    mounts: Sequence[str]

    def rewrite(self, text: str) -> str:
        """Return ``text`` with a path that starts it, or follows a ``=``, moved below the root if it is a mount's.

        A directory above several mounts (two components at least) is moved as well: it exists below the root.
        """
        for known in sorted({*self.mounts, *self._ancestors()}, key=len, reverse=True):
            below = r"(?=/|$)" if known in self.mounts else r"(?=/?$)"
            pattern = rf"(^|=){re.escape(known)}{below}"
            # No value of ours holds a backslash group: the replacement is literal but for the first group.
            text, count = re.subn(pattern, rf"\g<1>{_literal(f'{self.root}{known}')}", text)
            if count:
                return text
        return text

    def _ancestors(self) -> set[str]:
        parents = (str(parent) for mount in self.mounts for parent in PurePosixPath(mount).parents)
        return {parent for parent in parents if parent.count("/") >= 2}


def _literal(text: str) -> str:
    return text.replace("\\", r"\\")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Return ``text`` with ``$(NAME)`` replaced as the kubelet does; unknown names stay, ``$$`` is one dollar."""

    def replacement(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else environment.get(name, match.group(0))

    return _REFERENCE.sub(replacement, text)


def resolve_environment(container: Object, pod: Object, lookup: Lookup) -> dict[str, str]:
    """Return the variables of ``env`` and ``envFrom``. Raises ContainerConfigError in the kubelet's words."""
    environment: dict[str, str] = {}
    for source in container.get("envFrom", []):
        prefix = source.get("prefix", "")
        for field, plural in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
            if field in source:
                found = _values(plural, source[field], lookup)
                environment.update({prefix + key: value.decode() for key, value in found.items()})
    for variable in container.get("env", []):
        if "valueFrom" in variable:
            value = _referenced(variable["valueFrom"], pod, lookup)
        else:
            value = expand(variable.get("value", ""), environment)
        if value is not None:
            environment[variable["name"]] = value
    return environment


def command_line(container: Object, environment: Mapping[str, str], entrypoint: Sequence[str]) -> list[str]:
    """Return command and arguments with variables expanded; without a command it is the image's entrypoint."""
    command = [*(container.get("command") or entrypoint), *container.get("args", [])]
    return [expand(part, environment) for part in command]


def data_of(item: Object) -> dict[str, bytes]:
    """Return the values of a Secret or ConfigMap."""
    if item["kind"] == "ConfigMap":
        return {key: value.encode() for key, value in (item.get("data") or {}).items()}
    return {key: b64decode(value) for key, value in (item.get("data") or {}).items()}


def _values(plural: str, reference: Object, lookup: Lookup) -> dict[str, bytes]:
    found = lookup(plural, reference["name"])
    if found is not None:
        return data_of(found)
    if reference.get("optional"):
        return {}
    kind = "secret" if plural == "secrets" else "configmap"
    raise ContainerConfigError(f'{kind} "{reference["name"]}" not found')


def _referenced(source: Object, pod: Object, lookup: Lookup) -> str | None:
    for field, plural, kind in (
        ("secretKeyRef", "secrets", "Secret"),
        ("configMapKeyRef", "configmaps", "ConfigMap"),
    ):
        if field in source:
            reference = source[field]
            value = _values(plural, reference, lookup).get(reference["key"])
            if value is not None:
                return value.decode()
            if reference.get("optional"):
                return None
            where = f"{kind} {pod['metadata']['namespace']}/{reference['name']}"
            raise ContainerConfigError(f"couldn't find key {reference['key']} in {where}")
    if "fieldRef" in source:
        return _field(source["fieldRef"]["fieldPath"], pod)
    raise ContainerConfigError(f"the pod runner does not know the env source {', '.join(source)}")


def _field(field: str, pod: Object) -> str:
    bracketed = _BRACKETED.fullmatch(field)
    if bracketed:
        return str(pod["metadata"].get(bracketed.group(1), {}).get(bracketed.group(2), ""))
    known = {
        "metadata.name": pod["metadata"]["name"],
        "metadata.namespace": pod["metadata"]["namespace"],
        "metadata.uid": pod["metadata"]["uid"],
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.podIP": pod.get("status", {}).get("podIP", ""),
        "status.podIPs": pod.get("status", {}).get("podIP", ""),
        "status.hostIP": pod.get("status", {}).get("hostIP", ""),
    }
    if field not in known:
        raise ContainerConfigError(f"the pod runner does not know the field {field}")
    return str(known[field])
