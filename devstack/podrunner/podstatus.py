"""Owns the words of a pod's status: strategic-merge patches as the kubelet writes them. Pure; `now` is a parameter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from devstack.kubeapi import Object

MESSAGE_LIMIT = 4096


def timestamp(now: datetime) -> str:
    """Return RFC 3339 with whole seconds, as Kubernetes writes times."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended; ``code`` is 128 + signal for a killed one."""

    code: int
    reason: Literal["Completed", "Error", "OOMKilled", "StartError", "ContainerStatusUnknown"]
    message: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """What is known of the one container of a pod."""

    name: str
    image: str
    uid: str
    waiting: str = "ContainerCreating"
    waiting_message: str = ""
    started_at: datetime | None = None
    started: bool = False
    """True after the startup probe succeeded."""
    ready: bool = False
    ended: Ended | None = None
    ended_at: datetime | None = None

    @property
    def phase(self) -> str:
        """Phase of a pod with ``restartPolicy: Never`` and this container."""
        if self.ended is not None:
            return "Failed" if self.ended.code else "Succeeded"
        return "Pending" if self.started_at is None else "Running"

    def status(self) -> Object:
        """Return the entry of ``containerStatuses``."""
        status: Object = {
            "name": self.name,
            "image": self.image,
            "imageID": f"devstack://{self.image}",
            "restartCount": 0,
            "ready": self.ready,
            "started": self.started,
            "lastState": {},
            "state": self._state(),
        }
        if self.started_at is not None:
            status["containerID"] = f"devstack://{self.uid}"
        return status

    def _state(self) -> Object:
        if self.ended is not None:
            state: Object = {
                "exitCode": self.ended.code,
                "reason": self.ended.reason,
                "startedAt": timestamp(self.started_at) if self.started_at else None,
                "finishedAt": timestamp(self.ended_at) if self.ended_at else None,
                "containerID": f"devstack://{self.uid}",
            }
            if self.ended.message:
                state["message"] = self.ended.message
            return {"terminated": state}
        if self.started_at is not None:
            return {"running": {"startedAt": timestamp(self.started_at)}}
        waiting: Object = {"reason": self.waiting}
        if self.waiting_message:
            waiting["message"] = self.waiting_message
        return {"waiting": waiting}


def condition(kind: str, now: datetime, *, holds: bool = True, reason: str = "", message: str = "") -> Object:
    """Return one condition; empty reason and message are explicit, so that a patch clears older ones."""
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "lastTransitionTime": timestamp(now),
        "lastProbeTime": None,
        "reason": reason or None,
        "message": message or None,
    }


def unschedulable(message: str, now: datetime) -> Object:
    """Return the status of a pod that no node takes."""
    item = condition("PodScheduled", now, holds=False, reason="Unschedulable", message=message)
    return {"phase": "Pending", "conditions": [item]}


def pod_status(
    container: Container, *, address: str, since: datetime, known: Object, now: datetime
) -> Object:
    """Return the whole status of a scheduled pod. ``known`` is its present status: transition times are kept."""
    if container.ended is not None:
        why = "PodFailed" if container.ended.code else "PodCompleted"
    else:
        why = "ContainersNotReady"
    unready = "" if container.ready else why
    detail = f"containers with unready status: [{container.name}]" if unready == "ContainersNotReady" else ""
    wanted = [
        condition("PodReadyToStartContainers", now, holds=container.ended is None),
        condition("Initialized", now),
        condition("Ready", now, holds=container.ready, reason=unready, message=detail),
        condition("ContainersReady", now, holds=container.ready, reason=unready, message=detail),
        condition("PodScheduled", now),
    ]
    times = {
        (item["type"], item["status"]): item.get("lastTransitionTime") for item in known.get("conditions", [])
    }
    for item in wanted:
        item["lastTransitionTime"] = times.get((item["type"], item["status"])) or item["lastTransitionTime"]
    return {
        "phase": container.phase,
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": timestamp(since),
        "conditions": wanted,
        "containerStatuses": [container.status()],
    }


def has_condition(pod: Object, wanted: Object) -> bool:
    """True when the pod has this condition with this message already."""
    return any(
        item["type"] == wanted["type"] and item.get("message") == wanted["message"]
        for item in pod.get("status", {}).get("conditions", [])
    )
