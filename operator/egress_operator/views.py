"""Owns the reading of Kubernetes objects into the core's values. Pure; tolerant to whatever is absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from egress_operator import names, reasons
from egress_operator.api import parse_spec
from egress_operator.errors import redact
from egress_operator.model import JobView, PodView, Reason, Recording
from egress_operator.names import Key
from egress_operator.units import parse_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MESSAGE_LIMIT = 1000


def recording(kind: str, body: Mapping[str, Any]) -> Recording:
    """Return a custom resource as a value."""
    metadata = body["metadata"]
    spec, error = None, ""
    try:
        spec = parse_spec(kind, body.get("spec") or {})
    except ValueError as problem:
        error = str(problem)
    return Recording(
        key=Key(kind, metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        resource_version=metadata.get("resourceVersion", ""),
        created=_time(metadata.get("creationTimestamp")) or _EPOCH,
        deleting="deletionTimestamp" in metadata,
        has_finalizer=names.FINALIZER in (metadata.get("finalizers") or ()),
        spec=spec,
        spec_error=error,
        status=body.get("status") or {},
        queue_labels={
            name: value
            for name, value in (metadata.get("labels") or {}).items()
            if name in names.QUEUE_LABELS
        },
    )


def owner_uid(body: Mapping[str, Any]) -> str:
    """Return the recording's UID of a Job or pod, "" when it is none of ours."""
    return str((body["metadata"].get("labels") or {}).get(names.LABEL_UID, ""))


def owner_key(body: Mapping[str, Any]) -> Key | None:
    """Return the recording of a Job or pod."""
    metadata = body["metadata"]
    kind = (metadata.get("labels") or {}).get(names.LABEL_KIND, "")
    name = (metadata.get("annotations") or {}).get(names.ANNOTATION_NAME, "")
    return Key(kind, metadata["namespace"], name) if kind in names.PLURALS and name else None


def job(body: Mapping[str, Any]) -> JobView:
    """Return a Job as a value."""
    metadata, status = body["metadata"], body.get("status") or {}
    ended = ""
    for condition in status.get("conditions") or ():
        if condition.get("status") == "True" and condition.get("type") in {"Complete", "Failed"}:
            ended = condition.get("message") or condition.get("reason") or condition["type"]
    spec = body.get("spec") or {}
    return JobView(
        uid=metadata["uid"],
        name=metadata["name"],
        part=_part(metadata),
        created=_time(metadata.get("creationTimestamp")) or _EPOCH,
        deleting="deletionTimestamp" in metadata,
        ended=ended,
        has_ttl=spec.get("ttlSecondsAfterFinished") is not None,
        suspended=bool(spec.get("suspend")),
        queue=(metadata.get("labels") or {}).get(names.LABEL_QUEUE, ""),
        pod_hash=(metadata.get("annotations") or {}).get(names.ANNOTATION_POD_HASH, ""),
    )


def pod(body: Mapping[str, Any], *, gone: bool = False) -> PodView:
    """Return a recorder's pod as a value. `gone`: from a DELETED event."""
    metadata, status = body["metadata"], body.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    state = container.get("state") or {}
    terminated = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    waiting = _waiting(state, conditions)
    failed = status.get("phase") in {"Failed", "Succeeded"}
    return PodView(
        uid=metadata["uid"],
        name=metadata["name"],
        part=_part(metadata),
        created=_time(metadata.get("creationTimestamp")) or _EPOCH,
        ip=status.get("podIP") or "",
        started="running" in state or bool(terminated),
        ready=_is_true(conditions, "Ready"),
        gone=gone,
        deletion_deadline=_time(metadata.get("deletionTimestamp")),
        unreachable_since=_unreachable_since(conditions),
        waiting_reason=waiting.reason,
        waiting_message=waiting.message,
        exit_code=terminated.get("exitCode"),
        end_reason=_end_reason(status, terminated, conditions) if failed or terminated else "",
        ended_at=_time(terminated.get("finishedAt")),
        message=terminated.get("message") or "",
    )


def _end_reason(
    status: Mapping[str, Any], terminated: Mapping[str, Any], conditions: Mapping[str, Any]
) -> str:
    # The pod's own reason (Evicted, NodeLost …) and who disrupted it say more than the container's "Error".
    own = terminated.get("reason")
    disrupted = _is_true(conditions, "DisruptionTarget") and own in {None, "Completed", "Error"}
    cause = conditions["DisruptionTarget"].get("reason") if disrupted else None
    return str(status.get("reason") or cause or own or status.get("phase") or "Error")


def _waiting(state: Mapping[str, Any], conditions: Mapping[str, Any]) -> Reason:
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        return reasons.of_waiting(
            scheduled.get("reason") or "Unschedulable", _short(scheduled.get("message") or "")
        )
    waiting = state.get("waiting") or {}
    return reasons.of_waiting(waiting.get("reason") or "", _short(waiting.get("message") or ""))


def _short(message: str) -> str:
    return redact(" ".join(message.split()))[:_MESSAGE_LIMIT]


def _unreachable_since(conditions: Mapping[str, Any]) -> datetime | None:
    """The kubelet derives Ready from ContainersReady; only the node controller sets one without the other."""
    ready = conditions.get("Ready") or {}
    if ready.get("status") in {"False", "Unknown"} and _is_true(conditions, "ContainersReady"):
        return _time(ready.get("lastTransitionTime"))
    return None


def _is_true(conditions: Mapping[str, Any], name: str) -> bool:
    return (conditions.get(name) or {}).get("status") == "True"


def _part(metadata: Mapping[str, Any]) -> int:
    text = str((metadata.get("labels") or {}).get(names.LABEL_PART, ""))
    return int(text) if text.isdigit() else 0


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None


_EVENT_RANK = (
    "FailedMount",
    "FailedAttachVolume",
    "FailedScheduling",
    "FailedCreate",
    "FailedCreatePodSandBox",
    "Failed",
    "ErrImagePull",
    "BackOff",
)
_OVERCOME_BY = {
    "FailedScheduling": frozenset({"Scheduled"}),
    "FailedMount": frozenset({"Pulling", "Pulled", "Created"}),
    "FailedAttachVolume": frozenset({"SuccessfulAttachVolume", "Pulling", "Pulled", "Created"}),
    "FailedCreatePodSandBox": frozenset({"Pulling", "Pulled", "Created"}),
    "FailedCreate": frozenset({"SuccessfulCreate"}),
}
"""A Warning is history as soon as a later Event of these tells that the pod has come further."""


def diagnose(events: Sequence[Mapping[str, Any]]) -> Reason | None:
    """Return what hinders a pod or Job, from its Events: the newest of the most telling kind."""
    warnings = [event for event in events if event.get("type") == "Warning" and _hinders(event, events)]
    if not warnings:
        return None
    best = min(_EVENT_RANK.index(event["reason"]) for event in warnings)
    of_kind = [event for event in warnings if event["reason"] == _EVENT_RANK[best]]
    newest = max(of_kind, key=_seen_at)
    return reasons.of_event(newest["reason"], _short(str(newest.get("message", ""))))


def _hinders(event: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> bool:
    reason = event.get("reason")
    if reason not in _EVENT_RANK:
        return False
    better = _OVERCOME_BY.get(reason, frozenset())
    return not any(other.get("reason") in better and _seen_at(other) >= _seen_at(event) for other in events)


def _seen_at(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    return str(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime") or "")
