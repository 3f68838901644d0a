"""A file that is damaged is never called whole: FFmpeg hides what it can."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from devstack import mediacheck

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pictures that move, in H.264."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    noise = np.random.default_rng(1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for _ in range(30):
            picture = av.VideoFrame.from_ndarray(
                noise.integers(0, 255, (96, 160, 3), np.uint8), format="rgb24"
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _packets(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.pos is not None]


def test_a_whole_file_has_no_errors(film: Path) -> None:
    report = mediacheck.check(film)
    assert (report.frames, report.errors) == (30, [])


@pytest.mark.parametrize("index", [1, 10, 20])
def test_one_damaged_picture_is_found(film: Path, tmp_path: Path, index: int) -> None:
    damaged = tmp_path / "damaged.mp4"
    data = bytearray(film.read_bytes())
    position, size = _packets(film)[index]
    data[position + size // 2 : position + size] = bytes(size - size // 2)
    damaged.write_bytes(data)
    assert [error.partition(":")[0] for error in mediacheck.check(damaged).errors] == ["video"]
