"""Owns how long each file of a capture is when a new one is begun from time to time. Pure.

A file ends where a picture, a packet of each sound codec and so all of its files begin anew at the same moment: nothing is cut,
nothing is twice, and the next file begins at its own time 0 without an edit list. Such moments come again and again: at 30
frames/s every 0.53 s with AAC at 48 kHz, every 4.8 s with all codecs at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

LONGEST_WAIT = 60
"""Seconds beyond the limit that a file may be long for such a moment. Odd rates (29 frames/s with 11025 Hz: 17 minutes) take a
picture's; the sound of the next file then begins with the first packet after it, less than a packet late and at its right time."""


def file_seconds(limit: float, steps: Sequence[Fraction]) -> Fraction:
    """Return the seconds of each file, `limit` or a little more.

    `steps`: seconds of a picture, if there are any, then of a packet of each codec; at least one.
    """
    step = _common(steps)
    if step > LONGEST_WAIT:
        step = steps[0]
    # A limit is no more exact than a microsecond, its float may be a hair above.
    return math.ceil(Fraction(limit).limit_denominator(1_000_000) / step) * step


def _common(steps: Sequence[Fraction]) -> Fraction:
    """The least common multiple: that of the numerators over the greatest common divisor of the denominators."""
    return Fraction(
        math.lcm(*(step.numerator for step in steps)), math.gcd(*(step.denominator for step in steps))
    )
