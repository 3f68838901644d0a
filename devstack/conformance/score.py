"""Owns LiveKit's quality score and the figures it is made of; pure (E:test/cadence/stats.go, livekit-egress.md §8.2).

100 points minus, each growing linearly between two limits: 20 for the spread of the A/V offset (10→50 ms), 20 for the
offset itself once it is stable (50→300 ms), 20 for the jitter of the beeps and 20 for that of the flashes (5→50 ms),
10 for the greatest offset (100→500 ms), 10 for the time until it is stable (1→10 s). Stable: three seconds in a row
within 50 ms.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MISSED = 0.5
"""Seconds by which a gap may differ from whole seconds before events were missed rather than late."""
STABLE_WITHIN = 50.0
"""Milliseconds."""
STABLE_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of one publisher in one file; ms. `score` is None without anything to judge by."""

    score: float | None
    offsets: tuple[float, ...] = field(default=())
    """Flash minus beep per second; negative: the sound is late."""
    audio_jitter: float | None = None
    video_jitter: float | None = None

    @property
    def mean(self) -> float | None:
        """Mean offset."""
        return float(np.mean(self.offsets)) if self.offsets else None

    @property
    def p95(self) -> float | None:
        """95 % of the offsets are within this distance of zero."""
        return float(np.percentile(np.abs(self.offsets), 95)) if self.offsets else None


def jitter(events: Sequence[float]) -> float | None:
    """Return the standard deviation of the gaps between events from whole seconds, in ms; None below three events."""
    drifts = [(gap - 1.0) * 1000 for gap in _gaps(events) if abs(gap - 1.0) <= MISSED]
    return float(np.std(drifts)) if len(drifts) >= 2 else None


def cadence(events: Sequence[float]) -> float | None:
    """Return LiveKit's cadence criterion in ms: p80 (p50 below ten gaps) of the drift of a gap from 1 s; limit 120."""
    drifts = [abs(gap - 1.0) * 1000 for gap in _gaps(events) if abs(gap - 1.0) <= MISSED]
    return float(np.percentile(drifts, 80 if len(drifts) >= 10 else 50)) if drifts else None


def _gaps(events: Sequence[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(events)]


def _penalty(value: float | None, least: float, greatest: float, points: float) -> float:
    if value is None:
        return 0.0
    return points * min(1.0, max(0.0, (value - least) / (greatest - least)))


def stable_after(offsets: Sequence[tuple[float, float]]) -> float | None:
    """Return the seconds until three offsets in a row were small; `offsets` are (time, ms). None: never."""
    for index in range(len(offsets) - STABLE_SECONDS + 1):
        if all(abs(ms) <= STABLE_WITHIN for _, ms in offsets[index : index + STABLE_SECONDS]):
            return offsets[index][0] - offsets[0][0]
    return None


def quality(flashes: Sequence[float], beeps: Sequence[float]) -> Quality:
    """Return the figures of one publisher from the times of its flashes and beeps (any one clock)."""
    pairs = []
    for flash in flashes:
        beep = min(beeps, key=lambda at: abs(at - flash), default=None)
        if beep is not None and abs(flash - beep) < 0.45:
            pairs.append((flash, (flash - beep) * 1000))
    audio, video = jitter(beeps), jitter(flashes)
    if audio is None and video is None:
        return Quality(None, tuple(ms for _, ms in pairs), audio, video)
    lost = _penalty(audio, 5, 50, 20) + _penalty(video, 5, 50, 20)
    if pairs:
        values = [ms for _, ms in pairs]
        settled = stable_after(pairs)
        stable = [ms for at, ms in pairs if settled is not None and at >= pairs[0][0] + settled]
        lost += _penalty(float(np.std(values)), 10, 50, 20)
        lost += _penalty(abs(float(np.mean(stable or values))), 50, 300, 20)
        lost += _penalty(max(abs(ms) for ms in values), 100, 500, 10)
        if len(values) >= STABLE_SECONDS:
            lost += _penalty(settled if settled is not None else 10.0, 1, 10, 10)
    return Quality(100 - lost, tuple(ms for _, ms in pairs), audio, video)
