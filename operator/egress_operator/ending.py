"""Owns the end of a recording: the terminal status and what is tidied after it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from egress_operator import status
from egress_operator.errors import redact
from egress_operator.model import (
    Action,
    DeleteJob,
    DeleteRecording,
    DeleteSecret,
    ExpireJob,
    Observed,
    Plan,
    Reason,
    RemoveFinalizer,
)
from egress_operator.situation import Situation, decide
from egress_operator.units import format_time, parse_time
from egress_recorder.contract import EndReason, ErrorCode, Phase

_TTL_LOOK = 3600.0
"""Seconds; a recording that goes much later is looked at again by the resync anyway."""

_ROOM_GONE_AFTER = 30.0
"""From part 2 on absence ends the recording after max(rejoinTimeout, 30 s), naturally."""


def livekit_details(reason: EndReason) -> str:
    """Return LiveKit's `details` (livekit_egress.go)."""
    return f"End reason: {reason.value}"


def is_uploaded(situation: Situation) -> bool:
    """Return True when the recorder's own record says that all its files lie at their destinations."""
    result, number = situation.verdict.result, situation.verdict.part
    if result is None:
        return False
    files = [part for part in result.parts if part.part >= number]
    # One without a name is a part that has no file.
    return bool(files) and all(part.location or not part.filename for part in files)


def room_closed_between_parts(situation: Situation) -> Plan | None:
    """From part 2 on: the room stays away for max(rejoinTimeout, 30 s) after media was recorded: a natural end."""
    facts, now = situation.facts, situation.now
    spec = situation.observed.recording.spec
    if spec is None or "nextPartAt" not in facts or not status.had_media(facts):
        return None
    patience = timedelta(seconds=max(spec.rejoin_seconds, _ROOM_GONE_AFTER))
    if now - parse_time(facts["nextPartAt"]) < patience:
        return None
    return between_parts(situation, "the room was closed", EndReason.SOURCE_CLOSED)


def between_parts(situation: Situation, why: str, end: EndReason) -> Plan:
    """End the recording between two parts: naturally, if the last recorder said that nothing of its part is missing."""
    if is_uploaded(situation):
        reason = Reason("Complete", f"{why}; every part is finalised and uploaded")
        return finish(situation, phase=Phase.COMPLETE, reason=reason, details=livekit_details(end))
    return fail(
        situation,
        error=f"{why} and the last part left no record: {situation.verdict.reason.message}",
        code=ErrorCode.INTERNAL,
        reason="ResultUnknown",
    )


def fail(situation: Situation, *, error: str, code: int, reason: str = "Failed", details: str = "") -> Plan:
    """End the recording as Failed with LiveKit's error and code."""
    clean = redact(error)
    return finish(
        situation,
        phase=Phase.FAILED,
        reason=Reason(reason, clean),
        details=details or livekit_details(EndReason.FAILURE),
        error=clean,
        code=int(code),
    )


def finish(
    situation: Situation,
    *,
    phase: Phase,
    reason: Reason,
    details: str,
    error: str = "",
    code: int = 0,
) -> Plan:
    """End the recording: the terminal status first, then what it leaves is tidied."""
    facts, result = situation.facts, situation.verdict.result
    ended = (
        result.ended_at if result is not None and result.ended_at else situation.now.replace(microsecond=0)
    )
    facts["endedAt"] = format_time(ended)
    for stale in ("nextPartAt", "failures"):
        facts.pop(stale, None)
    if situation.stop:
        facts.setdefault("stopRequestedAt", format_time(situation.now.replace(microsecond=0)))
    extra = {"details": redact(details), "error": redact(error), "errorCode": int(code)}
    facts |= {key: value for key, value in extra.items() if value}
    spec = situation.observed.recording.spec
    soon = spec is not None and spec.ttl_seconds_after_finished is not None
    after = tidy(situation.observed, keep=bool(situation.observed.receivers))
    return decide(situation, phase=phase.value, reason=reason, after=after, requeue=0.2 if soon else None)


def tidy(observed: Observed, *, keep: bool = False) -> tuple[Action, ...]:
    """Return what is done after the terminal status: Jobs expire, the Secret goes, the finalizer last.

    `keep`: the finalizer stays, for there is somebody to be told of the end.
    """
    if not observed.recording.has_finalizer:
        return ()
    expiring = () if observed.recording.deleting else observed.jobs
    # A suspended Job never ends by itself, and whoever resumes it would start a recorder without a recording.
    jobs = tuple(
        DeleteJob(job.name) if job.suspended else ExpireJob(job.name)
        for job in expiring
        if not job.deleting and (job.suspended or not job.has_ttl)
    )
    return (*jobs, DeleteSecret(), *(() if keep else (RemoveFinalizer(),)))


def farewell(observed: Observed, now: datetime) -> tuple[tuple[Action, ...], float | None]:
    """Return what ttlSecondsAfterFinished asks for: the deletion when it is due, else the seconds until then."""
    recording = observed.recording
    ttl = recording.spec.ttl_seconds_after_finished if recording.spec else None
    ended = recording.status.get("endedAt")
    if ttl is None or recording.deleting or ended is None:
        return (), None
    left = ttl - (now - parse_time(ended)).total_seconds()
    if left <= 0:
        return (DeleteRecording(),), None
    return (), min(left + 0.1, _TTL_LOOK)
