"""The tests' forked process: what the process before it left behind must not hang it."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import av
import pytest

from support import encoded

pytestmark = pytest.mark.unit


def test_a_decoder_that_is_garbage_here_does_not_hang_a_collection_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded, "CHILD_DEADLINE", 10)
    path = tmp_path / "file.mp4"
    with av.open(path, "w") as file:
        stream = file.add_stream("mpeg4", rate=30, width=320, height=180, pix_fmt="yuv420p")
        file.mux(stream.encode(av.VideoFrame(320, 180, "yuv420p")))
        file.mux(stream.encode())
    gc.disable()
    try:
        source = av.open(path)
        source.streams.video[0].codec_context.thread_count = 4
        source.streams.video[0].thread_type = "FRAME"
        next(source.decode(video=0))
        garbage: list[object] = [source]
        garbage.append(garbage)
        del source, garbage

        def collect() -> None:
            gc.collect()
            os._exit(0)

        assert encoded.in_child(collect) == 0
    finally:
        gc.enable()
        gc.collect()
