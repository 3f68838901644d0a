"""Owns what is told of one pod: its status and Events; knows nothing of processes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from devstack.kubeapi import Object
from devstack.podrunner import podstatus
from devstack.podrunner.host import Host
from devstack.podrunner.podstatus import Container, Ended

_EVENT_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A pod's status that comes from outside of its container, for example an eviction."""

    reason: str
    message: str
    conditions: tuple[Object, ...] = ()


def eviction(message: str) -> Verdict:
    """Return the verdict of a kubelet under pressure: condition DisruptionTarget (limits of its own have none)."""
    item = podstatus.condition(
        "DisruptionTarget", datetime.now(UTC), reason="TerminationByKubelet", message=message
    )
    return Verdict("Evicted", message, (item,))


class PodReport:
    """Writes one pod's status and Events. The pod's thread uses it; `take` and `event` may be used by any."""

    def __init__(self, host: Host, pod: Object) -> None:
        self.pod = pod
        self._lock = threading.Lock()
        self.address = ""
        self.verdict: Verdict | None = None
        self._host = host
        spec = pod["spec"]["containers"][0]
        self._container = Container(spec["name"], spec.get("image", ""), pod["metadata"]["uid"])
        self._since = datetime.now(UTC)
        self._event_times: dict[str, float] = {}

    def take(self, pod: Object) -> None:
        """Keep the newest object: the answer to a patch and the watch overtake each other."""
        with self._lock:
            if _version(pod) >= _version(self.pod):
                self.pod = pod

    @property
    def is_deleted(self) -> bool:
        """True when the pod is to end."""
        return bool(self.pod["metadata"].get("deletionTimestamp"))

    def unschedulable(self, message: str) -> None:
        """Report that no node takes the pod."""
        status = podstatus.unschedulable(message, datetime.now(UTC))
        if not podstatus.has_condition(self.pod, status["conditions"][0]):
            self.take(self._host.patch_status(self.pod, status))
        self.event_sometimes("FailedScheduling", message)

    def accepted(self, address: str) -> None:
        """Report that the node works on the pod."""
        self.address = address
        self._write()

    def waiting(self, reason: str, message: str) -> None:
        """Report why the container does not run yet."""
        waiting = replace(self._container, waiting=reason, waiting_message=message)
        if waiting != self._container:
            self._container = waiting
            self._write()

    def running(self, *, started: bool, ready: bool) -> None:
        """Report that the container runs, and what its probes say; writes only what changed."""
        since = self._container.started_at or datetime.now(UTC)
        running = replace(self._container, started_at=since, started=started, ready=ready)
        if running != self._container:
            self._container = running
            self._write()

    def ended(self, ended: Ended) -> None:
        """Report how the container ended: the last status."""
        now = datetime.now(UTC)
        self._container = replace(
            self._container,
            ended=ended,
            ended_at=now,
            started_at=self._container.started_at or now,
            started=False,
            ready=False,
        )
        self._write()

    def event(self, reason: str, message: str, *, warning: bool = True) -> None:
        """Record an Event."""
        self._host.event(self.pod, reason, message, warning=warning)

    def event_sometimes(self, reason: str, message: str) -> None:
        """Record a warning that is found again and again, at most every 5 s."""
        now = time.monotonic()
        if now - self._event_times.get(message, float("-inf")) >= _EVENT_EVERY:
            self._event_times[message] = now
            self.event(reason, message)

    def _write(self) -> None:
        status = podstatus.pod_status(
            self._container,
            address=self.address,
            since=self._since,
            known=self.pod.get("status", {}),
            now=datetime.now(UTC),
        )
        if self.verdict is not None and self._container.ended is not None:
            status |= {"phase": "Failed", "reason": self.verdict.reason, "message": self.verdict.message}
            status["conditions"] = [*status["conditions"], *self.verdict.conditions]
        self.take(self._host.patch_status(self.pod, status))


def _version(pod: Object) -> int:
    return int(pod["metadata"]["resourceVersion"])
