"""Owns the one status document: phase, message, conditions by kstatus' rules, and when it is worth a write. Pure.

`facts.gather` has merged the evidence before; `merge_patch` is what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from egress_operator import degradation, names, streams, troubles, webhook_log
from egress_operator.api_status import TERMINAL_PHASES
from egress_operator.model import Document, Observed, Reason
from egress_operator.parts import clean
from egress_operator.units import format_time, parse_time

NUMBERS_EVERY = timedelta(seconds=10)
"""Progress alone is written this seldom; a change of state at once."""


def is_terminal(status: Mapping[str, Any]) -> bool:
    """Return True when the recording is over."""
    return status.get("phase") in TERMINAL_PHASES


def had_media(status: Mapping[str, Any]) -> bool:
    """Return True when some media was recorded."""
    return bool(status.get("startedAt")) or status.get("phase") in {"Active", "Ending"}


def conclude(
    document: Document,
    *,
    observed: Observed,
    now: datetime,
    phase: str,
    reason: Reason,
    recording: bool = False,
) -> Document:
    """Return the finished document. The phase never goes back behind Active (api.md, "Status")."""
    old = observed.recording.status
    wanted = _monotonic(old.get("phase"), phase)
    message = clean(reason.message)
    generation = observed.recording.generation
    conditions = _conditions(wanted, Reason(reason.reason, message), recording=recording)
    spec = observed.recording.spec
    stopped = "stopRequestedAt" in document and not observed.recording.deleting
    if stopped and spec is not None and spec.desired_state != "Stopped":
        conditions[names.STOP_LATCHED] = ("True", "AlreadyStopped", _LATCHED)
    if (degraded := degradation.condition(observed, document, recording=recording)) is not None:
        lasts, why = degraded
        conditions[names.DEGRADED] = ("True" if lasts else "False", why.reason, why.message)
    conditions |= troubles.conditions(observed)
    if wanted in TERMINAL_PHASES:
        streams.settle(document, now)
    document |= {
        "phase": wanted,
        "message": message,
        "observedGeneration": generation,
        "updatedAt": format_time(now.replace(microsecond=0)),
        "conditions": _with_transitions(
            old.get("conditions") or (), conditions, generation=generation, now=now
        ),
    }
    return document


_LATCHED = "a stopped recording does not start again: create a new resource for another recording"


def _monotonic(old: str | None, wanted: str) -> str:
    if old == "Ending" and wanted not in TERMINAL_PHASES:
        return "Ending"
    if old == "Active" and wanted in {"Pending", "Starting"}:
        return "Active"
    return wanted


def _conditions(phase: str, reason: Reason, *, recording: bool) -> dict[str, tuple[str, str, str]]:
    """Return type -> (status, reason, message). kstatus: Reconciling and Stalled are there only when true."""
    text = (reason.reason, reason.message)
    terminal = phase in TERMINAL_PHASES
    ready = phase not in {"Pending", "Failed"}
    conditions = {
        names.READY: ("True" if ready else "False", *text),
        names.RECORDING: ("True" if recording else "False", *text),
        names.FINISHED: (
            "True" if terminal else "False",
            phase if terminal else "InProgress",
            reason.message,
        ),
    }
    if phase == "Pending":
        conditions[names.RECONCILING] = ("True", *text)
    if phase == "Failed":
        conditions[names.STALLED] = ("True", *text)
    return conditions


def _with_transitions(
    old: Sequence[Mapping[str, Any]],
    wanted: Mapping[str, tuple[str, str, str]],
    *,
    generation: int,
    now: datetime,
) -> list[Document]:
    before = {condition["type"]: condition for condition in old}
    result = []
    for kind, (value, reason, message) in wanted.items():
        previous = before.get(kind) or {}
        same = previous.get("status") == value
        result.append(
            {
                "type": kind,
                "status": value,
                "reason": reason,
                "message": message,
                "lastTransitionTime": previous["lastTransitionTime"]
                if same
                else format_time(now.replace(microsecond=0)),
                "observedGeneration": generation,
            }
        )
    return result


# ---- writing -------------------------------------------------------------------------------------------------


def is_worth_writing(old: Mapping[str, Any], new: Mapping[str, Any], now: datetime) -> bool:
    """Return True for a change of state; numbers alone wait until the last write is 10 s old."""
    if _state(old) != _state(new):
        return True
    if _numbers(old) == _numbers(new):
        return False
    return "updatedAt" not in old or now - parse_time(old["updatedAt"]) >= NUMBERS_EVERY


_NUMBERS = (
    "progress",
    "gapsDuration",
    "fileResults",
    "segmentResults",
    "imageResults",
    "streamResults",
    "tracks",
    "webhooks",
)


def _state(document: Mapping[str, Any]) -> Document:
    state = {key: value for key, value in document.items() if key not in {*_NUMBERS, "updatedAt", "parts"}}
    state["streams"] = streams.states(document)
    state["webhooksSettled"] = webhook_log.is_settled(document)
    state["parts"] = [
        (part["part"], part["output"], part.get("endReason"), part.get("location"))
        for part in document.get("parts") or ()
    ]
    return state


def _numbers(document: Mapping[str, Any]) -> list[Any]:
    return [document.get(key) for key in (*_NUMBERS, "parts")]


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> Document:
    """Return the JSON merge patch (RFC 7386) that turns old into new."""
    patch: Document = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif before != value or key not in old:
            patch[key] = value
    return patch
