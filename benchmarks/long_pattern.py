"""Owns the small picture and the sound of `bench_long.py`: every picture has its number, every tenth second a beep. Pure."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, RATE = 64, 32, 10
SAMPLE_RATE = 48_000
PERIOD = 10
"""Seconds from one beep to the next."""
BEEP_SECONDS = 0.1
LOUD = 4000
"""Samples above this are the beep."""
_BLOCK = 8
_DARK, _LIGHT = 48, 208
_BITS = (WIDTH // _BLOCK) * (HEIGHT // _BLOCK)


def luma(number: int) -> bytes:
    """Return the picture of this number: a block of 8 x 8 per bit."""
    bits = (number >> np.arange(_BITS)) & 1
    blocks = np.where(bits, _LIGHT, _DARK).astype(np.uint8).reshape(HEIGHT // _BLOCK, WIDTH // _BLOCK)
    return blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1).tobytes()


def number_of(picture: npt.NDArray[np.uint8]) -> int:
    """Return the number that a decoded picture shows."""
    middle = picture[_BLOCK // 2 :: _BLOCK, _BLOCK // 2 : WIDTH : _BLOCK].ravel() > (_DARK + _LIGHT) // 2
    return int(np.dot(middle.astype(np.int64), 1 << np.arange(_BITS, dtype=np.int64)))


def sound(chunk: int, seconds: float) -> bytes:
    """Return piece number `chunk` of the sound, interleaved stereo of 16 bits."""
    pieces = _pieces(seconds)
    return pieces[chunk % len(pieces)]


@cache
def _pieces(seconds: float) -> tuple[bytes, ...]:
    at = np.arange(PERIOD * SAMPLE_RATE) / SAMPLE_RATE
    # Silence between the beeps: of tones the AAC encoder alone would take an hour.
    tone = 12_000 * np.sin(2 * np.pi * 1000 * at) * (at < BEEP_SECONDS)
    both = np.stack((tone, tone), axis=1).astype(np.int16)
    return tuple(piece.tobytes() for piece in np.array_split(both, round(PERIOD / seconds)))
