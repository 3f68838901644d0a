"""A capture process that is fed with encoded packets, faster than real time; for `bench_upload.py`.

`python benchmarks/fed_capture.py LOOP SPEED SECONDS …`: LOOP is a file of `upload_loop.py`; SECONDS of media come SPEED
times as fast as in real time, what follows in real time, until the stop. Everything is the product's own but for two
things: no room is joined, and the packets come from the loop instead of the encoders, which are open, because their
memory counts.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from upload_loop import Loop

from egress_recorder import capture
from egress_recorder.media.audioencoder import AudioEncoder
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.pipeline import COUNT_SECONDS, Finished, Pipeline
from egress_recorder.media.values import Numbers
from egress_recorder.sources.base import RoomEnd

IDLE_SECONDS = 8.0
"""From the media thread's start to the first packet: the time in which the idle memory is measured."""
MOST_AT_ONCE = 5.0
"""Seconds of media between two looks at the commands, when the feed is behind."""
LOOP, SPEED, SECONDS = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])


class FedPipeline(Pipeline):
    """The media thread without media: it writes what the loop has for the time that has passed."""

    _began: float | None = None

    def _loop(self) -> None:
        self._video = VideoEncoder(self._spec)
        self._audio = [AudioEncoder(spec) for spec in self._sound]
        media, start, counted = Loop(LOOP), self._clock() + IDLE_SECONDS, 0.0
        while self._end is None:
            for action in self._mailbox.take(0.02):
                action()
            now = self._clock()
            if now >= start:
                self._began = self._began or now
                self._write(self._due(media, now - start))
            if now - counted >= COUNT_SECONDS:
                counted = now
                self._count()
        self._output.close()
        self._count()

    def _due(self, media: Loop, passed: float) -> Iterator[EncodedPacket]:
        due = min(passed * SPEED, SECONDS) + max(0.0, passed - SECONDS / SPEED)
        return media.until(min(due, self._written + MOST_AT_ONCE))

    def _count(self) -> None:
        written = self._output.bytes_written
        self._numbers = Numbers(duration=self._written, bytes_written=written, frames=self._frames)

    def finish(self, at: float) -> Finished:
        """Close the file."""
        return Finished(self.origin, super().finish(at).numbers)

    @property
    def first(self) -> float | None:
        """Monotonic time of the first packet."""
        return self._began

    @property
    def origin(self) -> float | None:
        """The same."""
        return self._began

    @property
    def recording(self) -> bool:
        """From the first packet on."""
        return self._began is not None


class FedSource:
    """A room with the participant in it, until we leave."""

    def __init__(self, *, listener: Any, **_: Any) -> None:
        self._listener, self._left = listener, asyncio.Event()

    async def run(self) -> RoomEnd:
        """Join and stay."""
        self._listener.joined("RM_benchmark")
        self._listener.present(time.monotonic())
        await self._left.wait()
        return RoomEnd.LEFT

    async def leave(self) -> None:
        """Leave."""
        self._left.set()

    def renew(self, token: str) -> None:
        """No server wants it."""

    def missing(self) -> str:
        """Say that nothing is."""
        return ""


if __name__ == "__main__":
    with (
        mock.patch("egress_recorder.session.Pipeline", FedPipeline),
        mock.patch("egress_recorder.sources.livekit.LiveKitSource", FedSource),
    ):
        code = capture.main(sys.argv[4:])
    sys.stderr.flush()
    # As the capture process itself does.
    os._exit(code)
