"""Owns where the samples of one audio track lie in the file; pure.

Inside one stream no sample is ever lost (the receiver pulls 10 ms every 10 ms and the SDK's queue is unbounded), so
late delivery is only late: samples are counted and never filled. A stream is anchored at its smallest lateness of
the first half second; what remains (clock drift, an anchor taken on a busy machine) is slewed by stretching.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from egress_recorder.media.values import SAMPLE_RATE

SETTLE = 0.5
"""Seconds of a new stream over which the anchor is sought; its samples wait for so long."""
WINDOW = 4.0
"""Seconds over which the smallest lateness is taken afterwards."""
YOUNG = 15.0
"""Seconds after the anchor in which a correction may be heard (1 %) instead of being exact only after a minute."""
START, STOP = 0.003, 0.0005
"""Seconds of error at which slewing starts and ends."""


C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Placement(Generic[C]):
    """The chunk (opaque) goes to sample `position` and shall become `length` samples."""

    chunk: C
    position: int
    length: int


class AudioClock(Generic[C]):
    """Places the chunks of one stream. Positions are samples since file time 0; `arrived` is on the file's axis."""

    def __init__(self) -> None:
        self._held: list[tuple[C, int]] = []
        self._first: float | None = None
        self._anchored_at: float | None = None
        self._base = 0.0
        self._recent: deque[tuple[float, float]] = deque()
        self._direction = 0
        self._owed = 0.0
        self.added = 0
        """Samples by which sound was stretched."""
        self.removed = 0
        """Samples by which sound was squeezed."""
        self.position = 0
        """Where the next sample goes; before the anchor, where the first one goes as far as is known."""

    def push(self, chunk: C, samples: int, arrived: float) -> list[Placement[C]]:
        """Place a chunk whose last sample arrived at `arrived` (seconds of file time)."""
        if self._anchored_at is None:
            return self._settle(chunk, samples, arrived)
        self._note(arrived, arrived - (self.position + samples) / SAMPLE_RATE)
        length = samples + self._slew(arrived, samples)
        placement = Placement(chunk, self.position, length)
        self.position += length
        return [placement]

    def shift(self, seconds: float) -> None:
        """The file's axis was moved: what arrives is `seconds` later on it than before, and follows by stretching."""
        self._base += seconds
        self._owed += seconds
        self._recent = deque((at, late + seconds) for at, late in self._recent)

    def flush(self) -> list[Placement[C]]:
        """Place what still waits for the anchor (the stream or the recording ends)."""
        held, self._held = self._held, []
        placements: list[Placement[C]] = []
        for chunk, samples in held:
            placements.append(Placement(chunk, self.position, samples))
            self.position += samples
        return placements

    def _settle(self, chunk: C, samples: int, arrived: float) -> list[Placement[C]]:
        self._held.append((chunk, samples))
        begin = arrived - sum(count for _, count in self._held) / SAMPLE_RATE
        if self._first is None:
            self._first, self._base = arrived, begin
        self._base = min(self._base, begin)
        self.position = round(self._base * SAMPLE_RATE)
        if arrived - self._first < SETTLE:
            return []
        self._anchored_at, self._owed = arrived, 0.0
        return self.flush()

    def _note(self, arrived: float, lateness: float) -> None:
        # Monotone queue: its head is the minimum of the window.
        while self._recent and self._recent[-1][1] >= lateness:
            self._recent.pop()
        self._recent.append((arrived, lateness))
        while self._recent[0][0] <= arrived - WINDOW:
            self._recent.popleft()

    def _slew(self, arrived: float, samples: int) -> int:
        assert self._anchored_at is not None
        age = arrived - self._anchored_at
        if abs(self._owed) * SAMPLE_RATE >= 1:
            # As fast as the axis is moved at most, and it is done when the axis is.
            return self._step(self._owed, max(1, samples // 100))
        limit = max(1, samples // (100 if age < YOUNG else 1000))
        if age < (1.0 if age < YOUNG else WINDOW):
            return 0
        error = self._recent[0][1]
        if not self._direction and abs(error) > START:
            self._direction = 1 if error > 0 else -1
        elif self._direction and error * self._direction < STOP:
            self._direction = 0
        return self._step(error, limit) if self._direction else 0

    def _step(self, error: float, limit: int) -> int:
        """Return by how many samples this chunk is lengthened, at most `limit` and at least one."""
        step = min(limit, max(1, round(abs(error) * SAMPLE_RATE))) * (1 if error > 0 else -1)
        self.added += max(0, step)
        self.removed += max(0, -step)
        moved = step / SAMPLE_RATE
        self._owed -= math.copysign(min(abs(self._owed), abs(moved)), self._owed)
        self._recent = deque((at, late - moved) for at, late in self._recent)
        return step
