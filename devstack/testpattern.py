"""Owns the picture and sound of the test publisher, and how they are read back; pure, knows no codec and no server.

Picture: camera-like noise and motion; across the top a row of 17 square blocks (16 counter bits and a parity bit);
in the middle a square that is white for the first tenth of every second (the flash).
Sound: left 440 Hz and right 660 Hz, quiet; a 1 kHz beep on both for the first tenth of every second.
Flash and beep of second s begin at `start + s`, and frame n is captured at `start + n / framerate`.
`VARIANTS` differ in colour and in all frequencies, so that a file tells which publisher is seen and which are heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.uint8]

SAMPLE_RATE = 48000
LEFT_TONE, RIGHT_TONE, BEEP_TONE = 440, 660, 1000
"""Hertz; all divide 48000 samples into whole periods per second, so the tone has no phase break at a second."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How one publisher is told from another: U and V of its picture, hertz of its tones and its beep.

    All frequencies are multiples of 20 Hz: in a window of 50 ms each is orthogonal to all others.
    """

    chroma: tuple[int, int]
    left: int
    right: int
    beep: int


VARIANTS = (
    Variant((110, 140), LEFT_TONE, RIGHT_TONE, BEEP_TONE),
    Variant((150, 110), 520, 780, 1300),
    Variant((100, 100), 600, 900, 1600),
)
_COLOURED = 12
"""Least distance of a pixel's U and V from grey, summed; every variant has 30 or more."""
_CHROMA_TOLERANCE = 16
"""Half the least distance between two variants, less what two lossy codecs move a colour (measured: 3)."""

_COUNTER_BITS = 16
COUNTER_MODULO = 1 << _COUNTER_BITS
_BACKGROUNDS = 24
_TONE_AMPLITUDE, _BEEP_AMPLITUDE = 600, 12000
BEEP_THRESHOLD = 2000 / 32768
"""Full scale = 1. Above the tones and codec noise, far below the beep."""


