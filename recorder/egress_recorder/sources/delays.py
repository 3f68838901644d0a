"""Owns what a receiver's statistics say about when media came in from the network; pure.

Sound and picture are aligned at the one point that both pass untouched, the receipt of their packets; from there each is
followed to the clock reading that the sink gets with it. For sound that is the wait in the jitter buffer. For pictures it
is the processing delay (first packet to decoded picture, W3C webrtc-stats), plus the lead of the picture's own time
(libwebrtc's render time) over its delivery: the render time contains the decoder's worst case and 10 ms that a screen
would need. The jitter-buffer delay of video, which ends before the decoder, left pictures 10-15 ms late.

What a publisher does before it sends is in no statistics. Measured with the SDK's own (`benchmarks/bench_delays.py`): the
first packet of a 720p picture leaves 8-10 ms after its capture, and sound waits the 20 ms of its Opus packet, 10 of
which the receiver's 10 ms steps take out again. The two cancel within 3 ms. What is still seen in decoded files,
less with Chromium as publisher than with the SDK, is `lipsync.SOUND_LAG`.
"""

from __future__ import annotations

from collections import deque

RESTLESS = 0.03
"""Seconds between the means of two intervals from which on the next look is worth having soon: a mean says little of its moments."""
FRAMES = 120
"""Pictures whose leads are kept between two looks at the statistics (60 fps for 2 s)."""


class ReceiveDelay:
    """The mean delay of each interval between two looks at the counters of one track."""

    def __init__(self) -> None:
        self._last = (0.0, 0)
        self._mean = 0.0
        self.restless = False
        """True while the delay changes from one interval to the next."""
        self._leads: deque[float] = deque(maxlen=FRAMES)

    def delivered(self, lead: float) -> None:
        """A picture whose own time is `lead` seconds after its delivery (negative: before) was delivered."""
        self._leads.append(lead)

    def interval(self, total: float, count: int) -> float | None:
        """Return the seconds from the receipt to the time that the sink was given, None when nothing came.

        Negative when libwebrtc's render time lies before the receipt: its extrapolation of RTP times learns for seconds
        from a sender that begins slowly and catches up (seen: 100 ms).
        `total` is the sum of the delays of `count` items since the subscription (0 at first; less than before: a new one).
        """
        last, self._last = self._last, (total, count)
        lead = self._lead()
        self._leads.clear()
        if count <= last[1] or total < last[0]:
            return None
        before, self._mean = self._mean, (total - last[0]) / (count - last[1]) + lead
        self.restless = abs(self._mean - before) > RESTLESS
        return self._mean

    def _lead(self) -> float:
        """The mean: the processing delay is one as well, and on a lossy path both have the same long tail."""
        return sum(self._leads) / len(self._leads) if self._leads else 0.0
