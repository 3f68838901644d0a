"""Owns a pod's volumes on disk: Secret directories with kubelet's atomic swap, scratch, claims; links them to a root."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from devstack.kubeapi import Object
from devstack.podrunner.environment import Lookup, data_of
from devstack.podrunner.scheduling import quantity

_DATA_LINK = "..data"


class MountError(Exception):
    """A volume cannot be mounted now (kubelet's FailedMount); it is tried again."""


class PodVolumes:
    """The volumes of one pod below ``directory``; claims are directories below ``claims``."""

    def __init__(self, pod: Object, directory: Path, claims: Path) -> None:
        self.root = directory / "root"
        self._directory, self._claims = directory / "volumes", claims
        self._volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        self._versions: dict[str, str] = {}

    def mount(self, container: Object, lookup: Lookup) -> list[str]:
        """Make all volumes, link them below the root, return the mount paths. Raises MountError."""
        paths = {name: self._make(volume, lookup) for name, volume in self._volumes.items()}
        mounts = {mount["mountPath"].rstrip("/"): mount for mount in container.get("volumeMounts", [])}
        for path in sorted(mounts):  # a mount inside another one comes after it
            volume = paths[mounts[path]["name"]]
            if mounts[path].get("subPath"):
                volume = volume / mounts[path]["subPath"]
                volume.mkdir(parents=True, exist_ok=True)
            link = self.root / path.lstrip("/")
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(volume)
        return list(mounts)

    def secret_versions(self) -> Mapping[str, str]:
        """Return the name of each mounted Secret and the resourceVersion that lies on disk (empty: none)."""
        return dict(self._versions)

    def update_secret(self, secret: Object) -> None:
        """Bring every volume of this Secret up to date. Raises MountError when a chosen key is gone."""
        name = secret["metadata"]["name"]
        for volume in self._volumes.values():
            if volume.get("secret", {}).get("secretName") == name:
                self._write_secret(volume, secret)

    def exceeded(self) -> str:
        """Return kubelet's sentence when an emptyDir is larger than its limit, else an empty text."""
        for name, volume in self._volumes.items():
            limit = volume.get("emptyDir", {}).get("sizeLimit")
            if limit and _size(self._directory / name) > quantity(limit):
                return f'Usage of EmptyDir volume "{name}" exceeds the limit "{limit}".'
        return ""

    def _make(self, volume: Object, lookup: Lookup) -> Path:
        path: Path = self._directory / volume["name"]
        if "persistentVolumeClaim" in volume:
            path = self._claims / volume["persistentVolumeClaim"]["claimName"]
            path.mkdir(parents=True, exist_ok=True)
        elif "secret" in volume:
            name = volume["secret"]["secretName"]
            secret = lookup("secrets", name)
            if secret is not None:
                self._write_secret(volume, secret)
            elif volume["secret"].get("optional"):
                path.mkdir(parents=True, exist_ok=True)
                self._versions.setdefault(name, "")
            else:
                raise MountError(_failed(volume["name"], f'secret "{name}" not found'))
        elif "emptyDir" in volume or "projected" in volume:
            # Projected volumes stay empty: recorders have no ServiceAccount token.
            path.mkdir(parents=True, exist_ok=True)
        else:
            kind = ", ".join(key for key in volume if key != "name")
            raise MountError(_failed(volume["name"], f"the pod runner does not know volumes of kind {kind}"))
        return path

    def _write_secret(self, volume: Object, secret: Object) -> None:
        source, name = volume["secret"], secret["metadata"]["name"]
        files = _chosen(volume["name"], source, secret)
        _write_atomically(self._directory / volume["name"], files)
        self._versions[name] = secret["metadata"]["resourceVersion"]


def _failed(volume: str, why: str) -> str:
    return f'MountVolume.SetUp failed for volume "{volume}" : {why}'


def _chosen(volume: str, source: Object, secret: Object) -> dict[str, tuple[bytes, int]]:
    """Return path → (content, mode) for the keys that the volume wants."""
    data, mode = data_of(secret), source.get("defaultMode", 0o644)
    if "items" not in source:
        return {key: (value, mode) for key, value in data.items()}
    files = {}
    for item in source["items"]:
        if item["key"] in data:
            files[item["path"]] = (data[item["key"]], item.get("mode", mode))
        elif not source.get("optional"):
            raise MountError(_failed(volume, f"references non-existent secret key: {item['key']}"))
    return files


def _write_atomically(directory: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Write the files as kubelet's AtomicWriter: a new directory, then one rename of the ``..data`` link.

    A reader sees all files of one version or all of the next; the user-visible names are links through ``..data``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    link = directory / _DATA_LINK
    previous = directory / link.readlink() if link.is_symlink() else None
    fresh = directory / f"..{time.strftime('%Y_%m_%d_%H_%M_%S')}.{time.monotonic_ns()}"
    for path, (content, mode) in files.items():
        target = fresh / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)
    fresh.mkdir(exist_ok=True)
    pending = directory / "..data_tmp"
    pending.unlink(missing_ok=True)
    pending.symlink_to(fresh.name)
    pending.replace(link)
    names = {path.partition("/")[0] for path in files}
    for name in names:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path(_DATA_LINK) / name)
    for entry in directory.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    if previous is not None:
        shutil.rmtree(previous, ignore_errors=True)


def _size(directory: Path) -> int:
    total = 0
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(parent) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return total
