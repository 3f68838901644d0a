"""Builders of what the operator observes: recordings, Jobs, pods and recorders' words, each with sane defaults."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from egress_operator import names, views
from egress_operator.model import JobView, Observed, PodView, Recording, RoomAnswer, RoomState
from egress_recorder.contract import FileResult, Part, Phase, Progress, RecorderResult, RecorderStatus

UID = "0a1b2c3d-0000-4000-8000-000000000001"
EGRESS_ID = names.egress_id(UID)
CREATED = datetime(2026, 11, 22, 9, 0, 0, tzinfo=UTC)
NOW = CREATED + timedelta(minutes=10)
PRESENT = RoomAnswer(RoomState.PRESENT, room_id="RM_1")
ABSENT = RoomAnswer(RoomState.ABSENT)


def at(seconds: float) -> datetime:
    """Return the instant so many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def body(
    kind: str = names.PARTICIPANT_KIND,
    *,
    status: dict[str, Any] | None = None,
    finalizer: bool = False,
    deleting: bool = False,
    generation: int = 1,
    **spec: Any,
) -> dict[str, Any]:
    """Return a custom resource as the API server shows it; a field of its spec that is None is absent."""
    source = {"identity": "alice"} if kind == names.PARTICIPANT_KIND else {"videoTrackId": "TR_video"}
    metadata: dict[str, Any] = {
        "name": "alice",
        "namespace": "calls",
        "uid": UID,
        "generation": generation,
        "resourceVersion": "7",
        "creationTimestamp": "2026-11-22T09:00:00Z",
    }
    if finalizer:
        metadata["finalizers"] = [names.FINALIZER]
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-22T09:09:00Z"
    outputs = [{"filepath": "{room_name}/{publisher_identity}", "pvc": {"claimName": "recordings"}}]
    whole = {"roomName": "standup", "fileOutputs": outputs, **source, **spec}
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "spec": {field: value for field, value in whole.items() if value is not None},
        "status": status or {},
    }


def recording(kind: str = names.PARTICIPANT_KIND, **fields: Any) -> Recording:
    """Return a recording as the core sees it."""
    return views.recording(kind, body(kind, **fields))


def job(part: int = 1, **fields: Any) -> JobView:
    """Return a Job of the recording."""
    defaults: dict[str, Any] = {
        "uid": f"job-{part}",
        "name": names.job_name("alice", UID, part),
        "part": part,
        "created": at(-60),
    }
    return JobView(**defaults | fields)


def pod(part: int = 1, **fields: Any) -> PodView:
    """Return a running pod of the recording."""
    defaults: dict[str, Any] = {
        "uid": f"pod-{part}",
        "name": f"{names.job_name('alice', UID, part)}-x",
        "part": part,
        "created": at(-60),
        "ip": "10.0.0.7",
        "started": True,
    }
    return PodView(**defaults | fields)


def ended_pod(part: int = 1, *, code: int | None, message: str = "", **fields: Any) -> PodView:
    """Return a pod whose container has terminated."""
    reason = "Completed" if code == 0 else "Error"
    defaults: dict[str, Any] = {
        "exit_code": code,
        "message": message,
        "end_reason": reason,
        "ended_at": at(-1),
    }
    return pod(part, **defaults | fields)


def said(phase: Phase = Phase.ACTIVE, **fields: Any) -> RecorderStatus:
    """Return what a recorder answers to a poll."""
    return RecorderStatus(egress_id=EGRESS_ID, phase=phase, **fields)


def result(
    phase: Phase = Phase.COMPLETE,
    *,
    part: int = 1,
    media: bool = True,
    location: str = "file:///x",
    **fields: Any,
) -> RecorderResult:
    """Return a recorder's last word."""
    defaults: dict[str, Any] = {
        "egress_id": EGRESS_ID,
        "phase": phase,
        "details": "End reason: Source closed",
    }
    if media:
        entry = Part(
            part=part,
            filename="standup/alice.mp4",
            location=location,
            started_at=at(-50),
            ended_at=at(-2),
            duration=48.0,
            size=4800,
            end_reason="Source closed",
        )
        defaults |= {
            "started_at": at(-50),
            "ended_at": at(-2),
            "parts": (entry,),
            "file_results": (
                FileResult(filename="standup/alice.mp4", location=location, duration=48.0, size=4800),
            ),
            "progress": Progress(duration=48.0, bytes_written=4800, frames=1440),
        }
    return RecorderResult(**defaults | fields)


def word(*arguments: Any, **fields: Any) -> str:
    """Return a recorder's last word as its termination message."""
    return result(*arguments, **fields).to_termination_message().decode()


def status(phase: str = "Active", **fields: Any) -> dict[str, Any]:
    """Return the status of a recording whose part 1 was started."""
    recording_now = "True" if phase == "Active" else "False"
    condition = {
        "type": "Recording",
        "status": recording_now,
        "reason": "Recording",
        "message": "",
        "lastTransitionTime": "2026-11-22T09:01:00Z",
    }
    defaults: dict[str, Any] = {
        "phase": phase,
        "egressId": EGRESS_ID,
        "part": 1,
        "jobName": names.job_name("alice", UID, 1),
        "observedGeneration": 1,
        "updatedAt": "2026-11-22T09:01:00Z",
        "roomName": "standup",
        "conditions": [condition],
        "resolved": {
            "requestedAt": "2026-11-22T09:00:00Z",
            "preset": "H264_720P_30",
            "filepaths": ["standup/alice.mp4"],
            "url": "ws://livekit",
            "tokenExpiresAt": "2026-11-23T09:00:00Z",
        },
    }
    if phase in {"Active", "Ending"}:
        defaults["startedAt"] = "2026-11-22T09:01:00Z"
    return defaults | fields


def observed(
    *jobs_and_pods: JobView | PodView, live: bool = True, of: Recording | None = None, **fields: Any
) -> Observed:
    """Return an observation; by default live, with the room there and a connection."""
    defaults: dict[str, Any] = {
        "recording": of or recording(finalizer=True, status=status()),
        "jobs": tuple(one for one in jobs_and_pods if isinstance(one, JobView)),
        "pods": tuple(one for one in jobs_and_pods if isinstance(one, PodView)),
        "live": live,
        "room": PRESENT,
        "url": "ws://livekit",
    }
    return Observed(**defaults | fields)
