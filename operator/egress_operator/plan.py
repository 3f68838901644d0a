"""Owns the decision: what was observed and the time in, what is to be done out. Pure; fits the head.

The order of the questions is the state machine: over? going away? malformed? no part yet? waiting, running,
unreachable or over? Phases are api.md's; after the first Active they only go on to Ending and a terminal one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from egress_operator import (
    ending,
    facts,
    parts,
    start,
    status,
    storage,
    streams,
    succession,
    troubles,
    webhook_log,
)
from egress_operator.model import (
    Action,
    DeleteJob,
    Observed,
    Plan,
    Poll,
    Reason,
    RenewToken,
    WriteStop,
    WriteStreams,
)
from egress_operator.situation import Situation, decide
from egress_operator.units import format_time, parse_time
from egress_operator.verdict import State, is_stalled, judge
from egress_recorder.contract import EndReason, ErrorCode, Phase, RecorderStatus

TOKEN_RENEWAL = timedelta(hours=12)
"""A token is renewed when it has less than this left."""

_SILENT_START = timedelta(seconds=10)
"""A recorder whose endpoint cannot be reached for so long is taken to be in the room."""
_STALE_ANSWER = 5.0
"""Seconds of silence after which a recorder's last answer does not outweigh a failing readiness probe any more."""
_LOOK_AGAIN = 30.0


def plan(observed: Observed, *, now: datetime) -> Plan:  # noqa: PLR0911 - the order of the returns is the state machine
    """Return what is to be done now. Deterministic: the same observation gives the same plan."""
    recording = observed.recording
    if status.is_terminal(recording.status):
        return _after_the_end(observed, now)
    if recording.deleting and not recording.has_finalizer:
        return Plan()
    verdict = judge(observed, now)
    if verdict.by_absence and not observed.live:
        return Plan(look_closer=True)
    stop = _stop_wanted(observed)
    situation = Situation(observed, now, verdict, stop, facts.gather(observed))
    parts.lose_earlier_parts(situation.facts, observed, newest=verdict.part, now=now)
    if recording.spec is None:
        return ending.fail(
            situation, error=recording.spec_error, code=ErrorCode.INVALID_ARGUMENT, reason="InvalidSpec"
        )
    match verdict.state:
        case State.NONE if stop:
            return ending.finish(
                situation,
                phase=Phase.ABORTED,
                reason=Reason("Stopped", "stopped before a recorder was started"),
                details=ending.livekit_details(EndReason.STOP_REQUESTED),
            )
        case State.NONE:
            return start.part(situation, number=1)
        case State.WAITING:
            return _waiting(situation)
        case State.RUNNING:
            return _running(situation)
        case State.UNREACHABLE | State.OVER:
            return succession.part_over(situation)


def _stop_wanted(observed: Observed) -> bool:
    recording = observed.recording
    asked = recording.spec is not None and recording.spec.desired_state == "Stopped"
    return asked or recording.deleting or "stopRequestedAt" in recording.status


def _after_the_end(observed: Observed, now: datetime) -> Plan:
    """The finalizer is the memory: while it is there, the tidying has not been finished."""
    recording = observed.recording
    untold = webhook_log.is_undelivered(observed)
    after = ending.tidy(observed) if recording.has_finalizer and not untold else ()
    going, requeue = ending.farewell(observed, now)
    # The reason and phase stay; only observedGeneration and StopLatched follow the spec.
    document = facts.gather(observed)
    situation = Situation(observed, now, judge(observed, now), stop=True, facts=document)
    reasons = {condition["type"]: condition for condition in recording.status.get("conditions") or ()}
    reason = (reasons.get("Ready") or {}).get("reason", recording.status["phase"])
    made = decide(
        situation,
        phase=recording.status["phase"],
        reason=Reason(reason, recording.status.get("message", "")),
        after=(*after, *going),
        requeue=requeue,
    )
    return Plan(after=made.after) if recording.deleting else made


