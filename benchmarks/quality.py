"""Owns picture quality: PSNR of the luma of a recorded file against the pictures that the publisher's camera saw.

Each decoded picture is paired with its source by the number in it, so that late, repeated and missing ones do not
count as bad pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from devstack import camera
from devstack.testpattern import COUNTER_MODULO, Luma


@dataclass(frozen=True, slots=True)
class Quality:
    """What a file shows of the source."""

    psnr: float
    """Mean over its distinct pictures, dB."""
    pictures: int
    """Distinct pictures."""
    missing_pct: float
    """Numbers between the first and the last one that are nowhere."""
    first_number: int
    duration: float
    """Seconds of the video."""
    kbps: float
    """Of the whole file."""


def measure(path: Path, width: int, height: int, framerate: int) -> Quality:
    """Decode a recording of `camera` pictures. Raises ValueError when it shows none of them."""
    values: dict[int, float] = {}
    order: list[int] = []
    end = 0.0
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            end = (frame.time or 0.0) + 1 / framerate
            plane = frame.planes[0]
            luma = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            luma = luma[:, : plane.width]
            number = camera.read_counter(luma)
            if number is not None and number not in values:
                order.append(number)
                values[number] = _psnr(luma, number, framerate)
    if not order or luma.shape != (height, width):
        raise ValueError(f"{path} shows no {width}x{height} pictures of the camera")
    span = (order[-1] - order[0]) % COUNTER_MODULO + 1
    return Quality(
        psnr=float(np.mean(list(values.values()))),
        pictures=len(order),
        missing_pct=100 * (span - len(order)) / span,
        first_number=order[0],
        duration=end,
        kbps=path.stat().st_size * 8 / 1000 / end,
    )


def _psnr(luma: Luma, number: int, framerate: int) -> float:
    height, width = luma.shape
    source = np.frombuffer(camera.frame(number, width, height, framerate), np.uint8)[: width * height]
    difference = luma.astype(np.int16) - source.reshape(height, width)
    mean_square = float(np.mean(np.square(difference, dtype=np.int32), dtype=np.float64))
    return float(10 * np.log10(255**2 / max(mean_square, 1e-9)))
