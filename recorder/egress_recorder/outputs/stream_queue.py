"""Owns what waits for one stream: a bounded queue that, when full, drops everything up to the next key frame.

A receiver that is slower than the media loses whole groups of pictures, so that what arrives can always be decoded;
nobody else waits for it. Filled by the media thread, emptied by the stream's own.
"""

from __future__ import annotations

import threading
from collections import deque

from egress_recorder.media.packets import EncodedPacket

MAX_SECONDS = 5.0
MAX_BYTES = 4 * 1024 * 1024
"""The packets are shared with the other outputs: several queues hold them once."""


class PacketQueue:
    """First in, first out; `video`: it begins, and goes on after a loss, with a key frame."""

    def __init__(self, *, video: bool, max_seconds: float = MAX_SECONDS, max_bytes: int = MAX_BYTES) -> None:
        self._video, self._max_seconds, self._max_bytes = video, max_seconds, max_bytes
        self._waiting: deque[EncodedPacket] = deque()
        self._bytes = 0
        self._skipping = video
        self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0
        """Packets that were dropped because the queue was full."""

    def put(self, packet: EncodedPacket) -> None:
        """Take one packet or drop it; returns at once."""
        with self._changed:
            if self._closed:
                return
            if self._skipping and not (packet.kind == "video" and packet.packet.is_keyframe):
                return
            self._skipping = False
            self._waiting.append(packet)
            self._bytes += packet.packet.size
            if self._bytes > self._max_bytes or self._span() > self._max_seconds:
                self._overflow(packet)
            self._changed.notify()

    def get(self, timeout: float) -> EncodedPacket | None:
        """Return the next packet, None when none came within `timeout` seconds or when it is closed and empty."""
        with self._changed:
            if not self._waiting and not self._closed:
                self._changed.wait(timeout)
            if not self._waiting:
                return None
            packet = self._waiting.popleft()
            self._bytes -= packet.packet.size
            return packet

    def restart(self) -> None:
        """Forget what waits and begin again at the next key frame: a new connection knows nothing of the old one."""
        with self._changed:
            self._waiting.clear()
            self._bytes, self._skipping = 0, self._video

    def close(self) -> None:
        """Take nothing more; what waits can still be had."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def over(self) -> bool:
        """True when it is closed and empty."""
        with self._changed:
            return self._closed and not self._waiting

    def _span(self) -> float:
        return self._waiting[-1].file_time - self._waiting[0].file_time

    def _overflow(self, newest: EncodedPacket) -> None:
        keeps = self._video and newest.kind == "video" and newest.packet.is_keyframe
        self.dropped += len(self._waiting) - keeps
        self._waiting.clear()
        self._bytes, self._skipping = 0, self._video
        if keeps:
            self._waiting.append(newest)
            self._bytes, self._skipping = newest.packet.size, False
