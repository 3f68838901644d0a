"""Owns encoded media for streams at the pace of a camera, and what a receiver kept of it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import av

from devstack import testpattern
from devstack.mediacheck import plane_of
from egress_recorder.ipc_streams import StreamReport, StreamTarget
from egress_recorder.media.audioencoder import AudioEncoder
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.fanout import FanOut
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import MediaSpec, Picture
from egress_recorder.outputs import OUTPUTS
from egress_recorder.outputs.segments import SegmentOutput
from egress_recorder.outputs.stream import RunningStream
from egress_recorder.outputs.stream_feed import Patience
from egress_recorder.outputs.stream_set import StreamSet
from egress_recorder.segmentation import SegmentRequest

SPEC = MediaSpec(160, 120, 30, 3000, 64, constant=True, key_frame_interval=1.0, segment_duration=2)
"""Small pictures, which filler brings to 3 Mbit/s: it is the receivers that are tested here."""

SHADES = 100
GREY = bytes([128]) * (SPEC.width * SPEC.height // 2)
"""The colour planes of a picture."""


def target(url: str, key: str = "0/one") -> StreamTarget:
    """A stream to a URL."""
    return StreamTarget(key=key, url=url, protocol="SRT" if url.startswith("srt") else "RTMP")


class LiveMedia:
    """An MP4, HLS segments and streams of one encoding, fed by a thread until it is closed.

    Picture n is one grey, `shade_of(n)`; the sound is the test pattern's, a beep at each second.
    """

    def __init__(self, directory: Path, patience: Patience | None = None, spec: MediaSpec = SPEC) -> None:
        def start(*arguments: object, **named: object) -> RunningStream:
            return RunningStream(*arguments, **named, patience=patience or Patience())  # type: ignore[arg-type]

        self._spec = spec
        self.streams = StreamSet(spec, wall=lambda: datetime.now(UTC), start=start)
        self.file = directory / "media.mp4"
        self._directory = directory
        self._segments = SegmentOutput(directory, spec, SegmentRequest(duration=2), index=0)
        self._fanout = FanOut([OUTPUTS["MP4"].open(directory, spec), self._segments], [self.streams])
        self._video = VideoEncoder(spec) if spec.video else None
        self._audio = AudioEncoder(spec) if spec.audio else None
        self._over = threading.Event()
        self.frames = 0
        """Ticks so far, each a picture's time of media."""
        self.slowest = 0.0
        """Seconds of the packet that took longest to be handed to all outputs."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        begun = time.monotonic()
        while not self._over.wait(max(0.0, begun + self.frames / self._spec.framerate - time.monotonic())):
            for packet in self._tick(self.frames):
                at = time.monotonic()
                self._fanout.write(packet)
                self.slowest = max(self.slowest, time.monotonic() - at)
            self.frames += 1

    def _tick(self, number: int) -> list[EncodedPacket]:
        spec = self._spec
        packets: list[EncodedPacket] = []
        if self._video is not None:
            data = bytes([shade_of(number)]) * (spec.width * spec.height) + GREY
            packets += self._video.encode(Picture(data, spec.width, spec.height), number)
        if self._audio is not None:
            samples = 48_000 // spec.framerate
            packets += self._audio.encode(testpattern.sound(number * samples, samples))
        return packets

    def until(self, accept: object, timeout: float = 60.0) -> tuple[StreamReport, ...]:
        """Wait until the reports are as wanted."""
        assert callable(accept)
        deadline = time.monotonic() + timeout
        while not accept(self.streams.reports):
            assert time.monotonic() < deadline, self.streams.reports
            time.sleep(0.05)
        return self.streams.reports

    def segments(self, whole: Path) -> Path:
        """Join the segments, as a player gets them."""
        folder = self._directory / self._segments.filename
        whole.write_bytes(b"".join((folder / one.name).read_bytes() for one in self._segments.take()))
        return whole

    def close(self) -> tuple[StreamReport, ...]:
        """End file, segments and streams."""
        self._over.set()
        self._thread.join(30)
        self._fanout.close()
        self._fanout.close_taps()
        return self.streams.reports


def decoded(path: Path) -> tuple[int, float]:
    """Return pictures and seconds of sound that a file holds; a beginning without a key frame is an error."""
    with av.open(str(path)) as container:
        pictures = sum(1 for _ in container.decode(video=0)) if container.streams.video else 0
    with av.open(str(path)) as container:
        sound = container.decode(audio=0) if container.streams.audio else ()
        samples = sum(frame.samples for frame in sound)
    return pictures, samples / 48_000


def sound_times(path: Path) -> list[float]:
    """Return when each frame of sound of a file begins, seconds."""
    with av.open(str(path)) as container:
        return [float(frame.time or 0.0) for frame in container.decode(audio=0)]


def shade_of(number: int) -> int:
    """Return the brightness of a picture."""
    return 40 + number % SHADES


def shades(path: Path) -> list[int]:
    """Return the brightness of each picture of a file: which ones of `LiveMedia` it holds, modulo `SHADES`."""
    with av.open(str(path)) as container:
        return [round(float(plane_of(frame, 0).mean())) for frame in container.decode(video=0)]


def skipped(seen: list[int]) -> int:
    """Return how many pictures are missing between the first and the last one."""
    return sum((later - before - 1) % SHADES for before, later in pairwise(seen))
