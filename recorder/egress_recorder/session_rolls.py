"""Owns which numbers of a capture belong to which of its files, when new files are begun while it goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import datetime
from fractions import Fraction

from egress_recorder import ipc
from egress_recorder.media.packets import Roll
from egress_recorder.media.values import Numbers
from egress_recorder.session_values import progress
from egress_recorder.vocabulary import Corrections

_STATES = frozenset({"lip_sync", "lip_sync_max", "receive_delay", "axis_moved"})
"""Corrections that are no sums over time."""


@dataclass(frozen=True, slots=True)
class _Rolled:
    roll: Roll
    until: float
    numbers: Numbers


class Rolls:
    """`note` is called from the media thread, the rest from the event loop."""

    def __init__(self, seconds: Fraction | None) -> None:
        """`seconds`: of each file; None: nothing is ever noted."""
        self._seconds = seconds
        self._count = 0
        self._waiting: deque[_Rolled] = deque()
        self._told = Numbers()

    def note(self, roll: Roll, numbers_until: Callable[[float], Numbers]) -> None:
        """Files were completed just now."""
        assert self._seconds is not None
        self._count += 1
        until = float(self._seconds * self._count)
        numbers = replace(numbers_until(until), bytes_written=roll.bytes_written)
        self._waiting.append(_Rolled(roll, until, numbers))

    def take(self) -> list[_Rolled]:
        """Return what was noted since the last call, to be told by `tell`."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def tell(self, rolled: _Rolled, at: datetime) -> ipc.FilesClosed:
        """Return the event of it; `at` is the wall clock of its media time."""
        numbers, self._told = self.current(rolled.numbers), rolled.numbers
        return ipc.FilesClosed(
            files=rolled.roll.filenames,
            problems=rolled.roll.problems,
            next_files=rolled.roll.next_filenames,
            until=rolled.until,
            at=at,
            progress=progress(numbers),
        )

    def current(self, numbers: Numbers) -> Numbers:
        """Return a capture's numbers without those of the files that were told."""
        return since(numbers, self._told)


def since(numbers: Numbers, before: Numbers) -> Numbers:
    """Return what was added; a snapshot may be older than `before`."""
    sums = {
        one.name: max(0, getattr(numbers, one.name) - getattr(before, one.name))
        for one in fields(Numbers)
        if one.name != "corrections"
    }
    corrections = {
        one.name: getattr(numbers.corrections, one.name)
        - (0 if one.name in _STATES else getattr(before.corrections, one.name))
        for one in fields(Corrections)
    }
    return replace(numbers, **sums, corrections=Corrections(**corrections))