def _latch(situation: Situation) -> tuple[Action, ...]:
    """The first sight of a stop request: latch it and write it to the recording's Secret, the certain channel."""
    if not situation.stop or "stopRequestedAt" in situation.facts:
        return ()
    situation.facts["stopRequestedAt"] = format_time(situation.now.replace(microsecond=0))
    return (WriteStop(situation.observed.recording.generation),)


def _waiting(situation: Situation) -> Plan:
    """The container has not started: say why, or take the Job away when the recording is not wanted any more."""
    verdict, facts = situation.verdict, situation.facts
    _name_children(situation)
    before = _latch(situation)
    if situation.stop:
        if verdict.job is not None and not verdict.job.deleting:
            before = (*before, DeleteJob(verdict.job.name))
        reason = Reason("Stopping", "stopped before the recorder has started: its Job is being removed")
        return decide(situation, phase="Pending", reason=reason, before=before, requeue=5.0)
    reason = situation.observed.diagnosis or verdict.reason
    reason = storage.explain_missing(reason, (facts.get("resolved") or {}).get("storage") or ())
    if _is_outdated(situation):
        assert verdict.job is not None
        # The template or the operator's settings were corrected while the pod could not start: begin anew.
        facts["roomWaits"] = facts.get("roomWaits", 0) + 1
        reason = Reason("PodStarting", "what its pod is made of has changed: the Job is being replaced")
        before = (DeleteJob(verdict.job.name),)
    if status.had_media(facts):
        reason = Reason("Resuming", f"part {verdict.part} is being started: {reason.message}")
    return decide(situation, phase="Pending", reason=reason, before=before, requeue=5.0)


def _is_outdated(situation: Situation) -> bool:
    """Return True for a pod that has been hindered for a while and would be made differently now."""
    observed, verdict = situation.observed, situation.verdict
    job = verdict.job
    if job is None or job.deleting or not job.pod_hash or not observed.pod_hash:
        return False
    return is_stalled(verdict, situation.now) and job.pod_hash != observed.pod_hash


def _name_children(situation: Situation) -> None:
    verdict, facts = situation.verdict, situation.facts
    facts["part"] = verdict.part
    # Still there when the operator was killed between the next part's Job and the status.
    facts.pop("nextPartAt", None)
    if verdict.job is not None:
        facts["jobName"] = verdict.job.name
    if verdict.pod is not None:
        facts["podName"] = verdict.pod.name


def _running(situation: Situation) -> Plan:
    verdict, facts, now = situation.verdict, situation.facts, situation.now
    pod = verdict.pod
    assert pod is not None
    _name_children(situation)
    before = (*_latch(situation), *_streams(situation), *_renewal(situation), *_give_up(situation))
    polled = situation.observed.polled if situation.observed.polled_part == verdict.part else None
    recording = _records(polled, ready=pod.ready, silent=_is_silent(situation))
    if recording:
        facts.setdefault("startedAt", format_time(now.replace(microsecond=0)))
        facts.pop("failures", None)
        parts.begin(facts, verdict.part, situation.observed.recording.spec)
    phase, reason = _phase(situation, polled, recording=recording)
    over = polled is not None and polled.phase.is_terminal
    poll = Poll(
        pod_uid=pod.uid,
        ip=pod.ip,
        part=verdict.part,
        interval=0.5 if situation.stop or over or phase == "Pending" else 1.0,
        stop_generation=situation.observed.recording.generation if situation.stop else None,
        acknowledge=over,
    )
    return decide(
        situation,
        phase=phase,
        reason=reason,
        recording=recording,
        before=before,
        requeue=_LOOK_AGAIN if phase == "Active" and pod.ready and not situation.stop else 5.0,
        poll=poll if pod.ip else None,
    )