def _blocks(width: int) -> tuple[int, int, int]:
    """Return block size, x and y of the counter row; all relative to the width, so that scaling keeps it readable."""
    size = (width // 20) & ~1
    return size, (2 * size) & ~1, size


@cache
def backgrounds(
    width: int, height: int, noise: int = 6, seed: int = 1, chroma: tuple[int, int] = VARIANTS[0].chroma
) -> tuple[bytes, ...]:
    """Return I420 pictures of a slowly swaying, noisy scene (they are repeated in a loop without a jump)."""
    random = np.random.default_rng(seed)
    scene = np.kron(random.integers(60, 190, (height // 40 + 3, width // 40 + 3)), np.ones((40, 40)))
    smooth = (scene + np.roll(scene, 7, 0) + np.roll(scene, 7, 1) + np.roll(scene, 13, (0, 1))) / 4
    pictures = []
    for index in range(_BACKGROUNDS):
        angle = 2 * np.pi * index / _BACKGROUNDS
        x, y = int(8 * np.sin(angle)) + 8, int(5 * np.cos(angle)) + 5
        luma = smooth[y : y + height, x : x + width] + random.normal(0, noise, (height, width))
        size = ((width + 1) // 2) * ((height + 1) // 2)
        pictures.append(
            np.clip(luma, 16, 235).astype(np.uint8).tobytes()
            + bytes([chroma[0]]) * size
            + bytes([chroma[1]]) * size
        )
    return tuple(pictures)


def frame(number: int, width: int, height: int, framerate: int, variant: int = 0) -> bytearray:
    """Return frame `number` as I420 bytes."""
    pictures = backgrounds(width, height, chroma=VARIANTS[variant].chroma)
    picture = bytearray(pictures[number % len(pictures)])
    luma = np.frombuffer(picture, np.uint8)[: width * height].reshape(height, width)
    _draw_counter(luma, number % COUNTER_MODULO)
    side = height // 3
    top, left = height // 2 - side // 2, width // 2 - side // 2
    flash = number % framerate < max(1, framerate // 10)
    luma[top : top + side, left : left + side] = 235 if flash else 16
    return picture


def _draw_counter(luma: Luma, number: int) -> None:
    size, x0, y0 = _blocks(luma.shape[1])
    bits = [(number >> index) & 1 for index in range(_COUNTER_BITS)]
    bits.append(sum(bits) & 1)
    margin = size // 2
    luma[y0 - margin : y0 + size + margin, x0 - margin : x0 + len(bits) * size + margin] = 16
    for index, bit in enumerate(bits):
        if bit:
            luma[y0 : y0 + size, x0 + index * size : x0 + (index + 1) * size] = 235


def read_counter(luma: Luma, sent_width: int | None = None) -> int | None:
    """Return the frame number modulo 65536; None for black, another picture or a damaged row (parity).

    `sent_width` is the width that the publisher drew at, where the picture was scaled by an odd factor.
    """
    width = luma.shape[1]
    scale = width / (sent_width or width)
    size, x0, y0 = (value * scale for value in _blocks(sent_width or width))
    quarter = size / 4
    rows = luma[round(y0 + quarter) : round(y0 + size - quarter)]

    def level(left: float, right: float) -> float:
        return float(rows[:, round(left) : max(round(right), round(left) + 1)].mean())

    if not len(rows):
        return None
    levels = [level(x0 + i * size + quarter, x0 + (i + 1) * size - quarter) for i in range(_COUNTER_BITS + 1)]
    # A picture without the row (black, background) has no two levels 150 apart in it or around it.
    margin = level(x0 - quarter, x0 - 2 * scale)
    if margin > 70 or any(70 < level < 160 for level in levels) or max(levels) < 160:
        # Number 0 has no white block at all: then only its dark row tells it from black, by the flash square.
        return 0 if margin <= 70 and max(levels) <= 70 and read_flash(luma) else None
    bits = [level > 115 for level in levels]
    if (sum(bits[:_COUNTER_BITS]) & 1) != bits[_COUNTER_BITS]:
        return None
    return sum(bit << index for index, bit in enumerate(bits[:_COUNTER_BITS]))


def active_area(u: Luma, v: Luma) -> tuple[int, int, int, int] | None:
    """Return left, top, right, bottom of the coloured part in chroma samples (black bars have none); None for black."""
    coloured = np.abs(u.astype(np.int16) - 128) + np.abs(v.astype(np.int16) - 128) > _COLOURED
    columns, rows = np.flatnonzero(coloured.mean(0) > 0.2), np.flatnonzero(coloured.mean(1) > 0.2)
    if not len(columns) or not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def read_variant(u: float, v: float) -> int | None:
    """Return whose picture has these mean U and V; None for black, grey and strangers."""
    distances = [np.hypot(u - variant.chroma[0], v - variant.chroma[1]) for variant in VARIANTS]
    nearest = int(np.argmin(distances))
    return nearest if distances[nearest] <= _CHROMA_TOLERANCE else None


def read_flash(luma: Luma) -> bool:
    """Return whether the flash square is white."""
    height, width = luma.shape
    half = height // 12
    square = luma[height // 2 - half : height // 2 + half, width // 2 - half : width // 2 + half]
    return bool(square.mean() > 125)


def sound(
    position: int, samples: int, *, beep: bool = True, scale: float = 1.0, variant: int = 0
) -> npt.NDArray[np.int16]:
    """Return stereo samples (samples, 2) from sample number `position` on; position 0 is `start`."""
    time = np.arange(position, position + samples)
    tones = VARIANTS[variant]
    left = _TONE_AMPLITUDE * np.sin(2 * np.pi * tones.left * time / SAMPLE_RATE)
    right = _TONE_AMPLITUDE * np.sin(2 * np.pi * tones.right * time / SAMPLE_RATE)
    stereo = np.stack((left, right), axis=1)
    if beep:
        on = (time % SAMPLE_RATE) < SAMPLE_RATE // 10
        stereo += (on * _BEEP_AMPLITUDE * np.sin(2 * np.pi * tones.beep * time / SAMPLE_RATE))[:, None]
    return (stereo * scale).astype(np.int16)


def tone_level(samples: npt.NDArray[np.float32], frequency: float) -> float:
    """Return the amplitude (full scale = 1) of one frequency in mono samples at 48 kHz."""
    if not len(samples):
        return 0.0
    time = np.arange(len(samples)) / SAMPLE_RATE
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * frequency * time))))
