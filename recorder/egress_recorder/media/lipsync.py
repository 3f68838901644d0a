"""Owns how far pictures are moved so that they meet their sound; pure.

libwebrtc does not lip-sync tracks of different streams (LiveKit's default): sound arrives later than its picture by
the difference of the two jitter buffers, 50-190 ms on a calm machine. Sound is never touched for this; pictures are
moved by (audio delay - video delay), slewed, before they are encoded.
"""

from __future__ import annotations

from collections import deque

SOUND_LAG = 0.012
"""Seconds by which sound is later than its packets and both codecs say: a publisher's capture and the receiver's step of 10 ms, whose phase
is another one in each recording: settled A/V offsets of the conformance suite without it are 7 to 15 ms (Python SDK, 12 in the
mean) and 4 to 8 ms (Chromium). Nearer to the SDK's: its spread reaches the limit first."""
MAX_CORRECTION = 1.5
"""Seconds; a starved receiver can be further off (seen: 2 s), but so many pictures wait in memory (720p: 41 MB per second)."""


FAR, FAR_RATE = 0.05, 3.0
"""Seconds of error beyond which pictures follow at `FAR_RATE` seconds per second: out of sync is seen more than haste. On a
machine whose CPUs are all busy jitter buffers grow by 0.3 s at once; at 1 s/s pictures were off for half a second each time."""


RESTLESS = 0.06
"""Seconds between the extremes of the last measurements from which on the next one is worth waiting for."""

SETTLING = 0.5
"""Seconds for which the first measurements of a sound that follows another one are not obeyed: its jitter buffer has not found
its size yet (seen: 20 ms below what it is a second later), and pictures would go a tick forward and back again."""


PAUSE, HASTE = 0.5, 0.6
"""Seconds without a picture after which the next one begins anew, and for which its successors follow at `FAR_RATE` then: libwebrtc
learns the sender's clock again, and the first measurements are off by 70 ms (an unmuted camera: seen)."""


class Slew:
    """A value that follows its target with at most `rate` per second; the first target is taken at once.

    From an error of more than `FAR` and after a pause it follows with `FAR_RATE`.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._hasty_until = 0.0
        self._value = 0.0
        self._at: float | None = None

    @property
    def value(self) -> float:
        """What it was followed to; 0 before."""
        return self._value

    def follow(self, target: float, at: float) -> float:
        """Return the value at time `at`, which never goes back."""
        if self._at is None:
            self._value = target
        else:
            if at - self._at > PAUSE:
                self._hasty_until = at + HASTE
            hasty = at < self._hasty_until or abs(target - self._value) > FAR
            rate = max(self._rate, FAR_RATE) if hasty else self._rate
            step = rate * max(0.0, at - self._at)
            self._value += max(-step, min(step, target - self._value))
        self._at = at if self._at is None else max(at, self._at)
        return self._value


EARLIEST, LATEST = -1.0, 5.0
"""Seconds between which a measured delay is believed; beyond them a counter was restarted."""


class LipSync:
    """The correction of pictures in seconds, from the measured delays of the sound and of the shown video track."""

    def __init__(self, *, rate: float = 0.25, memory: int = 16) -> None:
        self._slew = Slew(rate)
        self._memory = memory
        self._delays: dict[str, deque[tuple[float, float]]] = {}
        self._since: dict[str, float] = {}
        self._met: str | None = None
        """The sound that pictures were last moved for."""
        self._last_target: float | None = None

    def measured(self, track: str, seconds: float, at: float) -> None:
        """Take one measurement, negative when the track's times lie before their receipt; absurd ones are ignored."""
        if EARLIEST <= seconds < LATEST:
            self._delays.setdefault(track, deque(maxlen=self._memory)).append((at, seconds))
            self._since.setdefault(track, at)

    def forget(self, track: str) -> None:
        """The track is over; a new one with the same name starts with new counters."""
        self._delays.pop(track, None)
        self._since.pop(track, None)

    def calm(self, video: str, audio: str | None) -> bool:
        """True when both delays were measured and that of the sound hardly changes, or there is no sound to be met."""
        if audio is None:
            return True
        if video not in self._delays or audio not in self._delays:
            return False
        lately = [seconds for _, seconds in self._delays[audio]]
        return max(lately) - min(lately) < RESTLESS

    def correction(self, video: str, audio: str | None, at: float) -> float:
        """Return the seconds that a picture captured at `at` is moved later (or, negative, earlier)."""
        target = self._target(video, audio, at)
        return 0.0 if target is None else self._slew.follow(target, at)

    def _target(self, video: str, audio: str | None, at: float) -> float | None:
        # The sound of this picture's moment comes out of its buffer later than the picture, by the correction itself.
        sound = self._delay_at(audio or "", at + max(0.0, self._slew.value))
        picture = self._delay_at(video, at)
        if picture is None or sound is None or self._settles(audio, at):
            # Nothing to match (yet, or any more): keep what was last right, a jump back would be seen.
            return self._last_target
        self._met = audio
        self._last_target = max(-MAX_CORRECTION, min(MAX_CORRECTION, sound + SOUND_LAG - picture))
        return self._last_target

    def _settles(self, audio: str | None, at: float) -> bool:
        if audio is None or self._met is None or audio == self._met:
            return False
        return at < self._since[audio] + SETTLING

    def _delay_at(self, track: str, at: float) -> float | None:
        """Interpolate between measurements, hold the nearest one outside of them."""
        history = self._delays.get(track)
        if not history:
            return None
        before = history[0]
        for after in history:
            if after[0] >= at:
                span = after[0] - before[0]
                share = (at - before[0]) / span if span > 0 and at > before[0] else 1.0
                return before[1] + (after[1] - before[1]) * share
            before = after
        return before[1]
