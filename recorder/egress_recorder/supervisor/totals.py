"""Owns how the numbers of several parts become those of a recording. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from egress_recorder.contract import Corrections, Progress

_NEWEST = frozenset({"lip_sync", "receive_delay", "axis_moved"})
_LARGEST = frozenset({"lip_sync_max"})


def total(
    numbers: Sequence[Progress], *, duration: float, written: int, uploaded: int, after_end: bool = False
) -> Progress:
    """Return the sum of the parts' numbers, oldest part first; what is counted elsewhere is given."""
    return Progress(
        duration=duration,
        bytes_written=written,
        bytes_uploaded=uploaded,
        frames=sum(one.frames for one in numbers),
        frames_dropped=sum(one.frames_dropped for one in numbers),
        frames_duplicated=sum(one.frames_duplicated for one in numbers),
        silence_inserted=sum(one.silence_inserted for one in numbers),
        degraded=sum(one.degraded for one in numbers),
        corrections=_corrections([one.corrections for one in numbers]),
        uploads_after_end=after_end,
    )


def _corrections(parts: Sequence[Corrections]) -> Corrections:
    if not parts:
        return Corrections()

    def combined(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        if name in _NEWEST:
            return values[-1]
        return max(values) if name in _LARGEST else sum(values)

    return Corrections(**{one.name: combined(one.name) for one in fields(Corrections)})
