"""Owns what becomes of one stream: active, tried again, finished or failed. Pure: time is an argument.

As LiveKit Egress (reference livekit-egress.md §3.5): a first connection that fails is final; one that had delivered
is made again, for 30 s without real progress. LiveKit tries again at once and RTMP only; here it is every protocol,
with a back-off, so that a receiver that starts is not met by a storm.
"""

from __future__ import annotations

from dataclasses import dataclass

GIVE_UP = 30.0
"""Seconds without real progress after which a stream that was lost has failed."""
STALL = 30.0
"""Seconds without any outbound progress after which a connection is given up."""
REAL_PROGRESS = 4096
"""Bytes on one connection that count as progress."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0


@dataclass(slots=True)
class StreamLife:
    """The facts of one stream. Times `now` are monotonic seconds."""

    delivered: bool = False
    """Some connection has made real progress."""
    retries: int = 0
    error: str = ""
    failed: bool = False
    _lost: float | None = None
    _pause: float = FIRST_PAUSE

    def progressed(self, sent: int) -> None:
        """The present connection has taken `sent` bytes so far."""
        if sent > REAL_PROGRESS:
            self.delivered, self._lost, self._pause = True, None, FIRST_PAUSE

    def broke(self, error: str, now: float) -> float | None:
        """The connection is over. Return the seconds to wait before the next one, None when it has failed for good."""
        self.error = error
        self._lost = now if self._lost is None else self._lost
        if not self.delivered or now - self._lost >= GIVE_UP:
            self.failed = True
            return None
        pause = min(self._pause, max(0.0, self._lost + GIVE_UP - now))
        self._pause = min(LONGEST_PAUSE, self._pause * 2)
        self.retries += 1
        return pause
