"""Owns what a kubelet does while a container runs: Secret updates, grace period, memory and scratch limits."""

from __future__ import annotations

import time

from devstack.kubeapi import Object
from devstack.podrunner.container import ContainerProcess
from devstack.podrunner.host import Host
from devstack.podrunner.scheduling import quantity
from devstack.podrunner.volumes import MountError, PodVolumes

_TICK = 0.5
_DISK_EVERY = 5.0
_NEVER = float("inf")


class Watch:
    """Watches one running container; used by its pod's thread only."""

    def __init__(self, host: Host, process: ContainerProcess, volumes: PodVolumes, container: Object) -> None:
        self._host, self._process, self._volumes = host, process, volumes
        limit = container.get("resources", {}).get("limits", {}).get("memory")
        self._memory_limit = quantity(limit) if limit else _NEVER
        self._kill_at = _NEVER
        self._disk_at = 0.0

    def next_look(self) -> float:
        """Return the seconds until something must be looked at again."""
        return min(_TICK, max(0.0, self._kill_at - time.monotonic()))

    def end_within(self, grace: float) -> None:
        """Send SIGTERM once; `enforce` kills after ``grace`` seconds. A shorter grace asked for later counts."""
        if self._kill_at == _NEVER:
            self._process.terminate()
        self._kill_at = min(self._kill_at, time.monotonic() + grace)

    def update_secrets(self, namespace: str) -> list[str]:
        """Update volumes whose Secret changed at least the delay ago; return what could not be updated."""
        problems = []
        for name, version in self._volumes.secret_versions().items():
            secret = self._host.secrets.get(namespace, name)
            if secret is None or secret["metadata"]["resourceVersion"] == version:
                continue  # the files of a deleted Secret stay, as with a kubelet
            if time.monotonic() - self._host.secrets.changed_at(namespace, name) < self._host.secret_delay:
                continue
            try:
                self._volumes.update_secret(secret)
            except MountError as error:
                problems.append(str(error))
        return problems

    def enforce(self) -> str:
        """Kill a container that is over its grace or memory; return the sentence of a scratch volume too large."""
        now = time.monotonic()
        if now >= self._kill_at:
            self._process.kill()
        if self._memory_limit < _NEVER and self._process.memory() > self._memory_limit:
            self._process.oom_killed = True
            self._process.kill()
        if now < self._disk_at:
            return ""
        self._disk_at = now + _DISK_EVERY
        return self._volumes.exceeded()
