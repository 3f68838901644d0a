"""Owns one stream while it runs: a thread that feeds a process per connection from the stream's queue.

The thread may wait for the process, the process for its receiver; the media thread only ever fills the queue. Whatever
the process does (blocks, crashes, is refused), it is killed and `stream_life` says what follows.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from egress_recorder.ipc_streams import StreamReport, StreamTarget
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import MediaSpec
from egress_recorder.outputs import stream_wire
from egress_recorder.outputs.stream_feed import LOOK, PATIENT, BrokenError, Feed, Patience
from egress_recorder.outputs.stream_life import StreamLife
from egress_recorder.outputs.stream_queue import PacketQueue
from egress_recorder.streamurls import redact_url, secrets_of

COMMAND = (sys.executable, "-m", "egress_recorder.outputs.pusher")
_log = logging.getLogger(__name__)


class RunningStream:
    """One entry of the list of streams, from its first packet until it is removed, ended or failed."""

    def __init__(
        self,
        target: StreamTarget,
        spec: MediaSpec,
        *,
        wall: Callable[[], datetime],
        command: Sequence[str] = COMMAND,
        patience: Patience = PATIENT,
    ) -> None:
        self.target = target
        self._spec, self._wall, self._command = spec, wall, command
        self.patience = patience
        self.queue = PacketQueue(video=spec.video)
        self._life = StreamLife(delivered=target.resumed)
        self._sent_before = self._sent = 0
        self._started_at: datetime | None = None
        self._ended_at: datetime | None = None
        self._last_retry_at: datetime | None = None
        self._finishing = threading.Event()
        self.deadline = float("inf")
        """Monotonic time by which it has to be over."""
        self._thread = threading.Thread(target=self._run, name=f"stream-{target.key}", daemon=True)
        self._thread.start()

    # ---- asked by others ---------------------------------------------------------------------------------

    def write(self, packet: EncodedPacket) -> None:
        """Take one packet; never waits, never raises."""
        if self._ended_at is None:
            self.queue.put(packet)

    def finish(self) -> None:
        """Send what waits and end; returns at once."""
        if not self._finishing.is_set():
            self.deadline = time.monotonic() + self.patience.finish
            self._finishing.set()
            self.queue.close()

    def join(self, timeout: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout)

    @property
    def over(self) -> bool:
        """True when it has finished or failed."""
        return self._ended_at is not None

    @property
    def report(self) -> StreamReport:
        """What there is to tell of it."""
        status = "ACTIVE" if self._ended_at is None else "FAILED" if self._life.failed else "FINISHED"
        return StreamReport(
            key=self.target.key,
            id=self.target.id,
            output=self.target.output,
            url=redact_url(self.target.url),
            status=status,
            started_at=self._started_at,
            ended_at=self._ended_at,
            error=self._life.error if self._life.failed else "",
            retries=self._life.retries,
            last_retry_at=self._last_retry_at,
            dropped=self.queue.dropped,
        )

    # ---- the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._connections()
        except Exception as error:  # noqa: BLE001 - it must be told, whatever it is
            _log.exception("a stream's thread failed", extra={"stream": redact_url(self.target.url)})
            self._life.error, self._life.failed = f"internal error ({type(error).__name__})", True
        finally:
            self._ended_at = self._wall()
            self.queue.close()
            self.queue.restart()
        _log.info("a stream ended", extra={"stream": self.report.url, "status": self.report.status})

    def _connections(self) -> None:
        while True:
            self._sent = 0
            try:
                self._connection()
            except BrokenError as broken:
                error = str(broken)
            else:
                return
            if self._finishing.is_set() and self._started_at is not None:
                return
            pause = self._life.broke(error, time.monotonic())
            _log.warning(
                "a stream's connection is over",
                extra={"stream": redact_url(self.target.url), "error": error, "again_in": pause},
            )
            if pause is None:
                return
            self._last_retry_at = self._wall()
            if self._finishing.wait(pause):
                return
            self.queue.restart()

    def _connection(self) -> None:
        """Run one process; returns when the stream was ended on purpose. Raises BrokenError."""
        first = self._first()
        if first is None:
            return
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            Feed(self, process, process.stdin, process.stdout).run(first)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stdin):
                try:
                    pipe.close()
                except OSError:
                    continue

    def _first(self) -> EncodedPacket | None:
        while (packet := self.queue.get(LOOK)) is None:
            if self.queue.over or self._finishing.is_set():
                return None
        return packet

    def opening(self) -> bytes:
        """Return the first line for the process."""
        spec = self._spec
        return stream_wire.Opening(
            url=self.target.url,
            protocol=self.target.protocol,
            width=spec.width,
            height=spec.height,
            framerate=spec.framerate,
            audio_bitrate=spec.audio_bitrate,
            audio_frequency=spec.audio_frequency,
            video=spec.video,
            audio=spec.audio,
        ).line()

    def connected(self) -> None:
        """The receiver takes the stream."""
        self._started_at = self._started_at or self._wall()
        _log.info("a stream is connected", extra={"stream": redact_url(self.target.url)})

    def took(self, count: int) -> None:
        """The process has taken so many bytes more of a connection that was made."""
        self._sent += count
        self._life.progressed(self._sent)

    def cleaned(self, text: str) -> str:
        """Return words of the process without the URL and its key."""
        for secret in sorted(secrets_of(self.target.url), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text
