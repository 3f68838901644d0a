"""Owns the hearing of the test pattern: levels, breaks and beeps of every variant in a recorded sound; pure.

Sound is mono float32 at 48 kHz, full scale 1. Times are seconds from its first sample.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from devstack.testpattern import SAMPLE_RATE, Variant

Mono = npt.NDArray[np.float32]
HOP = 0.01
"""Seconds between two readings of a tone."""
WINDOW = 0.05
"""Seconds of sound in a reading: the shortest in which all frequencies of the pattern are orthogonal."""
BEEP_WINDOW = 0.01
"""Seconds; all beeps differ by multiples of 100 Hz from all other frequencies but the 440, 660, 520 and 780 Hz tones,
which are too quiet to matter."""
HEARD = 0.004
"""Least amplitude of a tone that is there; a mono sum has 0.0092, stereo 0.018, codecs change it by 1 % (measured)."""
NOT_HEARD = 0.0015
"""Greatest amplitude of a tone that is absent; noise of the codecs and what leaks from others reach 0.001."""
_BEEP_LEAST = 0.05
_SPAN = round(0.06 / HOP)
"""Hops between two readings that share no sample."""
_BREAK = 1.0
"""Radians at 440 Hz by which a phase may jump within `_SPAN`: what the onset of a 1 % time stretch does is 0.83."""
_DIP = 0.88
"""Part of the usual level below which a reading contains a hole or a break."""


def _windowed(
    sound: Mono, frequency: float, length: int, begins: npt.NDArray[np.int64]
) -> npt.NDArray[np.complex128]:
    # All frequencies are multiples of 20 Hz: one period of that is repeated.
    period = np.exp(-2j * np.pi * frequency * np.arange(SAMPLE_RATE // 20) / SAMPLE_RATE)
    sums = np.concatenate(([0], np.cumsum(sound * np.resize(period, len(sound)))))
    return np.asarray(2 * (sums[begins + length] - sums[begins]) / length, np.complex128)


def reading(sound: Mono, frequency: float) -> npt.NDArray[np.complex128]:
    """Return amplitude and phase of a frequency every `HOP`; reading i covers `WINDOW` seconds from i * HOP on."""
    length, hop = round(WINDOW * SAMPLE_RATE), round(HOP * SAMPLE_RATE)
    return _windowed(sound, frequency, length, np.arange(0, max(0, len(sound) - length), hop))


def beeps(sound: Mono, frequency: float) -> list[float]:
    """Return when beeps of one frequency begin, to a fraction of a millisecond (where half the level is reached)."""
    length = round(BEEP_WINDOW * SAMPLE_RATE)
    if len(sound) <= length:
        return []
    level = abs(_windowed(sound, frequency, length, np.arange(0, len(sound) - length)))
    full = float(np.percentile(level, 99.0))
    if full < _BEEP_LEAST:
        # Less than 1 % of the sound is beep: a single one is still found by its peak.
        full = float(level.max())
    if full < _BEEP_LEAST:
        return []
    loud = np.flatnonzero(level > full / 2)
    first = np.concatenate(([True], np.diff(loud) > SAMPLE_RATE // 5))
    onsets = (loud[first] + length / 2) / SAMPLE_RATE
    # A sound that begins inside a beep has no onset there.
    return [float(onset) for onset in onsets if onset > 0.03]


def free_of_beeps(count: int, onsets: list[float]) -> npt.NDArray[np.bool_]:
    """Return which of the first `count` readings no beep touches (their codecs' noise covers the quiet tones)."""
    free = np.ones(count, bool)
    for onset in onsets:
        first, last = int((onset - WINDOW - 0.03) / HOP), int((onset + 0.1 + 0.06) / HOP) + 1
        free[max(0, first) : max(0, last)] = False
    return free


def breaks(sound: Mono, variant: Variant, free: npt.NDArray[np.bool_]) -> list[float]:
    """Return when the continuous tones jump or are interrupted, one time per event."""
    found = np.zeros(len(free), bool)
    for frequency in (variant.left, variant.right):
        tone = reading(sound, frequency)[: len(free)]
        if not free[: len(tone)].any():
            return []
        usual = float(np.median(abs(tone[free[: len(tone)]])))
        if usual < HEARD:
            continue
        if frequency == variant.left:
            found[: len(tone)] |= abs(tone) < _DIP * usual
        phase = np.unwrap(np.angle(tone))
        if len(phase) <= 3 * _SPAN:
            continue
        step = phase[_SPAN:] - phase[:-_SPAN]
        here, before, after = step[_SPAN:-_SPAN], step[: -2 * _SPAN], step[2 * _SPAN :]
        jump = abs(here - (before + after) / 2) > _BREAK * frequency / variant.left
        # A jump is only one where all four readings that it is judged by are free of beeps.
        clear = free[: len(phase)]
        clear = (
            clear[: len(jump)]
            & clear[_SPAN : _SPAN + len(jump)]
            & clear[2 * _SPAN : 2 * _SPAN + len(jump)]
            & clear[3 * _SPAN : 3 * _SPAN + len(jump)]
        )
        found[_SPAN : _SPAN + len(jump)] |= jump & clear
    events = np.flatnonzero(found & free)
    if not len(events):
        return []
    first = np.concatenate(([True], np.diff(events) > round(0.25 / HOP)))
    return [float(index * HOP) for index in events[first]]


def holes(sound: Mono, least: float = 0.005) -> list[tuple[float, float]]:
    """Return (begin, seconds) of the pieces of digital silence that are longer than `least` seconds."""
    quiet = np.concatenate(([False], abs(sound) < 3e-5, [False]))
    edges = np.flatnonzero(np.diff(quiet.astype(np.int8)))
    return [
        (begin / SAMPLE_RATE, (end - begin) / SAMPLE_RATE)
        for begin, end in zip(edges[::2], edges[1::2], strict=True)
        if end - begin > least * SAMPLE_RATE
    ]
