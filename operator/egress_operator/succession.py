"""Owns what follows when a part is over: the recording's end, or the next part within the budget. Pure.

`Complete`, `LimitReached` and `Aborted` come from the recorder's own record (termination message) and from nothing
else; the one exception is a stop before anything was recorded, which is `Aborted`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from egress_operator import start, status
from egress_operator.ending import fail, finish, is_uploaded, livekit_details
from egress_operator.errors import redact
from egress_operator.model import Action, DeleteJob, Plan, Reason
from egress_operator.parts import allowed, lose_part
from egress_operator.situation import Situation, decide
from egress_operator.units import format_time, parse_time
from egress_operator.verdict import State
from egress_recorder.contract import EndReason, ErrorCode, ExitCode, Phase

_BACKOFF_LIMIT = 60.0

_CODE_OF_EXIT = {
    ExitCode.USAGE: ErrorCode.INVALID_ARGUMENT,
    ExitCode.DATA: ErrorCode.INVALID_ARGUMENT,
    ExitCode.AUTHORIZATION: ErrorCode.UNAUTHENTICATED,
    ExitCode.CONFIGURATION: ErrorCode.INVALID_ARGUMENT,
}


def part_over(situation: Situation) -> Plan:
    """Decide by record, exit code and wish: the end of the recording or the next part."""
    verdict = situation.verdict
    result = verdict.result
    _note_part(situation)
    if result is not None and verdict.code == 0 and result.phase in _ENDS:
        if _room_closed_empty(situation):
            if "nextPartAt" not in situation.facts:
                # Once for each part, however often its end is looked at while the next one waits.
                situation.facts["roomWaits"] = situation.facts.get("roomWaits", 0) + 1
            return _next_part(situation, delay=0.0)
        return _end_by_record(situation)
    if verdict.is_final_failure or (
        result is not None and verdict.code == 0 and result.phase is Phase.FAILED
    ):
        return _fail_by_record(situation)
    if situation.stop:
        return _end_by_stop(situation)
    return _next_part(situation, delay=_delay(situation))


_ENDS = (Phase.COMPLETE, Phase.LIMIT_REACHED, Phase.ABORTED)


def give_up(situation: Situation) -> None:
    """Note that the part is over although the next one cannot be made now."""
    _note_part(situation)
    _due(situation, delay=0.0)


def _due(situation: Situation, *, delay: float) -> datetime:
    """Return when the next part is due. Once that is in the status, the part before it is over for good."""
    due = situation.now + timedelta(seconds=delay)
    return parse_time(situation.facts.setdefault("nextPartAt", format_time(due)))


def _note_part(situation: Situation) -> None:
    verdict, facts = situation.verdict, situation.facts
    facts["part"] = verdict.part
    if verdict.job is not None:
        facts["jobName"] = verdict.job.name
    if verdict.pod is not None:
        facts["podName"] = verdict.pod.name
    if verdict.result is None:
        reason = f"{EndReason.KILLED.value}: {verdict.reason.message}"
        lose_part(situation.observed, facts, verdict, reason=reason, now=situation.now)


def _room_closed_empty(situation: Situation) -> bool:
    """An empty room was closed, or the last stream removed, under a waiting recorder: back to waiting without a pod."""
    result = situation.verdict.result
    assert result is not None
    aborted = result.phase is Phase.ABORTED and not status.had_media(situation.facts)
    return aborted and not situation.stop and EndReason.STOP_REQUESTED.value not in result.details


def _end_by_record(situation: Situation) -> Plan:
    result = situation.verdict.result
    assert result is not None
    return finish(
        situation,
        phase=result.phase,
        reason=Reason(
            result.phase.value, redact(result.message or result.details or _SENTENCES[result.phase])
        ),
        details=result.details,
        error=result.error,
        code=result.error_code,
    )


_SENTENCES = {
    Phase.COMPLETE: "the recording is complete",
    Phase.LIMIT_REACHED: "a limit was reached; the file is complete",
    Phase.ABORTED: "ended before any media",
}


def _fail_by_record(situation: Situation) -> Plan:
    result, verdict = situation.verdict.result, situation.verdict
    if result is not None and result.error:
        return fail(situation, error=result.error, code=result.error_code, details=result.details)
    known = {code.value: error for code, error in _CODE_OF_EXIT.items()}
    return fail(
        situation,
        error=f"the recorder refused its task (exit code {verdict.code}); the log of pod"
        f" {situation.facts.get('podName', '')} tells more",
        code=known.get(verdict.code or 0, ErrorCode.INTERNAL),
    )


def _end_by_stop(situation: Situation) -> Plan:
    """A stop or deletion was asked for and the part ended without having taken notice of it."""
    verdict = situation.verdict
    asked = livekit_details(EndReason.STOP_REQUESTED)
    if not status.had_media(situation.facts):
        reason = Reason("Stopped", "stopped before any media")
        return finish(situation, phase=Phase.ABORTED, reason=reason, details=asked)
    if is_uploaded(situation):
        reason = Reason("Complete", "stopped; every part is finalised and uploaded")
        return finish(situation, phase=Phase.COMPLETE, reason=reason, details=asked)
    error = verdict.result.error if verdict.result else ""
    return fail(
        situation,
        error=error or f"the recorder left no record of its last part: {verdict.reason.message}",
        code=verdict.result.error_code if verdict.result and error else ErrorCode.INTERNAL,
        reason="ResultUnknown",
    )


def _delay(situation: Situation) -> float:
    """Return the back-off: none after an interruption or after media, else 1 s doubling to 60 s."""
    verdict, facts = situation.verdict, situation.facts
    if "nextPartAt" in facts:
        return 0.0
    media = any(part["part"] >= verdict.part for part in facts.get("parts") or ())
    if verdict.code == ExitCode.INTERRUPTED or verdict.state is State.UNREACHABLE or media:
        return 0.0
    facts["failures"] = facts.get("failures", 0) + 1
    return min(_BACKOFF_LIMIT, 2.0 ** int(facts["failures"] - 1))


def _next_part(situation: Situation, *, delay: float) -> Plan:
    facts, now, verdict = situation.facts, situation.now, situation.verdict
    spec = situation.observed.recording.spec
    assert spec is not None
    number = max([verdict.part, *(part["part"] for part in facts.get("parts") or ())]) + 1
    if number > allowed(spec.max_parts, facts):
        return _exhausted(situation)
    due = _due(situation, delay=delay)
    retire: tuple[Action, ...] = ()
    job = verdict.job
    if job is not None and not job.deleting and (verdict.state is State.UNREACHABLE or job.suspended):
        # A suspended Job (a queue's preemption) would start this part a second time when it is resumed.
        retire = (DeleteJob(job.name),)
    if now < due:
        reason = _resuming(situation, f"part {number} follows: {verdict.reason.message}")
        wait = max(0.2, (due - now).total_seconds())
        return decide(situation, phase="Pending", reason=reason, before=retire, requeue=wait)
    made = start.part(situation, number=number)
    if made.before and not situation.observed.live:
        # The number of a part is concluded from all Jobs: two recorders must never get the same one.
        return Plan(look_closer=True)
    return replace(made, before=(*retire, *made.before))


def _resuming(situation: Situation, message: str) -> Reason:
    result = situation.verdict.result
    if result is not None and result.error:
        message = f"{message}: {redact(result.error)}"
    return Reason("Resuming" if status.had_media(situation.facts) else "Retrying", message)


def _exhausted(situation: Situation) -> Plan:
    spec, result = situation.observed.recording.spec, situation.verdict.result
    assert spec is not None
    last = (result.error if result else "") or situation.verdict.reason.message
    return fail(
        situation,
        error=f"the budget of {spec.max_parts} parts (limits.maxParts) is used up; the last one: {last}",
        code=(result.error_code if result else 0) or ErrorCode.INTERNAL,
        reason="PartsExhausted",
    )
