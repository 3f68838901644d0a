"""Owns what the end of a capture means: phase, reason, exit code and texts.

Rules: LiveKit's statuses (reference livekit-egress.md §2) and the exit codes of `contract.ExitCode`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from egress_recorder.errors import NotFoundError, RecorderError, StreamsFailedError
from egress_recorder.ipc import CaptureRequest
from egress_recorder.redact import redact
from egress_recorder.session_values import wait_limit
from egress_recorder.sources.base import RoomEnd
from egress_recorder.vocabulary import EndReason, ErrorCode, ExitCode, Phase, TrackCompositeSource

_log = logging.getLogger(__name__)

NOT_STARTED = "Start signal not received"
"""LiveKit's text for a recording that ended before any media."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a capture ends. `at`: monotonic time of the file's end, None for now."""

    phase: Phase
    reason: EndReason
    exit_code: ExitCode
    error: str = ""
    error_code: int = 0
    at: float | None = None


def stopped(reason: EndReason, at: float | None = None) -> Ending:
    """The supervisor said stop."""
    match reason:
        case EndReason.INTERRUPTED | EndReason.KILLED | EndReason.SUPERSEDED | EndReason.SCRATCH_FULL:
            return Ending(Phase.INTERRUPTED, reason, ExitCode.INTERRUPTED, at=at)
        case EndReason.LIMIT_REACHED:
            return limit_reached(at)
        case EndReason.FAILURE:
            return Ending(Phase.FAILED, reason, ExitCode.SOFTWARE, at=at)
    return Ending(Phase.COMPLETE, reason, ExitCode.FINISHED, at=at)


def source_closed(at: float | None = None) -> Ending:
    """The participant left, the tracks ended or the room was closed."""
    return Ending(Phase.COMPLETE, EndReason.SOURCE_CLOSED, ExitCode.FINISHED, at=at)


def limit_reached(at: float | None = None) -> Ending:
    """A limit of the request."""
    return Ending(Phase.LIMIT_REACHED, EndReason.LIMIT_REACHED, ExitCode.FINISHED, at=at)


def streams_over(why: str) -> Ending:
    """No stream is left and there is no other output. `why`: the last one's error, "" when it was removed."""
    if why:
        return failed(StreamsFailedError(why))
    return Ending(Phase.COMPLETE, EndReason.STREAMS_STOPPED, ExitCode.FINISHED)


def superseded() -> Ending:
    """A newer recorder of the same recording took our identity."""
    return Ending(
        Phase.INTERRUPTED,
        EndReason.SUPERSEDED,
        ExitCode.INTERRUPTED,
        "another recorder joined with this recording's identity",
        ErrorCode.UNAVAILABLE,
    )


def connection_lost(at: float | None, *, recorded: bool) -> Ending:
    """LiveKit could not be reached again; what was recorded is kept and a next part may follow."""
    return Ending(
        Phase.INTERRUPTED,
        EndReason.FAILURE,
        ExitCode.INTERRUPTED if recorded else ExitCode.UNREACHABLE,
        "the connection to LiveKit was lost and could not be made again",
        ErrorCode.UNAVAILABLE,
        at,
    )


def source_over(source: asyncio.Future[RoomEnd], left_at: float | None, *, recorded: bool) -> Ending:
    """The source's task is done: with the room's end, or with an error."""
    error = source.exception()
    if isinstance(error, RecorderError):
        return failed(error, left_at)
    if error is not None:
        _log.error("the source failed", exc_info=error)
        return failed(RecorderError(f"the source failed: {type(error).__name__}"), left_at)
    match source.result():
        case RoomEnd.SUPERSEDED:
            return superseded()
        case RoomEnd.LOST:
            return connection_lost(left_at, recorded=recorded)
    return source_closed(left_at)


def failed(error: RecorderError, at: float | None = None) -> Ending:
    """An expected failure."""
    phase = Phase.FAILED if error.exit_code.is_final_failure else Phase.INTERRUPTED
    return Ending(phase, EndReason.FAILURE, error.exit_code, redact(str(error)), error.error_code, at)


def never_came(missing: str, room: str, waited: float, *, field: str, continuing: bool) -> Ending:
    """Who or what is to be recorded did not appear within `waited` seconds."""
    if continuing:
        # The recording has media already: absence ends it naturally.
        return source_closed()
    verb = "did not join" if field == "joinTimeout" else "not found in"
    return failed(NotFoundError(f"{missing} {verb} room {room} within {waited:g} s ({field})"))


def subject_missing(request: CaptureRequest, missing: str) -> Ending:
    """Who or what the request names did not appear in its time."""
    field = "trackTimeout" if isinstance(request.source, TrackCompositeSource) else "joinTimeout"
    waited = wait_limit(request) or 0.0
    return never_came(missing, request.room_name, waited, field=field, continuing=request.continuing)


def without_media(ending: Ending, *, continuing: bool) -> Ending:
    """Return the ending as it is when nothing was recorded in this part."""
    if continuing or ending.phase not in {Phase.COMPLETE, Phase.LIMIT_REACHED}:
        return ending
    text = "Session limit reached before start signal" if ending.phase is Phase.LIMIT_REACHED else NOT_STARTED
    return Ending(
        Phase.ABORTED, ending.reason, ExitCode.FINISHED, text, ErrorCode.FAILED_PRECONDITION, ending.at
    )
