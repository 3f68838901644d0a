"""Owns what a page measures while it plays media (`pages/play.html`): play head, sound, pictures. Pure.

Times of a media element are seconds of media time; `wall` is the page's clock, seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from devstack.testpattern import BEEP_THRESHOLD, VARIANTS

FREQUENCIES = tuple(frequency for variant in VARIANTS for frequency in (variant.left, variant.right))
"""Hertz of the steady tones whose levels a tick holds."""
LISTEN = (0.15, 0.6)
"""Seconds after a position in which it is listened to; before, the analyser may hold what was played earlier."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One reading while the media played. `levels`: amplitudes of `FREQUENCIES` in 50 ms; `peak` of 85 ms (full scale 1)."""

    wall: float
    media: float
    peak: float
    levels: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One stretch that was played at its own speed: ticks, and (wall, media time) of each picture when it was shown."""

    ticks: tuple[Tick, ...]
    shown: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Read what the page returns."""
        ticks = (Tick(wall, media, peak, tuple(levels)) for wall, media, peak, *levels in document["ticks"])
        return cls(tuple(ticks), tuple((wall, media) for wall, media in document["shown"]))

    @property
    def stalled(self) -> float:
        """Longest time, wall clock, that play head or picture stood still.

        A late reading of a play head that went on is none: what counts is how far it is behind the clock.
        """
        longest = standing = 0.0
        for before, after in pairwise(self.ticks):
            wall, media = after.wall - before.wall, after.media - before.media
            standing = standing + wall - media if media < wall / 2 else 0.0
            longest = max(longest, standing)
        if self.shown:
            walls = [self.ticks[0].wall, *(wall for wall, _ in self.shown), self.ticks[-1].wall]
            longest = max(longest, *(after - before for before, after in pairwise(walls)))
        return longest


@dataclass(frozen=True, slots=True)
class Look:
    """A picture that was read back from a canvas: its media time, its number, and its wall clock where a playlist tells it."""

    target: float
    time: float
    number: int | None
    at: float = 0.0


def heard_at(runs: Sequence[Run], position: float) -> list[Tick]:
    """Return the readings that belong to a position."""
    first, last = position + LISTEN[0], position + LISTEN[1]
    return [tick for run in runs for tick in run.ticks if first <= tick.media <= last]


def quiet_levels(ticks: Sequence[Tick]) -> npt.NDArray[np.float64] | None:
    """Return the usual levels of `FREQUENCIES` in readings that no beep touches; None when there is none."""
    quiet = [tick.levels for tick in ticks if tick.peak < BEEP_THRESHOLD]
    return np.median(np.array(quiet, np.float64), axis=0) if quiet else None