def _streams(situation: Situation) -> tuple[Action, ...]:
    """The spec has changed: the recorder is told its streams by the recording's Secret."""
    generation = situation.observed.recording.generation
    if situation.stop or not streams.is_outdated(situation.observed, situation.facts):
        return ()
    situation.facts["resolved"]["streamsGeneration"] = generation
    return (WriteStreams(generation),)


def _give_up(situation: Situation) -> tuple[Action, ...]:
    """Who deletes a recording whose file nobody takes gives the file up: its pod is told to go (SIGTERM)."""
    job = situation.verdict.job
    if not situation.observed.recording.deleting or job is None or job.deleting:
        return ()
    return (DeleteJob(job.name),) if troubles.is_held(situation.observed) else ()


def _is_silent(situation: Situation) -> bool:
    return situation.observed.silent_seconds >= _STALE_ANSWER


def _records(polled: RecorderStatus | None, *, ready: bool, silent: bool) -> bool:
    if polled is not None and (polled.phase is Phase.ENDING or polled.phase.is_terminal):
        return False
    return ready or (polled is not None and polled.recording and not silent)


def _phase(  # noqa: PLR0911 - the order of the returns is the rule
    situation: Situation, polled: RecorderStatus | None, *, recording: bool
) -> tuple[str, Reason]:
    """Return the phase of a running part. An interruption is no end: the next part follows, the phase stays."""
    verdict = situation.verdict
    assert verdict.pod is not None
    media = recording or status.had_media(situation.facts)
    if situation.stop and media:
        return "Ending", Reason("Stopping", "stop requested: the recorder finalises and uploads")
    if situation.stop:
        return "Starting", Reason("Stopping", "stop requested before any media")
    if polled is not None and polled.phase in _ENDING and not _is_interruption(polled):
        return "Ending", Reason("Finalising", polled.message or "the recorder finalises and uploads")
    if recording:
        return "Active", Reason("Recording", "media is being written")
    if media:
        what = "does not answer" if _is_silent(situation) else "waits for media"
        return "Active", Reason("Resuming", f"part {verdict.part} {what}")
    if polled is not None and polled.in_room:
        return "Starting", Reason(
            "WaitingForMedia", polled.message or "the recorder is in the room and waits for media"
        )
    if polled is None and situation.now - verdict.pod.created >= _SILENT_START:
        message = "the recorder runs; its endpoint cannot be reached, so progress is not shown"
        return "Starting", Reason("RecorderSilent", message)
    return "Pending", Reason("RecorderStarting", "the recorder has been started and joins the room")


_ENDING = (Phase.ENDING, Phase.COMPLETE, Phase.LIMIT_REACHED)


def _is_interruption(polled: RecorderStatus) -> bool:
    return any(reason.value in polled.details for reason in (EndReason.INTERRUPTED, EndReason.SUPERSEDED))


def _renewal(situation: Situation) -> tuple[Action, ...]:
    verdict, resolved = situation.verdict, situation.facts.get("resolved") or {}
    started = verdict.job.created if verdict.job else situation.observed.recording.created
    # Absent when the operator was killed between Job and status: then the token is as old as the Job.
    expires = (
        parse_time(resolved["tokenExpiresAt"])
        if "tokenExpiresAt" in resolved
        else started + start.TOKEN_LIFETIME
    )
    if expires - situation.now > TOKEN_RENEWAL:
        return ()
    resolved["tokenExpiresAt"] = format_time((situation.now + start.TOKEN_LIFETIME).replace(microsecond=0))
    return (RenewToken(verdict.part),)


def refuse(observed: Observed, reason: Reason, *, now: datetime) -> Plan:
    """Return the plan when the API server refused what the recording needs: say so, try again."""
    verdict = judge(observed, now)
    situation = Situation(observed, now, verdict, _stop_wanted(observed), facts.gather(observed))
    if verdict.state in {State.UNREACHABLE, State.OVER}:
        succession.give_up(situation)
    return start.refused(situation, reason)
