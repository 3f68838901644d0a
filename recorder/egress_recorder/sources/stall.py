"""Owns when pictures that are received but cannot be decoded are asked for anew; pure.

A packet that no retransmission brings leaves all following pictures undecodable (livekit-server 1.13 answers no NACK
between a PLI and the next key frame: `FlagStopRTXOnPLI`, sfu/downtrack.go). libwebrtc waits 3 s for it before it asks for a
key frame (`max_wait_for_frame`, video_receive_stream2.cc), and the SDK has no way to ask. A server that is told to pause a
track and go on begins with a key frame.
"""

from __future__ import annotations

PATIENCE = 0.7
"""Seconds without a decoded picture, packets coming and some missing; a retransmission over 200 ms takes 0.4 s."""
AGAIN = 2.0
"""Seconds until the next attempt: on such a path the key frame has lost packets as well, which come within a second;
asked for every 1.2 s it was cut off again and again (seen: 5 s)."""
PACKETS_PER_SECOND = 10
"""Packets that any moving picture has; a still screen has padding (the server's probes) and none that anybody waits for."""


class Stall:
    """The counters of one track, looked at again and again."""

    def __init__(self) -> None:
        self._last = (0, 0, 0)
        self._began = self._next = 0.0
        self._received = self._missing = 0
        self.suspected = False
        """True while the publisher sends, packets are missing and no picture is decoded: the last one stays."""

    def looked(self, at: float, *, received: int, decoded: int, nacks: int) -> bool:
        """Take the counters at a time (monotonic seconds); True when a key frame is worth asking for now.

        `received`: packets, `decoded`: pictures, `nacks`: retransmissions that were asked for. Before the first picture
        libwebrtc asks by itself, every 200 ms.
        """
        last, self._last = self._last, (received, decoded, nacks)
        if decoded == 0 or decoded != last[1]:
            self._began, self._next = at, at + PATIENCE
            self._received = self._missing = 0
            self.suspected = False
            return False
        self._received += max(0, received - last[0])
        self._missing += max(0, nacks - last[2])
        self.suspected = self._missing > 0 and self._received >= PACKETS_PER_SECOND * (at - self._began)
        if at < self._next or not self.suspected:
            return False
        self._next = at + AGAIN
        return True
