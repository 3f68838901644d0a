"""Owns how the axis of a file is moved so that pictures are due at the ticks that show them; pure.

A picture can only be shown at a tick, up to half of one away from its time, and since camera and grid have nearly the
same rate that error would be the same through the whole file. So the axis itself moves, by at most a tick in all and
slowly: sound follows by stretching, and the origin says what was done.
"""

from __future__ import annotations

RATE, RATE_YOUNG, YOUNG = 0.0005, 0.005, 10.0
"""Seconds per second by which the axis is moved, the second one in the first `YOUNG` seconds of the file."""
MOST, DEADBAND = 0.05, 0.002
"""Seconds by which it may be moved in all (never more than a tick), and of lateness for which it is not moved."""


class Axis:
    """The moves of one file's axis; all times are seconds."""

    def __init__(self, fps: int) -> None:
        self._most = min(1 / fps, MOST)
        self.moved = 0.0
        """Seconds by which it has been moved so far; positive: media time 0 is later."""
        self._at: float | None = None

    def step(self, lateness: float, now: float, origin: float, *, live: bool) -> float:
        """Return by how much the origin is moved now, when pictures are due `lateness` after their ticks.

        `live`: pictures come; without any there is nothing to be aligned.
        """
        elapsed = min(0.1, max(0.0, now - (self._at or now)))
        self._at = now
        if abs(lateness) < DEADBAND or not live:
            return 0.0
        limit = elapsed * (RATE_YOUNG if now - origin < YOUNG else RATE)
        wanted = self.moved + max(-limit, min(limit, lateness))
        before, self.moved = self.moved, max(-self._most, min(self._most, wanted))
        return self.moved - before
