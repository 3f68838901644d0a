"""Owns encoded media for streams at the pace of a camera, and what a receiver kept of it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np

from egress_recorder.ipc_streams import StreamReport, StreamTarget
from egress_recorder.media.audioencoder import AudioEncoder
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.fanout import FanOut
from egress_recorder.media.values import MediaSpec, Picture
from egress_recorder.outputs import OUTPUTS
from egress_recorder.outputs.stream import RunningStream
from egress_recorder.outputs.stream_feed import Patience
from egress_recorder.outputs.stream_set import StreamSet

SPEC = MediaSpec(160, 120, 30, 3000, 64, constant=True, key_frame_interval=1.0)
"""Small pictures, which filler brings to 3 Mbit/s: it is the receivers that are tested here."""


def target(url: str, key: str = "0/one") -> StreamTarget:
    """A stream to a URL."""
    return StreamTarget(key=key, url=url, protocol="SRT" if url.startswith("srt") else "RTMP")


class LiveMedia:
    """An MP4 and streams of one encoding, fed by a thread until it is closed."""

    def __init__(self, directory: Path, patience: Patience | None = None) -> None:
        def start(*arguments: object, **named: object) -> RunningStream:
            return RunningStream(*arguments, **named, patience=patience or Patience())  # type: ignore[arg-type]

        self.streams = StreamSet(SPEC, wall=lambda: datetime.now(UTC), start=start)
        self.file = directory / "media.mp4"
        self._fanout = FanOut([OUTPUTS["MP4"].open(directory, SPEC)], [self.streams])
        self._video, self._audio = VideoEncoder(SPEC), AudioEncoder(SPEC)
        self._over = threading.Event()
        self.frames = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(max(0.0, begun + self.frames / SPEC.framerate - time.monotonic())):
            shade = 40 + self.frames % 100
            picture = Picture(bytes([shade]) * (SPEC.width * SPEC.height * 3 // 2), SPEC.width, SPEC.height)
            packets = self._video.encode(picture, self.frames)
            packets += self._audio.encode(np.zeros((48_000 // SPEC.framerate, 2), np.int16))
            for packet in packets:
                self._fanout.write(packet)
            self.frames += 1

    def until(self, accept: object, timeout: float = 60.0) -> tuple[StreamReport, ...]:
        """Wait until the reports are as wanted."""
        assert callable(accept)
        deadline = time.monotonic() + timeout
        while not accept(self.streams.reports):
            assert time.monotonic() < deadline, self.streams.reports
            time.sleep(0.05)
        return self.streams.reports

    def close(self) -> tuple[StreamReport, ...]:
        """End file and streams."""
        self._over.set()
        self._thread.join(30)
        self._fanout.close()
        self._fanout.close_taps()
        return self.streams.reports


def decoded(path: Path) -> tuple[int, float]:
    """Return pictures and seconds of sound that a file holds; a beginning without a key frame is an error."""
    with av.open(str(path)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
    return pictures, samples / 48_000
