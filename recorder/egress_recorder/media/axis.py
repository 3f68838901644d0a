"""Owns how the axis of a file is moved so that pictures are due at the ticks that show them; pure.

A picture can only be shown at a tick, up to half of one away from its time, and since camera and grid have nearly the
same rate that error would be the same through the whole file. So the axis itself moves: by at most a tick at once while
nothing is written yet (`phase`), by at most another one while no sound is (`settle`), and by at most another one slowly
afterwards; sound follows by stretching, and the origin says what was done.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable

RATE, RATE_MOST, SHARE = 0.0005, 0.005, 0.4
"""Seconds per second by which the axis is moved: this share of the lateness, within these limits."""
YOUNG, SHARE_YOUNG = 15.0, 1.0
"""Seconds from the beginning in which it is more of it: jitter buffers find their size then, the phase changes with it, and
the first five seconds are what a viewer sees of a sync. The limit stays: at twice of it a steady tone wavers (seen)."""
MOST, DEADBAND = 0.05, 0.002
"""Seconds by which it may be moved slowly (never more than a tick), and of lateness for which it is not moved."""
AGREEMENT = 0.5
"""Length of the mean phase vector (0: spread over the whole tick, 1: all the same) from which on a phase is one."""


def phase(times: Iterable[float], fps: int) -> float:
    """Return by how many seconds pictures at these file times are due after their nearest ticks, within half a tick.

    The circular mean, 0 where there is none: a camera of another rate has pictures at all phases.
    """
    vectors = [cmath.rect(1.0, math.tau * time * fps) for time in times]
    if not vectors:
        return 0.0
    mean = sum(vectors) / len(vectors)
    return cmath.phase(mean) / math.tau / fps if abs(mean) >= AGREEMENT else 0.0


class Axis:
    """The moves of one file's axis; all times are seconds."""

    def __init__(self, fps: int) -> None:
        self._fps, self._most = fps, min(1 / fps, MOST)
        self.moved = 0.0
        """Seconds by which it has been moved so far; positive: media time 0 is later."""
        self._settled = self._slewed = 0.0
        self._at: float | None = None
        self._age = 0.0

    def jump(self, times: Iterable[float], *, sooner: bool) -> float:
        """Return by how much the origin is moved at once for pictures at these file times, while nothing is written.

        `sooner`: only to an earlier time.
        """
        lateness = phase(times, self._fps)
        if sooner and lateness > 0:
            lateness -= 1 / self._fps
        self.moved += lateness
        return lateness

    def settle(self, lateness: float, room: float) -> float:
        """Return by how much the origin is moved at once while sound has no place yet; at most a tick in all.

        `room`: seconds by which it may be later without cutting what came first.
        """
        if abs(lateness) < DEADBAND:
            return 0.0
        step = min(lateness, max(0.0, room))
        wanted = max(-1 / self._fps, min(1 / self._fps, self._settled + step))
        step, self._settled = wanted - self._settled, wanted
        self.moved += step
        return step

    def step(self, lateness: float, now: float, *, live: bool) -> float:
        """Return by how much the origin is moved now, when pictures are due `lateness` after their ticks.

        `live`: pictures come; without any there is nothing to be aligned.
        """
        elapsed = min(0.1, max(0.0, now - (self._at or now)))
        self._at = now
        self._age += elapsed
        if abs(lateness) < DEADBAND or not live:
            return 0.0
        share = SHARE_YOUNG if self._age < YOUNG else SHARE
        limit = elapsed * max(RATE, min(RATE_MOST, share * abs(lateness)))
        wanted = self._slewed + max(-limit, min(limit, lateness))
        before, self._slewed = self._slewed, max(-self._most, min(self._most, wanted))
        self.moved += self._slewed - before
        return self._slewed - before
