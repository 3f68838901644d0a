"""Owns camera-like pictures for measurements: a talking head before a textured wall, swaying, with sensor noise; pure.

A test card flatters every encoder. Here everything moves by fractions of a pixel, textures have the falling spectrum of
photographs and the noise is that of a webcam after its own filter (sigma 2 levels, neighbours alike). The pictures repeat
every `PERIOD` seconds without a jump. The frame number is a small row of blocks at the top left, 0.6 % of the picture.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from devstack.testpattern import COUNTER_MODULO, Luma

PERIOD = 2
"""Seconds."""
_BITS = 16
_NOISE = 2.0
_Plane = npt.NDArray[np.float32]


def _texture(
    random: np.random.Generator, height: int, width: int, contrast: float, slope: float = 1.6
) -> _Plane:
    """Return zero-mean noise whose amplitude falls with spatial frequency, as that of photographs does."""
    vertical, horizontal = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.hypot(vertical, horizontal)
    frequency[0, 0] = np.inf
    phase = np.exp(2j * np.pi * random.random(frequency.shape))
    picture = np.fft.irfft2(phase / frequency**slope, (height, width))
    return np.asarray(picture * (contrast / picture.std()), np.float32)


def _shifted(picture: _Plane, x: float, y: float) -> _Plane:
    """Return the picture moved by a fraction of a pixel (bilinear, wrapping around)."""
    column, row = int(np.floor(x)), int(np.floor(y))
    right, down = np.float32(x - column), np.float32(y - row)
    moved = np.roll(picture, (row, column), (0, 1))
    moved = moved + right * (np.roll(moved, 1, 1) - moved)
    moved += down * (np.roll(moved, 1, 0) - moved)
    return moved


def _ellipse(height: int, width: int, x: float, y: float, scale: tuple[float, float]) -> _Plane:
    """Return the mask of an ellipse around (x, y) with a soft edge; `scale` is its half axes in pixels."""
    rows, columns = np.ogrid[:height, :width]
    distance = np.hypot((columns - x) / scale[0], (rows - y) / scale[1])
    return np.clip((1 - distance) * (min(scale) / 3), 0, 1).astype(np.float32)


@cache
def pictures(width: int, height: int, framerate: int, seed: int = 7) -> tuple[bytes, ...]:
    """Return `PERIOD` seconds of I420 pictures without the counter; takes some seconds and 1.5 bytes per pixel each."""
    random = np.random.default_rng(seed)
    wall = 120 + _texture(random, height, width, 28)
    face = 160 + _texture(random, height, width, 22, 1.4)
    body = 70 + _texture(random, height, width, 18, 1.2)
    grain = [_texture(random, height, width, _NOISE, 0.35) for _ in range(7)]
    count = PERIOD * framerate
    return tuple(
        _picture(index / count, (wall, face, body), grain[index % 7], random) for index in range(count)
    )


def _picture(
    phase: float, layers: tuple[_Plane, _Plane, _Plane], grain: _Plane, random: np.random.Generator
) -> bytes:
    """Return the picture at a phase (0…1) of the loop."""
    wall, face, body = layers
    height, width = wall.shape
    angle = 2 * np.pi * phase
    # The camera shakes a little, the head nods and turns, the mouth opens, the shoulders follow.
    luma = _shifted(wall, 1.5 * np.sin(angle), 1.0 * np.cos(2 * angle))
    head_x, head_y = width * 0.02 * np.sin(angle), height * 0.02 * np.sin(2 * angle)
    for texture, x, y, axes, follow in (
        (body, 0.5, 1.05, (0.33, 0.42), 0.4),
        (face, 0.5, 0.45, (0.15, 0.32), 1.0),
    ):
        at_x, at_y = width * x + follow * head_x, height * y + follow * head_y
        mask = _ellipse(height, width, at_x, at_y, (width * axes[0], height * axes[1]))
        luma += mask * (_shifted(texture, follow * head_x, follow * head_y) - luma)
    mouth = height * (0.012 + 0.02 * abs(np.sin(4 * angle)))
    mask = _ellipse(height, width, width * 0.5 + head_x, height * 0.6 + head_y, (width * 0.04, mouth))
    luma += mask * (50 - luma)
    luma += np.roll(grain, tuple(random.integers(0, (height, width))), (0, 1))
    colour = _ellipse(
        height // 2,
        width // 2,
        (width * 0.5 + head_x) / 2,
        (height * 0.45 + head_y) / 2,
        (width * 0.075, height * 0.16),
    )
    planes = (luma, 125 - 15 * colour, 130 + 22 * colour)
    return b"".join(np.clip(plane, 16, 235).astype(np.uint8).tobytes() for plane in planes)


def frame(number: int, width: int, height: int, framerate: int) -> bytearray:
    """Return frame `number` as I420 bytes."""
    loop = pictures(width, height, framerate)
    picture = bytearray(loop[number % len(loop)])
    luma = np.frombuffer(picture, np.uint8)[: width * height].reshape(height, width)
    size, x0, y0 = _blocks(width)
    number %= COUNTER_MODULO
    bits = [(number >> index) & 1 for index in range(_BITS)]
    # A white block first and the parity last: black is no number.
    levels = [1, *bits, sum(bits) & 1]
    luma[y0 - size // 2 : y0 + size + size // 2, x0 - size // 2 : x0 + len(levels) * size + size // 2] = 16
    for index, level in enumerate(levels):
        if level:
            luma[y0 : y0 + size, x0 + index * size : x0 + (index + 1) * size] = 235
    return picture


def _blocks(width: int) -> tuple[int, int, int]:
    """Return block size, x and y of the counter row."""
    size = (width // 80) & ~1
    return size, size, size


def read_counter(luma: Luma) -> int | None:
    """Return the frame number modulo 65536; None for another picture or a damaged row (parity)."""
    size, x0, y0 = _blocks(luma.shape[1])
    quarter = size // 4
    rows = luma[y0 + quarter : y0 + size - quarter]
    levels = [
        float(rows[:, x0 + index * size + quarter : x0 + (index + 1) * size - quarter].mean())
        for index in range(_BITS + 2)
    ]
    if any(85 < level < 145 for level in levels):
        return None
    first, *bits, parity = (level > 115 for level in levels)
    if not first or (sum(bits) & 1) != parity:
        return None
    return sum(bit << index for index, bit in enumerate(bits))
