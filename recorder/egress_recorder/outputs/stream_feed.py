"""Owns the feeding of one stream's process: its input from the queue, its events, its time limits.

In the stream's own thread; it waits for the process at most a quarter of a second at a time.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from typing import IO, Protocol

from egress_recorder.media.packets import EncodedPacket
from egress_recorder.outputs import stream_wire
from egress_recorder.outputs.stream_life import STALL
from egress_recorder.outputs.stream_queue import PacketQueue

CONNECT_SECONDS = 15.0
"""From the first packet to the receiver's consent."""
FINISH_SECONDS = 2.0
"""For what waits in the queue and for the receiver to hear of the end."""
LOOK = 0.25
"""Seconds that anything is waited for before the rest is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds; tests are less patient."""

    connect: float = CONNECT_SECONDS
    stall: float = STALL
    finish: float = FINISH_SECONDS


PATIENT = Patience()


class BrokenError(Exception):
    """The connection is over; the text is a sentence without secrets."""


class Fed(Protocol):
    """The stream, as far as its feeding needs it."""

    queue: PacketQueue
    patience: Patience
    deadline: float

    def opening(self) -> bytes:
        """Return the first line for the process."""

    def connected(self) -> None:
        """The receiver takes the stream."""

    def took(self, count: int) -> None:
        """The process has taken so many bytes more."""

    def cleaned(self, text: str) -> str:
        """Return words of the process without secrets."""


class Feed:
    """One process' life: its input filled from the queue, its events read, its time limits kept."""

    def __init__(self, stream: Fed, process: subprocess.Popen[bytes], to: IO[bytes], back: IO[bytes]) -> None:
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
        """Feed until the end. Raises BrokenError."""
        self._pending = self._stream.opening() + stream_wire.pack(first)
        while True:
            if not self._pending and not self._closed:
                self._refill()
            self._exchange()
            if self._process.poll() is not None:
                self._listen()
                if self._closed and self._process.returncode == 0:
                    return
                raise BrokenError(f"the stream's process ended ({self._process.returncode})")
            self._check(time.monotonic())

    def _refill(self) -> None:
        packet = self._stream.queue.get(LOOK)
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
            timeout = LOOK if self._pending or self._closed else 0
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
            raise BrokenError("the stream's process ended") from None
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
                raise BrokenError(self._stream.cleaned(str(event.get("error", ""))) or "failed")

    def _check(self, now: float) -> None:
        patience = self._stream.patience
        if now > self._stream.deadline:
            raise BrokenError("the receiver did not take the end of the stream in time")
        if not self._connected and now - self._begun > patience.connect:
            raise BrokenError(f"the receiver did not answer within {patience.connect:g} s")
        if self._connected and self._pending and now - self._moved > patience.stall:
            raise BrokenError(f"no outbound progress for {patience.stall:g} s")
