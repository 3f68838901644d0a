"""Owns the recorder's pod: command, environment, mounts, probes, Pod Security *restricted*. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from egress_operator import resources
from egress_operator.api import Spec
from egress_operator.api_storage import Place
from egress_operator.destinations import claims, credential_secrets
from egress_operator.model import Document
from egress_operator.settings import Settings
from egress_operator.units import parse_quantity
from egress_recorder.contract import CONTROL_PORT

CONFIG_DIRECTORY: Final = "/etc/egress/recording"
CREDENTIALS_ROOT: Final = "/etc/egress/credentials"
VOLUMES_ROOT: Final = "/mnt/egress"
SCRATCH: Final = "/scratch"
TERMINATION_LOG: Final = "/dev/termination-log"
SCRATCH_SIZE: Final = "10Gi"
USER: Final = 65532
"""`nonroot` of the usual base images."""

ARGUMENTS: Final = (
    "run",
    "--config-dir",
    CONFIG_DIRECTORY,
    "--credentials-root",
    CREDENTIALS_ROOT,
    "--volumes-root",
    VOLUMES_ROOT,
    "--scratch",
    SCRATCH,
    "--termination-log",
    TERMINATION_LOG,
    "--bind",
    f"$(POD_IP):{CONTROL_PORT}",
)

_FIXED: Final = ("nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "serviceAccountName",
                 "priorityClassName", "runtimeClassName", "imagePullSecrets")  # fmt: skip
"""Fields of a template that are the pod's own, as they are."""


def pod_spec(
    spec: Spec,
    settings: Settings,
    *,
    template: Document,
    secret: str,
    places: Sequence[Place],
    spares: Sequence[Place] = (),
) -> Document:
    """Return the pod's spec for one part.

    `template`: what is asked of the pod, the operator's defaults and the resource's own in one (`podtemplate.merged`);
    `places`: the destination of each output; `spares`: the backup storages.
    """
    volumes, mounts = _volumes(places, spares, secret, scratch_bytes(template))
    pod: Document = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": settings.termination_grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [*volumes, *template.get("volumes", ())],
    }
    pod |= {name: template[name] for name in _FIXED if template.get(name)}
    container = _container(settings, mounts=[*mounts, *template.get("volumeMounts", ())])
    container["env"] = [*_environment(), *template.get("env", ())]
    container["resources"] = resources.of_recorder(spec, settings, template.get("resources") or {})
    pod["containers"] = [container]
    return pod


def _container(settings: Settings, *, mounts: list[Document]) -> Document:
    return {
        "name": "recorder",
        "image": settings.recorder_image,
        "imagePullPolicy": settings.pull_policy,
        "command": list(settings.recorder_command),
        "args": list(ARGUMENTS),
        "ports": [{"name": "control", "containerPort": CONTROL_PORT}],
        "readinessProbe": _probe("/readyz", period=1, failures=3),
        "livenessProbe": _probe("/livez", period=10, failures=6) | {"initialDelaySeconds": 15},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "volumeMounts": mounts,
    }


def scratch_bytes(template: Mapping[str, Any]) -> int:
    """Return how much the scratch volume may hold: the kubelet evicts a pod with more, so its recorder must know."""
    return parse_quantity(template.get("scratchSize") or SCRATCH_SIZE)


def _environment() -> list[Document]:
    return [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 - a mounted emptyDir
        {"name": "TMPDIR", "value": "/tmp"},  # noqa: S108
    ]


def _probe(path: str, *, period: int, failures: int) -> Document:
    return {
        "httpGet": {"path": path, "port": CONTROL_PORT},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _volumes(
    places: Sequence[Place], spares: Sequence[Place], secret: str, scratch: int
) -> tuple[list[Document], list[Document]]:
    # Mode 0440 and fsGroup: root owns the files, the recorder's group reads them.
    volumes: list[Document] = [
        {"name": "recording", "secret": {"secretName": secret, "defaultMode": 0o440}},
        {"name": "scratch", "emptyDir": {"sizeLimit": str(scratch)}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
    ]
    mounts: list[Document] = [
        {"name": "recording", "mountPath": CONFIG_DIRECTORY, "readOnly": True},
        {"name": "scratch", "mountPath": SCRATCH},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a mounted emptyDir
    ]
    every, needed = (*places, *spares), frozenset(credential_secrets(places))
    for index, name in enumerate(credential_secrets(every)):
        mounted: Document = {"secretName": name, "defaultMode": 0o440}
        if name not in needed:
            mounted["optional"] = (
                True  # a backup without its Secret is a warning, never a recording that waits
            )
        volumes.append({"name": f"credentials-{index}", "secret": mounted})
        mounts.append(
            {"name": f"credentials-{index}", "mountPath": f"{CREDENTIALS_ROOT}/{index}", "readOnly": True}
        )
    for index, name in enumerate(claims(every)):
        volumes.append({"name": f"volume-{index}", "persistentVolumeClaim": {"claimName": name}})
        mounts.append({"name": f"volume-{index}", "mountPath": f"{VOLUMES_ROOT}/{index}"})
    return volumes, mounts
