"""Owns the start of a part: the room must exist, the names are resolved once, then Secret and Job. Pure."""

from __future__ import annotations

from datetime import timedelta

from egress_operator import ending, filenames, names, status, storage, streams
from egress_operator.model import (
    Action,
    AddFinalizer,
    CreateJob,
    Plan,
    Reason,
    RoomState,
    WriteSecret,
)
from egress_operator.situation import Situation, decide
from egress_operator.units import format_duration, format_time
from egress_recorder.contract import EndReason, ErrorCode

TOKEN_LIFETIME = timedelta(hours=24)
"""LiveKit's own egress tokens are valid as long."""

_FIRST_ANSWER = timedelta(seconds=3)
"""So long after its creation a recording is not written to only because the room was not asked for yet."""


def part(situation: Situation, *, number: int) -> Plan:
    """Start part `number` as soon as there is a connection and the room exists; wait without any pod until then."""
    obstacle = _obstacle(situation)
    if obstacle is not None:
        return obstacle
    observed, facts = situation.observed, situation.facts
    recording = observed.recording
    assert recording.spec is not None
    facts["roomId"] = observed.room.room_id or facts.get("roomId", "")
    facts["part"] = number
    facts["jobName"] = names.job_name(recording.key.name, recording.uid, number)
    for stale in ("podName", "nextPartAt"):
        facts.pop(stale, None)
    if number > 1:
        facts["retryCount"] = facts.get("retryCount", 0) + 1
    try:
        _resolve(situation)
    except ValueError as error:
        return ending.fail(situation, error=str(error), code=ErrorCode.INVALID_ARGUMENT, reason="InvalidSpec")
    facts["resolved"]["url"] = observed.url
    facts["resolved"]["tokenExpiresAt"] = format_time((situation.now + TOKEN_LIFETIME).replace(microsecond=0))
    if streams.wanted(recording.spec):
        facts["resolved"]["streamsGeneration"] = recording.generation
    actions: tuple[Action, ...] = (WriteSecret(number, facts["roomId"], facts), CreateJob(number, facts))
    if not recording.has_finalizer:
        actions = (AddFinalizer(), *actions)
    media = status.had_media(facts)
    reason = Reason("Resuming" if media else "PodStarting", f"part {number} is being started")
    return decide(situation, phase="Pending", reason=reason, before=actions, requeue=5.0)


def _resolve(situation: Situation) -> None:
    """Decide once what the files are called and where they go. Raises ValueError for what cannot be right."""
    observed, resolved = situation.observed, situation.facts["resolved"]
    recording = observed.recording
    assert recording.spec is not None
    begun = filenames.is_named(resolved) and "storage" in resolved
    filenames.resolve_names(recording, situation.facts)
    if "storage" not in resolved:
        default = observed.storage
        resolved["storage"] = storage.resolve(
            recording.spec, None if isinstance(default, Reason) else default, backup=observed.backup
        )
    if not begun:
        filenames.refuse_same_names(recording.spec, situation.facts)


def _obstacle(situation: Situation) -> Plan | None:  # noqa: PLR0911 - one return per obstacle
    """Return the plan of waiting, None when nothing hinders."""
    observed, now = situation.observed, situation.now
    recording, room = observed.recording, observed.room
    assert recording.spec is not None
    if observed.connection is not None:
        return _wait(situation, observed.connection, requeue=10.0)
    if recording.spec.streams_alone and not recording.spec.names_streams:
        return _without_streams(situation)
    if isinstance(observed.storage, Reason) and _lacks_storage(situation):
        return _wait(situation, observed.storage, requeue=30.0)
    match room.state:
        case RoomState.PRESENT:
            return None
        case RoomState.UNKNOWN:
            if now - recording.created < _FIRST_ANSWER and "phase" not in recording.status:
                return Plan(requeue=0.5)
            return _wait(
                situation, Reason("WaitingForRoom", "LiveKit is being asked for the room"), requeue=2.0
            )
        case RoomState.ERROR:
            return _wait(situation, Reason(room.reason, room.message), requeue=10.0)
    closed = ending.room_closed_between_parts(situation)
    if closed is not None:
        return closed
    timeout = recording.spec.join_seconds
    if timeout is not None and (now - recording.created).total_seconds() >= timeout:
        return ending.fail(
            situation,
            error=f"room {recording.spec.room_name} did not exist within joinTimeout {format_duration(timeout)}",
            code=ErrorCode.NOT_FOUND,
            reason="RoomNotFound",
        )
    message = f"room {recording.spec.room_name} does not exist yet; the recording starts when it does"
    return _wait(situation, Reason("WaitingForRoom", message), requeue=_until(situation, timeout))


def _without_streams(situation: Situation) -> Plan:
    """Nothing to stream to and no other output. LiveKit refuses such a request, and ends the egress whose last URL is removed."""
    if status.had_media(situation.facts):
        return ending.between_parts(situation, "the last stream was removed", EndReason.STREAMS_STOPPED)
    message = (
        "spec.streamOutputs: there is no stream and no other output: add a URL to urls or an entry to destinations,"
        " the recording starts with it"
    )
    return _wait(situation, Reason("InvalidStream", message), requeue=30.0)


def _lacks_storage(situation: Situation) -> bool:
    spec = situation.observed.recording.spec
    assert spec is not None
    return "storage" not in situation.facts["resolved"] and storage.needs_default(spec)


def _until(situation: Situation, timeout: float | None) -> float:
    if timeout is None:
        return 30.0
    left = timeout - (situation.now - situation.observed.recording.created).total_seconds()
    return min(30.0, max(0.2, left))


def _wait(situation: Situation, reason: Reason, *, requeue: float) -> Plan:
    if status.had_media(situation.facts):
        reason = Reason("Resuming", f"the next part waits: {reason.message}")
    return decide(situation, phase="Pending", reason=reason, requeue=requeue)


def refused(situation: Situation, reason: Reason) -> Plan:
    """The API server refused Secret or Job (quota, admission, RBAC): say so, go on trying."""
    return _wait(situation, reason, requeue=15.0)
