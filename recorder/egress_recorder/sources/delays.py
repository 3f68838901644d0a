"""Owns what a receiver's statistics say about when media came in from the network; pure.

Sound and picture are aligned at the one point that both pass untouched, the receipt of their packets; from there each is
followed to the clock reading that the sink gets with it. For sound that is the wait in the jitter buffer. For pictures it
is the processing delay (first packet to decoded picture, W3C webrtc-stats), plus the lead of the picture's own time
(libwebrtc's render time) over its delivery: the render time contains the decoder's worst case and 10 ms that a screen
would need. The jitter-buffer delay of video, which ends before the decoder, left pictures 10-15 ms late.

What a publisher does before it sends is in no statistics. Measured with the SDK's own (`benchmarks/bench_delays.py --size`): the first
packet of a picture leaves 4 ms after its capture at 640x360, 10 ms at 1280x720 and 19 ms at 1920x1080, because it is encoded first
(`encoding`); and sound waits the 20 ms of its Opus packet, 10 of which the receiver's 10 ms steps take out again. What
remains in decoded files, less with Chromium as publisher than with the SDK, is `lipsync.SOUND_LAG`.

On a machine whose CPUs are all busy the statistics lie, and always to one side: a packet is stamped when the receiver's thread gets to
it, and a picture is delivered after it was decoded, so that both figures are too small by what the thread waited for a
CPU (seen: 0.1 to 0.6 s for a moment), while media keep their place. A great fall is therefore believed only as fast as
buffers can shrink, or when it lasts.
"""

from __future__ import annotations

from collections import deque

OPUS_LOOKAHEAD = 0.0065
"""Seconds by which Opus delays all sound (RFC 6716 §2); in no statistics, and libwebrtc does not take it out."""
ENCODING = 0.0083
"""Seconds per megapixel that a software encoder needs in real time (VP8 of libwebrtc: 4.2, 10.0 and 19.5 ms at 0.23, 0.92 and 2.07 megapixels, of
which 2.3 do not depend on the size; OpenH264 is 1 ms faster at 0.23)."""
RESTLESS = 0.03
"""Seconds between the means of two intervals from which on the next look is worth having soon: a mean says little of its moments."""
FALL_SOUND, FALL_PICTURES = 0.15, 0.1
"""Seconds per second by which a settled delay can fall: NetEQ plays faster (measured: 0.065), libwebrtc moves the render time of pictures
by 0.1 at most (`kDelayMaxChangeMsPerS` in modules/video_coding/timing/timing.cc). Of five pairs these met the sound best."""
GREAT = 0.05
"""Seconds by which a delay may fall faster: the steps of jitter buffers, which a calm machine has as well."""
SETTLING = 2.0
"""Seconds after the first interval in which every fall is believed: buffers find their size and libwebrtc the sender's clock (seen:
200 ms in half a second)."""
LASTING = 2.0
"""Seconds after which a fall is believed whatever its speed: a buffer was emptied at once."""
FRAMES = 120
"""Pictures whose leads are kept between two looks at the statistics (60 fps for 2 s)."""


def look_ahead(mime_type: str) -> float:
    """Return the seconds by which a track's codec delays it: Opus' look-ahead, which G.711 has not. RED carries Opus."""
    kind, _, codec = mime_type.lower().partition("/")
    return 0.0 if kind == "video" or codec in ("pcmu", "pcma") else OPUS_LOOKAHEAD


def encoding(width: int, height: int) -> float:
    """Return the seconds for which a publisher encodes a picture of this size before its first packet leaves."""
    return ENCODING * width * height / 1e6


class _Belief:
    """What is believed of the delays of one subscription."""

    def __init__(self, fall: float) -> None:
        self._fall = fall
        self._recent: deque[tuple[float, float]] = deque()
        """Time and mean of the intervals of the last `LASTING` seconds."""
        self._first: float | None = None
        self._last = (0.0, 0.0)

    def of(self, mean: float, at: float) -> float:
        """Return what is believed of the `mean` of the interval until `at`."""
        self._recent.append((at, mean))
        while self._recent[0][0] <= at - LASTING:
            self._recent.popleft()
        if self._first is None:
            self._first, self._last = at, (at, mean)
        before, value = self._last
        slowly = value - self._fall * (at - before)
        if mean < slowly - GREAT and at - self._first >= SETTLING:
            mean = min(slowly, max(recent for _, recent in self._recent))
        self._last = at, mean
        return mean


class ReceiveDelay:
    """The mean delay of each interval between two looks at the counters of one track, as far as it is believed."""

    def __init__(self, fall: float) -> None:
        """`fall`: seconds per second by which the delay can fall."""
        self._fall = fall
        self._last = (0.0, 0)
        self._mean = 0.0
        self._belief = _Belief(fall)
        self.restless = False
        """True while the delay changes from one interval to the next."""
        self._leads: deque[float] = deque(maxlen=FRAMES)

    def delivered(self, lead: float) -> None:
        """A picture whose own time is `lead` seconds after its delivery (negative: before) was delivered."""
        self._leads.append(lead)

    def interval(self, total: float, count: int, at: float) -> float | None:
        """Return the seconds from the receipt to the time that the sink was given, None when nothing came until `at`.

        Negative when libwebrtc's render time lies before the receipt: its extrapolation of RTP times learns for seconds
        from a sender that begins slowly and catches up (seen: 100 ms).
        `total` is the sum of the delays of `count` items since the subscription (0 at first; less than before: a new one).
        """
        last, self._last = self._last, (total, count)
        lead = self._lead()
        self._leads.clear()
        if count < last[1]:
            self._belief = _Belief(self._fall)
        if count <= last[1] or total < last[0]:
            return None
        before, self._mean = self._mean, (total - last[0]) / (count - last[1]) + lead
        self.restless = abs(self._mean - before) > RESTLESS
        return self._belief.of(self._mean, at)

    def _lead(self) -> float:
        """The mean: the processing delay is one as well, and on a lossy path both have the same long tail."""
        return sum(self._leads) / len(self._leads) if self._leads else 0.0
