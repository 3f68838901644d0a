"""Owns what `plan` and `ending` share: the situation under judgement and how a plan is made of a decision. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from egress_operator import status, troubles, webhook_log
from egress_operator.model import Action, AddFinalizer, Document, Observed, PhaseEvent, Plan, Poll, Reason
from egress_operator.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Situation:
    """`facts` is the status document in the making, owned by this situation alone."""

    observed: Observed
    now: datetime
    verdict: Verdict
    stop: bool
    facts: Document


def decide(
    situation: Situation,
    *,
    phase: str,
    reason: Reason,
    recording: bool = False,
    before: tuple[Action, ...] = (),
    after: tuple[Action, ...] = (),
    requeue: float | None = None,
    poll: Poll | None = None,
) -> Plan:
    """Return the plan: the status only if it is worth a write, an Event only for a change of phase."""
    observed, now = situation.observed, situation.now
    old = observed.recording.status
    document = status.conclude(
        situation.facts, observed=observed, now=now, phase=phase, reason=reason, recording=recording
    )
    webhook_log.note(document, observed=observed, now=now)
    writes = status.is_worth_writing(old, document, now)
    if not writes and status.is_worth_writing({**old, "updatedAt": "1970-01-01T00:00:00Z"}, document, now):
        requeue = min(requeue or status.NUMBERS_EVERY.total_seconds(), status.NUMBERS_EVERY.total_seconds())
    changed = document["phase"] != old.get("phase", "Pending")
    return Plan(
        before=_held(observed, before) if writes else before,
        status=document if writes else None,
        after=after,
        event=_event(document) if writes and changed else None,
        notices=troubles.notices(old.get("conditions") or (), document) if writes else (),
        requeue=requeue,
        poll=poll,
    )


def _held(observed: Observed, before: tuple[Action, ...]) -> tuple[Action, ...]:
    """A recording with receivers has the finalizer from its first event on: one that is deleted still tells its end."""
    recording = observed.recording
    needed = bool(observed.receivers) and not status.is_terminal(recording.status) and not recording.deleting
    if not needed or recording.has_finalizer or AddFinalizer() in before:
        return before
    return (AddFinalizer(), *before)


def _event(document: Document) -> PhaseEvent:
    failed = document["phase"] == "Failed"
    return PhaseEvent("Warning" if failed else "Normal", document["phase"], document["message"])
