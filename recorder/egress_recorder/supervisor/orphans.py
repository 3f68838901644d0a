"""Owns the uploads that earlier recorders of this recording began and did not live to complete.

A pod or node that is lost takes its scratch volume along; what it had uploaded of its growing file is in the storage, under
the part's name, and plays. Only parts of which the operator says that their recorder is gone without a record are looked
for: one that was interrupted may be uploading its end while this recorder begins. A storage that cannot be asked costs
nothing. It happens before this recorder has media, so that the gap that is told from the first is the right one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from egress_recorder.contract import Part
from egress_recorder.errors import RecorderError
from egress_recorder.filetypes import content_type
from egress_recorder.naming import tokens_of
from egress_recorder.partplan import GROWING
from egress_recorder.storage import GrowingStorage, PartRecord
from egress_recorder.supervisor.ledger import Ledger
from egress_recorder.supervisor.outputs import Output
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Completed:
    """An orphan that is an object now, and its bytes."""

    location: str
    size: int


async def complete_orphans(outputs: Sequence[Output], ledger: Ledger) -> int:
    """Complete what can be; return how many files that gave."""
    found = 0
    for part in ledger.orphans():
        output = next((output for output in outputs if output.index == part.output), None)
        if output is None or not part.filename or tokens_of(part.filename):
            continue
        done = await _complete(output, part)
        if done is not None:
            ledger.recovered(recovered(part, done))
            found += 1
    return found


def recovered(part: Part, done: Completed) -> Part:
    """Return the part as it is now. Its length in seconds follows from its bytes: nothing is downloaded to measure it."""
    share = min(1.0, done.size / part.size) if part.size else 1.0
    duration = round(part.duration * share, 3)
    return part.model_copy(
        update={
            "location": done.location,
            "size": done.size,
            "duration": duration,
            "ended_at": part.started_at and part.started_at + timedelta(seconds=duration),
        }
    )


async def _complete(output: Output, part: Part) -> Completed | None:
    storage, fields = output.storage, {"output": output.name, "part": part.part}
    if not isinstance(storage, GrowingStorage):
        return None
    try:
        done = await in_thread("orphan", lambda: complete(storage, part.filename))
    except RecorderError as error:
        logger.warning(
            "what an earlier recorder uploaded cannot be completed", extra={**fields, "error": str(error)}
        )
        return None
    if done is not None:
        logger.info("an earlier recorder's upload was completed", extra={**fields, "size": done.size})
    return done


def complete(storage: GrowingStorage, key: str) -> Completed | None:
    """Complete the upload of this key that has most; None: there is none. Blocks; raises RecorderError."""
    best: tuple[int, str, list[PartRecord]] = (0, "", [])
    for found in storage.begun(key, content_type(key)):
        upload = storage.resume(key, found, part_size=GROWING.first)
        parts = whole_beginning(storage.list_parts(upload))
        best = max(best, (sum(part.size for part in parts), found, parts), key=lambda one: one[0])
    size, found, parts = best
    if not size:
        return None
    upload = storage.resume(key, found, part_size=GROWING.first)
    storage.complete(upload, parts)
    return Completed(storage.location(key), size)


def whole_beginning(parts: Sequence[PartRecord]) -> list[PartRecord]:
    """Return the parts from 1 on without a gap: each but the last full, so that the object is a beginning of the file."""
    kept: list[PartRecord] = []
    for part in sorted(parts, key=lambda part: part.number):
        before = kept[-1] if kept else None
        if part.number != len(kept) + 1 or (before and before.size != GROWING.length(before.number)):
            break
        kept.append(part)
    return kept
