"""Owns packets that may turn out not to belong to the file; pure.

While nobody is in the room the encoders go on (black, silence), but the file is to end at the departure if nobody
comes back. So packets after the departure wait here; they are written when somebody returns and dropped when not.
Bounded: beyond `LIMIT` seconds the oldest are written after all (10 MB of packets of almost no content).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

LIMIT = 300.0
"""Seconds of packets that may wait."""


class Timed(Protocol):
    """What the gate needs to know of a packet."""

    @property
    def file_time(self) -> float:
        """Seconds since the beginning of the file."""


T = TypeVar("T", bound=Timed)


class Gate(Generic[T]):
    """Lets packets through, or keeps those from a given file time on."""

    def __init__(self) -> None:
        self._from: float | None = None
        self._waiting: deque[T] = deque()

    @property
    def closed_at(self) -> float | None:
        """File time from which packets wait; None while open."""
        return self._from

    def close(self, file_time: float) -> None:
        """Keep packets from `file_time` on. Closing a closed gate changes nothing: the first departure counts."""
        if self._from is None:
            self._from = file_time

    def open(self) -> list[T]:
        """Let everything through; return what waited, in order."""
        self._from = None
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def discard(self) -> None:
        """Drop what waited."""
        self._waiting.clear()

    def pass_through(self, packets: Iterable[T]) -> list[T]:
        """Return the packets that may be written now."""
        if self._from is None:
            return list(packets)
        out: list[T] = []
        for packet in packets:
            if packet.file_time < self._from:
                out.append(packet)
            else:
                self._waiting.append(packet)
        while self._waiting and self._waiting[-1].file_time - self._waiting[0].file_time > LIMIT:
            out.append(self._waiting.popleft())
            self._from = max(self._from, out[-1].file_time)
        return out
