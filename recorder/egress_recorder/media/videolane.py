"""Owns which picture each tick of the constant frame rate shows; pure, the pictures are opaque.

Tick k is at k / fps and shows the newest picture that is due, a picture being due at its corrected capture time
rounded to a tick. What is rounded is the phase of the stream, not of the single picture: a picture that follows its
predecessor takes the next tick while the mean distance is within half a tick, and one of a slower camera the tick that
is as far from it as that of its predecessor was. Otherwise a 30 fps camera whose pictures fall on the border of two ticks
would lose up to half of them to one millisecond of jitter (one tick with two pictures, the next one with none), and a 15
fps camera would be early and late in turn.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

P = TypeVar("P")

JITTER = 0.8
"""Ticks of distance at which a picture is no longer the successor of the last one; a slow camera has no successors."""
STRIDE = 6.0
"""Ticks after the last picture up to which the next one is of the same phase (5 fps in a file of 30)."""
PHASE = 0.65
"""Ticks of mean distance at which a stream moves to the neighbouring tick; so far above one half that the axis, which follows by 5 ms/s,
takes a shift of half a tick back before the stream jumps by a whole one (seen when a simulcast sender begins its largest
layer: 34 ms for seconds, where 12 were due)."""
SMOOTHING = 0.05
"""Weight of a new picture in the mean distance (20 pictures)."""
SMOOTHING_YOUNG, YOUNG = 0.2, 1.5
"""The same for `lateness` in the first seconds of the file, in which its axis follows at once (`timeline.SOUND_BEGIN`)."""
SETTLING, PHASE_SETTLING, SMOOTHING_SETTLING = 2.0, 0.55, 0.1
"""Seconds after pictures began (again), in which their first measured delays are replaced by right ones, and `PHASE` and `SMOOTHING`
for so long: a tick taken for a wrong delay is left at once, where the axis would need six seconds (an unmuted camera: 27 ms)."""


@dataclass(frozen=True, slots=True)
class Tick(Generic[P]):
    """One frame of the file; `picture` None is black. `fresh` is False when the picture was shown before."""

    index: int
    picture: P | None
    fresh: bool


class VideoLane(Generic[P]):
    """Turns pictures at any times into one frame per tick, without a gap and without going back."""

    def __init__(self, fps: int) -> None:
        self._fps = fps
        self._next = 0
        self._shown: P | None = None
        self._pending: deque[tuple[int, P | None]] = deque()
        self._last = -1
        self._slow = False
        self._phase = 0.0
        self._settled = 0.0
        """Ideal tick from which on the phase of what is shown is a settled one."""
        self.lateness = 0.0
        """Seconds by which pictures were lately due after the tick that shows them, on average."""
        self._placed = 0
        self.dropped = 0
        """Pictures that no tick shows."""
        self.late = 0
        """Of the dropped pictures those whose tick was written already."""
        self.surplus = 0
        """Of the dropped pictures those that a newer one of the same tick replaced."""
        self.duplicated = 0
        """Ticks that repeat a picture (black ones are not counted)."""

    @property
    def position(self) -> float:
        """File time up to which ticks were returned, seconds."""
        return self._next / self._fps

    def place(self, picture: P | None, file_time: float) -> None:
        """Show `picture` (None: black) from `file_time` on. Calls come in the order of their times."""
        tick = self._round(file_time * self._fps)
        if picture is None:
            # The end of a picture is never too late; what comes after it may have another phase.
            tick, self._placed = max(tick, self._next, self._last), 0
        if tick < self._next:
            # Its tick is written already.
            self.dropped += 1
            self.late += 1
            return
        if self._pending and self._pending[-1][0] >= tick:
            tick = self._pending[-1][0]
            replaced = self._pending.pop()
            self.dropped += replaced[1] is not None
            self.surplus += replaced[1] is not None
        if picture is not None:
            self._placed += 1
            least = SMOOTHING_YOUNG if file_time < YOUNG else SMOOTHING
            weight = max(least, 1 / self._placed)
            self.lateness += weight * (file_time - tick / self._fps - self.lateness)
        self._pending.append((tick, picture))
        self._slow = picture is not None and tick > self._last + 1
        self._last = tick

    def shift(self, seconds: float) -> None:
        """The file's axis was moved: all that comes is `seconds` later on it than before."""
        self.lateness += seconds
        self._phase += seconds * self._fps

    def ticks(self, until: float) -> list[Tick[P]]:
        """Return all ticks before file time `until` that were not returned yet; the last picture is repeated."""
        out: list[Tick[P]] = []
        while self._next / self._fps < until:
            out.append(self._take())
        return out

    def due(self) -> list[Tick[P]]:
        """Return the ticks up to the newest placed picture but one: nothing can change them any more."""
        out: list[Tick[P]] = []
        while len(self._pending) > 1 and self._next < self._pending[-1][0]:
            out.append(self._take())
        return out

    def skip_to(self, file_time: float) -> int:
        """Give up the ticks before `file_time` (the encoder cannot keep up); return how many."""
        target = int(file_time * self._fps)
        skipped = max(0, target - self._next)
        while self._pending and self._pending[0][0] < target:
            _, self._shown = self._pending.popleft()
        self._next += skipped
        return skipped

    def _round(self, ideal: float) -> int:
        successor = self._last + 1
        distance = ideal - successor
        most, weight = (PHASE, SMOOTHING) if ideal >= self._settled else (PHASE_SETTLING, SMOOTHING_SETTLING)
        tick: int | None = None
        if self._last >= 0 and -JITTER <= distance <= (0.0 if self._slow else JITTER):
            tick = successor
        elif self._last >= 0 and 0 < distance < STRIDE:
            tick = round(ideal - self._phase)
        elif self._last < 0 or distance > 0:
            self._settled = ideal + SETTLING * self._fps
        if tick is not None:
            self._phase += weight * (ideal - tick - self._phase)
            if abs(self._phase) <= most:
                return tick
        tick = max(0, round(ideal))
        self._phase = ideal - tick
        return tick

    def _take(self) -> Tick[P]:
        fresh = False
        while self._pending and self._pending[0][0] <= self._next:
            _, self._shown = self._pending.popleft()
            fresh = True
        tick = Tick(self._next, self._shown, fresh)
        self.duplicated += not fresh and self._shown is not None
        self._next += 1
        return tick
