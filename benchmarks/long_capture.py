"""A capture process whose publisher and whose clock are faster than real time; for `bench_long.py`.

`python benchmarks/long_capture.py SECONDS …`: the participant publishes for so many seconds of its own time and leaves. Timeline, mixer,
encoders, muxers and session are the product's own; no room is joined, and the time they see goes on as fast as they work.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from unittest import mock

from long_pattern import HEIGHT, RATE, SAMPLE_RATE, WIDTH, luma, sound

from egress_recorder import capture
from egress_recorder.media.values import Picture
from egress_recorder.session import Session
from egress_recorder.sources.base import RoomEnd

BLOCK = 0.2
"""Seconds of media that are given at once: fewer pictures than the mailbox holds."""
CHUNK = 0.1
"""Seconds of one piece of sound."""
GREY = bytes([128]) * (WIDTH * HEIGHT // 2)
SECONDS = float(sys.argv[1])


class FastClock:
    """Monotonic seconds that go on when the feed says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._began = datetime.now(UTC) - timedelta(seconds=self.now)

    def monotonic(self) -> float:
        """As time.monotonic()."""
        return self.now

    def wall(self) -> datetime:
        """Return the wall clock of that moment."""
        return self._began + timedelta(seconds=self.now)


CLOCK = FastClock()


class FedSource:
    """A room with the participant in it, until it has published all."""

    def __init__(self, *, listener: Any, sink: Any, **_: Any) -> None:
        self._listener, self._sink = listener, sink
        self._left = threading.Event()

    async def run(self) -> RoomEnd:
        """Join and stay."""
        self._listener.joined("RM_benchmark")
        self._listener.present(CLOCK.now)
        await asyncio.to_thread(self._publish)
        return RoomEnd.CLOSED

    async def leave(self) -> None:
        """Leave."""
        self._left.set()

    def renew(self, token: str) -> None:
        """No server wants it."""

    def missing(self) -> str:
        """Say that nothing is."""
        return ""

    def _publish(self) -> None:
        start = CLOCK.now
        self._sink.opened("TR_v", "video", start)
        self._sink.opened("TR_a", "audio", start)
        for media in _blocks():
            if self._left.is_set():
                return
            for at, kind, data in media:
                if kind == "video":
                    self._sink.picture("TR_v", Picture(data, WIDTH, HEIGHT), start + at)
                else:
                    self._sink.samples("TR_a", data, start + at)
                CLOCK.now = max(CLOCK.now, start + at)
            # Two rounds of the media thread: in the first it takes the block, before the second it has encoded it. So it is never
            # behind, whatever else the machine does.
            self._pass()
            self._pass()

    def _pass(self) -> None:
        reached = threading.Event()
        self._sink._mailbox.put("control", reached.set)  # noqa: SLF001 - nobody else has to know how far it is
        reached.wait()


def _blocks() -> Iterator[list[tuple[float, str, bytes]]]:
    """Yield pieces of media with the time of each: captured, or arrived with its last sample."""
    chunks = round(BLOCK / CHUNK)
    for block in range(round(SECONDS / BLOCK)):
        first, pictures = round(block * BLOCK * RATE), round(BLOCK * RATE)
        media = [
            *(
                ((chunk + 1) * CHUNK, "audio", sound(chunk, CHUNK))
                for chunk in range(block * chunks, (block + 1) * chunks)
            ),
            *((number / RATE, "video", luma(number) + GREY) for number in range(first, first + pictures)),
        ]
        yield sorted(media, key=lambda one: one[0])


if __name__ == "__main__":
    assert SAMPLE_RATE == 48_000
    with (
        mock.patch(
            "egress_recorder.session.Session", partial(Session, clock=CLOCK.monotonic, wall=CLOCK.wall)
        ),
        mock.patch("egress_recorder.sources.livekit.LiveKitSource", FedSource),
    ):
        code = capture.main(sys.argv[2:])
    sys.stderr.flush()
    # As the capture process itself does.
    os._exit(code)
