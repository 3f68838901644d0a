"""Owns all streams of a capture: brings the running ones in line with the wanted ones, gives packets to each.

The list changes in the event loop, packets come from the media thread. A key that has finished or failed does not
start again (LiveKit: a failed stream never goes back); one that was removed and added again does, under the same key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime

from egress_recorder.ipc_streams import StreamReport, StreamTarget
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import Codec, MediaSpec
from egress_recorder.outputs.stream import RunningStream

KEPT = 50
"""Streams that are over and still told of."""


class RefusedStream:
    """A stream that has failed before it began: its URL is not there, or is none."""

    def __init__(self, target: StreamTarget, at: datetime) -> None:
        self.target = target
        self.report = StreamReport(
            key=target.key,
            id=target.id,
            output=target.output,
            url="",
            status="FAILED",
            ended_at=at,
            error=target.error,
        )

    @property
    def over(self) -> bool:
        """It has failed."""
        return True

    def write(self, packet: EncodedPacket) -> None:
        """Leave it."""

    def finish(self) -> None:
        """It has."""

    def join(self, timeout: float) -> None:
        """It has."""


class StreamSet:
    """The streams of one capture process; `write` and `close` are a fan-out's, `want` is the session's."""

    def __init__(
        self,
        spec: MediaSpec,
        *,
        wall: Callable[[], datetime],
        start: Callable[..., RunningStream] = RunningStream,
    ) -> None:
        self._spec, self._wall, self._start = spec, wall, start
        sound: set[Codec] = {spec.audio_codec} if spec.audio else set()
        self.takes: frozenset[Codec] = frozenset(sound | {"h264"} if spec.video else sound)
        self._lock = threading.Lock()
        self._wanted: dict[str, RunningStream | RefusedStream] = {}
        self._removed: list[RunningStream | RefusedStream] = []
        self._closed = False
        self._stopped_at: datetime | None = None
        """When a stream that ran was removed, the last time."""

    def want(self, targets: Iterable[StreamTarget]) -> None:
        """Let exactly these run: new ones begin with the next key frame, missing ones are finished."""
        named = {target.key: target for target in targets}
        with self._lock:
            if self._closed:
                return
            for key, stream in tuple(self._wanted.items()):
                if key not in named or stream.target.url != named[key].url:
                    self._stopped_at = self._stopped_at if stream.over else self._wall()
                    stream.finish()
                    self._removed = [*self._removed, self._wanted.pop(key)][-KEPT:]
            for key, target in named.items():
                if key not in self._wanted:
                    self._wanted[key] = (
                        RefusedStream(target, self._wall())
                        if target.error
                        else self._start(target, self._spec, wall=self._wall)
                    )

    def write(self, packet: EncodedPacket) -> None:
        """Offer a packet to all streams; returns at once."""
        if packet.codec in self.takes:
            for stream in tuple(self._wanted.values()):
                stream.write(packet)

    def exhausted(self) -> str | None:
        """Return why no stream is left: the error of the last one, "" when that one was removed. None: one is left.

        As in LiveKit Egress the last one to go decides (E:pkg/pipeline/controller.go): a failure before it does not.
        """
        with self._lock:
            if not all(stream.over for stream in self._wanted.values()):
                return None
            reports = [stream.report for stream in self._wanted.values()]
            ended = [(report.ended_at, report) for report in reports if report.ended_at is not None]
            if not ended:
                return ""
            at, last = max(ended, key=lambda one: one[0])
            removed_later = self._stopped_at is not None and self._stopped_at > at
            return "" if removed_later else ": ".join(filter(None, (last.url, last.error)))

    def close(self) -> None:
        """Finish all streams, at most for the time that one of them may take; closing twice is harmless."""
        with self._lock:
            self._closed = True
            streams = [*self._wanted.values(), *self._removed]
        for stream in streams:
            stream.finish()
        for stream in streams:
            stream.join(timeout=5.0)

    @property
    def reports(self) -> tuple[StreamReport, ...]:
        """What there is to tell, in the order in which the streams came."""
        with self._lock:
            return tuple(stream.report for stream in (*self._removed, *self._wanted.values()))
