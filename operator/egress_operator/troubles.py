"""Owns the conditions of what a recorder has to report although the recording goes on, and their Events. Pure.

One condition per `Trouble` of the contract, there only when there was something to say. kstatus and Argo CD do not look
at them: the recording goes on, and restarting anything would make it worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from egress_operator import names
from egress_operator.model import Document, Observed, PhaseEvent, Reason
from egress_operator.parts import clean
from egress_operator.verdict import result_of
from egress_recorder.contract import Trouble

_Condition = tuple[str, str, str]
"""Status, reason, message."""

_KINDS: Mapping[Trouble, str] = {
    Trouble.SCRATCH_PRESSURE: names.SCRATCH_PRESSURE,
    Trouble.BACKUP_UNUSABLE: names.BACKUP_UNUSABLE,
    Trouble.BACKUP_USED: names.BACKUP_USED,
    Trouble.FILE_HELD: names.FILE_HELD,
    Trouble.OUTPUT_CUT: names.OUTPUT_CUT,
    Trouble.IMAGES_HELD: names.IMAGES_HELD,
    Trouble.IMAGES_DROPPED: names.IMAGES_DROPPED,
}
_REASONS: Mapping[Trouble, str] = {
    Trouble.SCRATCH_PRESSURE: "ScratchFilling",
    Trouble.BACKUP_UNUSABLE: "ProbeFailed",
    Trouble.BACKUP_USED: "StorageFailed",
    Trouble.FILE_HELD: "NoStorageTakesIt",
    Trouble.OUTPUT_CUT: "WritingFailed",
    Trouble.IMAGES_HELD: "ImagesWait",
    Trouble.IMAGES_DROPPED: "ImagesLeftOut",
}
_OVER: Mapping[Trouble, Reason] = {
    Trouble.SCRATCH_PRESSURE: Reason("ScratchFreed", "the scratch volume has room again"),
    Trouble.FILE_HELD: Reason("NothingHeld", "no file is held any more: status.parts says where each one is"),
    Trouble.IMAGES_HELD: Reason("ImagesStored", "no image waits for its storage any more"),
}
"""What is said afterwards. A trouble that is not here is a fact, which no later recorder takes back."""


def conditions(observed: Observed) -> dict[str, _Condition]:
    """Return type -> (status, reason, message) of all that has been reported."""
    before = {one["type"]: one for one in observed.recording.status.get("conditions") or ()}
    reported, heard = _reported(observed)
    made: dict[str, _Condition] = {}
    for trouble, kind in _KINDS.items():
        old = before.get(kind)
        if trouble.value in reported:
            made[kind] = ("True", _REASONS[trouble], clean(reported[trouble.value]))
        elif old is None:
            continue
        elif old["status"] == "True" and heard and trouble in _OVER:
            made[kind] = ("False", _OVER[trouble].reason, _OVER[trouble].message)
        else:
            made[kind] = (old["status"], old["reason"], old["message"])
    return made


def _reported(observed: Observed) -> tuple[Mapping[str, str], bool]:
    """Return what the newest recorder says, and whether it says anything at all."""
    pods = sorted(observed.pods, key=lambda pod: pod.part)
    result = result_of(pods[-1], observed.recording.uid) if pods else None
    news = result if result is not None else observed.polled
    return (news.troubles, True) if news is not None else ({}, False)


def is_held(observed: Observed) -> bool:
    """Return True while the recorder keeps a file that no storage takes."""
    return observed.polled is not None and Trouble.FILE_HELD.value in observed.polled.troubles


def notices(old: Sequence[Mapping[str, Any]], document: Document) -> tuple[PhaseEvent, ...]:
    """Return an Event for each trouble that has begun."""
    lasting = {one["type"] for one in old if one["status"] == "True"}
    return tuple(
        PhaseEvent("Warning", one["type"], one["message"])
        for one in document["conditions"]
        if one["type"] in _KINDS.values() and one["status"] == "True" and one["type"] not in lasting
    )
