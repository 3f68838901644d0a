"""Owns `status.webhooks`: which events a recording has had and how far each receiver has got. Pure.

An event is noted in the same write as the change of status that it tells of, so a killed operator forgets none. How
far receivers have got comes with the next write; an event that was sent twice has the same id. What is noted of an
event is enough to make its body again (`webhook_event`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from egress_operator.api_status import TERMINAL_PHASES
from egress_operator.model import Document, Observed
from egress_operator.units import format_time, parse_time
from egress_operator.webhook_model import Delivered, Entry
from egress_recorder.contract import EndReason

STARTED, UPDATED, ENDED = "egress_started", "egress_updated", "egress_ended"
STATUS = {
    "Pending": "EGRESS_STARTING",
    "Starting": "EGRESS_STARTING",
    "Active": "EGRESS_ACTIVE",
    "Paused": "EGRESS_ACTIVE",
    "Ending": "EGRESS_ENDING",
    "Complete": "EGRESS_COMPLETE",
    "Failed": "EGRESS_FAILED",
    "Aborted": "EGRESS_ABORTED",
    "LimitReached": "EGRESS_LIMIT_REACHED",
}
"""LiveKit's status of each phase (api.md)."""

EVENTS_LIMIT = 8
"""Events that wait for a receiver; beyond it the oldest `egress_updated` goes."""
TRIED_FOR = timedelta(minutes=10)
"""An event that a receiver has not taken for so long is given up."""
TRIED_WHILE_DELETING = timedelta(minutes=1)
"""So long after the end of a recording its deletion waits for receivers."""


def note(document: Document, *, observed: Observed, now: datetime) -> None:
    """Write into the status document what is new: events of this change, and how far receivers have got."""
    old = observed.recording.status
    before = old.get("webhooks")
    if not observed.receivers and before is None:
        return
    log = dict(before or {})
    sequence, events = log.get("sequence", 0), list(log.get("events") or ())
    if observed.receivers and old.get("phase") not in TERMINAL_PHASES:
        for event, status in _news(old, document, first=sequence == 0):
            sequence += 1
            details = _details(document, observed, status)
            events.append(_entry(sequence, event, status, now, details))
    if sequence == 0:
        return
    receivers = [
        _shown(receiver.id, receiver.origin, delivered(old, observed.delivered, receiver.id))
        for receiver in observed.receivers
    ]
    behind = min((shown["sequence"] for shown in receivers), default=sequence)
    document["webhooks"] = {
        "sequence": sequence,
        "events": _bounded([entry for entry in events if entry["sequence"] > behind]),
        "receivers": receivers,
    }


def _news(old: Mapping[str, Any], new: Mapping[str, Any], *, first: bool) -> Iterator[tuple[str, str]]:
    """Yield (event, LiveKit's status): what LiveKit sends, and one update for each later recorder (retryCount)."""
    if first:
        yield STARTED, "EGRESS_STARTING"
    status, before = STATUS[new["phase"]], STATUS[old.get("phase", "Pending")]
    resumed = status == "EGRESS_ACTIVE" and new.get("retryCount", 0) > old.get("retryCount", 0)
    if new["phase"] == "Complete" and before == "EGRESS_ACTIVE":
        # It was over between two looks; with LiveKit nothing completes that was not ending.
        yield UPDATED, "EGRESS_ENDING"
    if new["phase"] in TERMINAL_PHASES:
        yield ENDED, status
    elif (
        status not in {before, "EGRESS_STARTING"}
        or resumed
        or (status == "EGRESS_ACTIVE" and _streams_moved(old, new))
    ):
        yield UPDATED, status


def _streams_moved(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """As LiveKit: a stream that was added, finished or has failed is told of at once."""

    def states(document: Mapping[str, Any]) -> dict[str, str]:
        return {entry["key"]: entry["status"] for entry in document.get("streamResults") or ()}

    return states(old) != states(new)


def _details(document: Mapping[str, Any], observed: Observed, status: str) -> str:
    if status != "EGRESS_ENDING" or "details" in document:
        return str(document.get("details", ""))
    if "stopRequestedAt" in document:
        return f"End reason: {EndReason.STOP_REQUESTED.value}"
    return observed.polled.details if observed.polled else ""


def _entry(sequence: int, event: str, status: str, now: datetime, details: str) -> Entry:
    entry = {"sequence": sequence, "event": event, "status": status, "at": format_time(now)}
    return entry | ({"details": details} if details else {})


def _shown(name: str, origin: str, done: Delivered) -> Document:
    shown: Document = {"receiver": name, "origin": origin, "sequence": done.sequence}
    if done.dropped:
        shown |= {"dropped": done.dropped, "message": done.message}
    return shown


def _bounded(events: list[Entry]) -> list[Entry]:
    while len(events) > EVENTS_LIMIT:
        victim = next((entry for entry in events if entry["event"] == UPDATED), events[0])
        events.remove(victim)
    return events


def delivered(status: Mapping[str, Any], known: Mapping[str, Delivered], receiver: str) -> Delivered:
    """Return how far a receiver has got: what this process knows, else what the status says."""
    entries = (status.get("webhooks") or {}).get("receivers") or ()
    written: Mapping[str, Any] = next((entry for entry in entries if entry["receiver"] == receiver), {})
    noted = Delivered(written.get("sequence", 0), written.get("dropped", 0), written.get("message", ""))
    held = known.get(receiver)
    return held if held is not None and held.sequence >= noted.sequence else noted


def waiting(status: Mapping[str, Any], done: Delivered) -> list[Entry]:
    """Return the events that a receiver has not got yet, in their order."""
    events = (status.get("webhooks") or {}).get("events") or ()
    return [entry for entry in events if entry["sequence"] > done.sequence]


def is_undelivered(observed: Observed) -> bool:
    """Return True while a receiver still has to get an event: the recording is not let go before."""
    status = observed.recording.status
    return any(
        waiting(status, delivered(status, observed.delivered, receiver.id)) for receiver in observed.receivers
    )


def give_up_at(entry: Entry, status: Mapping[str, Any], *, deleting: bool) -> datetime:
    """Return when the operator stops to try an event."""
    last = parse_time(entry["at"]) + TRIED_FOR
    events = (status.get("webhooks") or {}).get("events") or ()
    ended = next((one["at"] for one in events if one["event"] == ENDED), None)
    if not deleting or ended is None:
        return last
    return min(last, parse_time(ended) + TRIED_WHILE_DELETING)


def is_over(status: Mapping[str, Any]) -> bool:
    """Return True when the last event is noted."""
    return status.get("phase") in TERMINAL_PHASES


def is_settled(document: Mapping[str, Any]) -> bool:
    """Return True when the recording is over and no event waits: worth a write of its own, once."""
    webhooks = document.get("webhooks") or {}
    return document.get("phase") in TERMINAL_PHASES and "sequence" in webhooks and not webhooks.get("events")
