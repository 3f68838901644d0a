"""Owns when a track of sound has no packets any more; pure.

The receiver (NetEq) delivers silence for what does not come, for ever: only the count of packets tells a publisher that
was killed or lost its network from one that is silent. One that is silent sends, at least every 400 ms (Opus' DTX, RFC 7587
section 3.1.3); one that is muted is told by the server.
"""

from __future__ import annotations

PATIENCE = 1.5
"""Seconds without a packet: two of DTX in a row may be lost, and the statistics are looked at every 0.25 s."""


class Starvation:
    """The count of one track's packets, looked at again and again."""

    def __init__(self) -> None:
        self._received = 0
        self._fed: float | None = None
        self.since: float | None = None
        """Monotonic seconds of the look that saw the last packet, None while packets come or none ever came."""

    def looked(self, at: float, received: int) -> bool:
        """Take the count of packets received up to `at`; True when `since` has changed."""
        before = self.since
        if received != self._received:
            self._received, self._fed, self.since = received, at, None
        elif self._fed is not None and at - self._fed >= PATIENCE:
            self.since = self._fed
        return self.since != before
