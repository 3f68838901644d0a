"""Owns one stream while it runs: a thread that feeds a process per connection from the stream's queue.

The thread may wait for the process, the process for its receiver; the media thread only ever fills the queue. Whatever
the process does (blocks, crashes, is refused), it is killed and `stream_life` says what follows.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from egress_recorder.ipc_streams import StreamReport, StreamTarget
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import MediaSpec
from egress_recorder.outputs import stream_wire
from egress_recorder.outputs.stream_life import STALL, StreamLife
from egress_recorder.outputs.stream_queue import PacketQueue
from egress_recorder.streamurls import redact_url, secrets_of

COMMAND = (sys.executable, "-m", "egress_recorder.outputs.pusher")
CONNECT_SECONDS = 15.0
"""From the first packet to the receiver's consent."""
FINISH_SECONDS = 2.0
"""For what waits in the queue and for the receiver to hear of the end."""
_LOOK = 0.25
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds; tests are less patient."""

    connect: float = CONNECT_SECONDS
    stall: float = STALL
    finish: float = FINISH_SECONDS


class _BrokenError(Exception):
    """The connection is over; the text is a sentence without secrets."""


class RunningStream:
    """One entry of the list of streams, from its first packet until it is removed, ended or failed."""

    def __init__(
        self,
        target: StreamTarget,
        spec: MediaSpec,
        *,
        wall: Callable[[], datetime],
        command: Sequence[str] = COMMAND,
        patience: Patience = Patience(),
    ) -> None:
        self.target = target
        self._spec, self._wall, self._command, self._patience = spec, wall, command, patience
        self._queue = PacketQueue(video=spec.video)
        self._life = StreamLife(delivered=target.resumed)
        self._sent_before = self._sent = 0
        self._started_at: datetime | None = None
        self._ended_at: datetime | None = None
        self._last_retry_at: datetime | None = None
        self._finishing = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name=f"stream-{target.key}", daemon=True)
        self._thread.start()

    # ---- asked by others ---------------------------------------------------------------------------------

    def write(self, packet: EncodedPacket) -> None:
        """Take one packet; never waits, never raises."""
        if self._ended_at is None:
            self._queue.put(packet)

    def finish(self) -> None:
        """Send what waits and end; returns at once."""
        if not self._finishing.is_set():
            self._deadline = time.monotonic() + self._patience.finish
            self._finishing.set()
            self._queue.close()

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
            dropped=self._queue.dropped,
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
            self._queue.close()
            self._queue.restart()
        _log.info("a stream ended", extra={"stream": self.report.url, "status": self.report.status})

    def _connections(self) -> None:
        while True:
            self._sent = 0
            try:
                self._connection()
            except _BrokenError as broken:
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
            self._queue.restart()

    def _connection(self) -> None:
        """Run one process; returns when the stream was ended on purpose. Raises _BrokenError."""
        first = self._first()
        if first is None:
            return
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            _Feed(self, process, process.stdin, process.stdout).run(first)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stdin):
                try:
                    pipe.close()
                except OSError:
                    continue

    def _first(self) -> EncodedPacket | None:
        while (packet := self._queue.get(_LOOK)) is None:
            if self._queue.over or self._finishing.is_set():
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

    @property
    def queue(self) -> PacketQueue:
        """What waits."""
        return self._queue

    @property
    def patience(self) -> Patience:
        """How long is waited for what."""
        return self._patience

    @property
    def deadline(self) -> float:
        """Monotonic time by which it has to be over."""
        return self._deadline


class _Feed:
    """One process' life: its input filled from the queue, its events read, its time limits kept."""

    def __init__(
        self, stream: RunningStream, process: subprocess.Popen[bytes], to: IO[bytes], back: IO[bytes]
    ) -> None:
        self._stream, self._process = stream, process
        self._to, self._back = to.fileno(), back.fileno()
        self._to_file = to
        os.set_blocking(self._to, False)
        os.set_blocking(self._back, False)
        self._pending = b""
        self._heard = b""
        self._connected = False
        self._closed = False
        self._begun = self._moved = time.monotonic()

    def run(self, first: EncodedPacket) -> None:
        """Feed until the end. Raises _BrokenError."""
        self._pending = self._stream.opening() + stream_wire.pack(first)
        while True:
            if not self._pending and not self._closed:
                self._refill()
            self._exchange()
            if self._process.poll() is not None:
                self._listen()
                if self._closed and self._process.returncode == 0:
                    return
                raise _BrokenError(f"the stream's process ended ({self._process.returncode})")
            self._check(time.monotonic())

    def _refill(self) -> None:
        packet = self._stream.queue.get(_LOOK)
        if packet is not None:
            self._pending = stream_wire.pack(packet)
        elif self._stream.queue.over:
            # The end of its input is the end of the stream: it tells the receiver.
            self._to_file.close()
            self._closed = True
        self._moved = time.monotonic() if packet is None else self._moved

    def _exchange(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._back, selectors.EVENT_READ)
            if self._pending:
                ready.register(self._to, selectors.EVENT_WRITE)
            timeout = _LOOK if self._pending or self._closed else 0
            events = {key.fd for key, _ in ready.select(timeout)}
        if self._back in events:
            self._listen()
        if self._pending and self._to in events:
            self._push()

    def _push(self) -> None:
        try:
            count = os.write(self._to, self._pending)
        except BlockingIOError:
            return
        except OSError:
            self._process.wait(timeout=5)
            self._listen()
            raise _BrokenError("the stream's process ended") from None
        self._pending = self._pending[count:]
        self._moved = time.monotonic()
        if self._connected:
            self._stream.took(count)

    def _listen(self) -> None:
        try:
            heard = os.read(self._back, 65536)
        except BlockingIOError:
            return
        if not heard:
            time.sleep(0.02)
            return
        *lines, self._heard = (self._heard + heard).split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event["event"] == "connected":
                self._connected, self._moved = True, time.monotonic()
                self._stream.connected()
            else:
                raise _BrokenError(self._stream.cleaned(str(event.get("error", ""))) or "failed")

    def _check(self, now: float) -> None:
        patience = self._stream.patience
        if now > self._stream.deadline:
            raise _BrokenError("the receiver did not take the end of the stream in time")
        if not self._connected and now - self._begun > patience.connect:
            raise _BrokenError(f"the receiver did not answer within {patience.connect:g} s")
        if self._connected and self._pending and now - self._moved > patience.stall:
            raise _BrokenError(f"no outbound progress for {patience.stall:g} s")
