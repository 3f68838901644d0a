"""Owns taking images of what the file shows: which tick, and the thread that scales and encodes them.

The media thread only hands over a reference to the picture of a tick. At most `WAITING` wait for the thread, which is
nicer than the encoder's; what comes while it is that far behind is dropped and counted, so that images never cost a
frame of a file. A file appears under its name when it is whole.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.reformatter import ColorRange

from egress_recorder.imaging import ImageCodec, ImageRequest, image_size, scratch_name
from egress_recorder.media.canvas import Canvas
from egress_recorder.media.values import Picture

WAITING = 3
"""Pictures; one of 1080p is 3 MB."""
_NICE = 10
_JOIN_SECONDS = 10.0
_QUALITY = 3
"""FFmpeg's qscale of JPEG: 2 is the best that makes sense, 31 the worst."""
_OPTIONS: dict[ImageCodec, tuple[str, str, dict[str, str]]] = {
    "JPEG": ("mjpeg", "yuvj420p", {"flags": "+qscale", "global_quality": str(_QUALITY * 118)}),
    "PNG": ("png", "rgb24", {}),
    "WEBP": ("libwebp", "yuv420p", {"quality": "80", "compression_level": "2"}),
}
"""FFmpeg's name of the encoder, its pixel format, its options."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An image that is in its file. `time` is that in the media, seconds."""

    output: int
    name: str
    time: float
    size: int
    dropped: int
    """Images of all outputs so far that were not made."""


@dataclass(frozen=True, slots=True)
class _Job:
    output: int
    number: int
    picture: Picture | None
    time: float


class Images:
    """The images of one part. `offer` is called by the media thread, `made` by our own one."""

    def __init__(
        self,
        wanted: Sequence[ImageRequest],
        directory: Path,
        *,
        framerate: int,
        canvas: tuple[int, int],
        made: Callable[[Made], None],
    ) -> None:
        """`canvas`: width and height of black where no source says its size."""
        self._wanted, self._directory, self._framerate = tuple(wanted), directory, framerate
        self._source, self._made = canvas, made
        self._next = [0] * len(self._wanted)
        self._numbers = [0] * len(self._wanted)
        self._seen = False
        self._queue: queue.Queue[_Job | None] = queue.Queue(WAITING)
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="images", daemon=True)

    def start(self) -> None:
        """Begin to wait for pictures."""
        self._thread.start()

    def offer(self, index: int, picture: Picture | None) -> None:
        """Take what tick `index` shows (None: black) where an image is due; returns at once.

        Due is every multiple of the interval from the beginning; before the first picture there is nothing to take.
        """
        self._seen = self._seen or picture is not None
        if not self._seen:
            return
        for output, wanted in enumerate(self._wanted):
            if index < self._next[output]:
                continue
            step = wanted.interval * self._framerate
            self._next[output] = (index // step + 1) * step
            self._hand_over(_Job(output, self._numbers[output], picture, index / self._framerate))
            self._numbers[output] += 1

    def close(self) -> None:
        """Make what waits and end; at most `_JOIN_SECONDS`."""
        if not self._thread.is_alive():
            return
        with suppress(queue.Full):
            self._queue.put(None, timeout=_JOIN_SECONDS)
            self._thread.join(timeout=_JOIN_SECONDS)

    def _hand_over(self, job: _Job) -> None:
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self.dropped += 1
            _log.warning(
                "an image is left out: the machine is too slow",
                extra={"output": job.output, "dropped": self.dropped},
            )

    def _run(self) -> None:
        with suppress(OSError):
            # On Linux of this thread alone.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (job := self._queue.get()) is not None:
            try:
                self._make(job)
            except (OSError, ValueError, av.FFmpegError) as error:
                self.dropped += 1
                _log.error(
                    "an image was not made",
                    extra={"output": job.output, "error": f"{type(error).__name__}: {error}"},
                )

    def _make(self, job: _Job) -> None:
        wanted = self._wanted[job.output]
        if job.picture is not None:
            self._source = _upright(job.picture)
        canvas = Canvas(*image_size(self._source, (wanted.width, wanted.height)))
        frame = canvas.black() if job.picture is None else canvas.fit(job.picture)
        data = encode_image(frame, wanted.codec)
        name = scratch_name(job.output, job.number, wanted.codec)
        growing = self._directory / f"{name}.tmp"
        try:
            growing.write_bytes(data)
            growing.replace(self._directory / name)
        except OSError:
            growing.unlink(missing_ok=True)
            raise
        self._made(Made(output=job.output, name=name, time=job.time, size=len(data), dropped=self.dropped))


def _upright(picture: Picture) -> tuple[int, int]:
    sides = (picture.width, picture.height)
    return sides if picture.rotation % 180 == 0 else sides[::-1]


def encode_image(frame: av.VideoFrame, codec: ImageCodec) -> bytes:
    """Return a yuv420p frame (video range) as a file of that type. Raises av.FFmpegError."""
    encoder, pixels, options = _OPTIONS[codec]
    if pixels != "yuv420p":
        # JPEG and PNG have the full range of values.
        frame = frame.reformat(
            format=pixels, src_color_range=ColorRange.MPEG, dst_color_range=ColorRange.JPEG
        )
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = frame.width, frame.height, pixels
    context.time_base, context.thread_count, context.options = Fraction(1, 1), 1, options
    frame.pts, frame.time_base = 0, Fraction(1, 1)
    packets = [*context.encode(frame), *context.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
