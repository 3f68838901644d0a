"""Owns the counting of what the timeline corrects; plain numbers, no work of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from egress_recorder.media.audioclock import AudioClock
from egress_recorder.media.lipsync import SOUND_LAG
from egress_recorder.media.mailbox import SOUND_CHUNK, Mailbox
from egress_recorder.media.videolane import VideoLane
from egress_recorder.vocabulary import Corrections

PLAUSIBLE_DELAY = 5.0
"""Seconds; a measured delay beyond it is a restarted counter."""


FIRST_INTERVAL = 0.1
"""Seconds that the first measurement stands for."""
LONGEST_INTERVAL = 1.0
"""Seconds that one measurement may stand for at most."""


class _Mean:
    """A mean over time: a measurement counts for the time since the last one."""

    def __init__(self) -> None:
        self._sum = self._weight = 0.0
        self._last: float | None = None

    def add(self, value: float, at: float) -> None:
        since = FIRST_INTERVAL if self._last is None else max(0.0, at - self._last)
        weight = min(LONGEST_INTERVAL, since)
        self._last = at
        self._sum, self._weight = self._sum + weight * value, self._weight + weight

    @property
    def value(self) -> float | None:
        return self._sum / self._weight if self._weight else None


class TimelineCounts:
    """Counts of one file."""

    def __init__(self, fps: int) -> None:
        self.skipped = 0
        """Frames given up because the encoder was seconds behind."""
        self.overflow = 0
        """Pictures that the ring had no place for."""
        self._half_frame = 0.5 / fps
        self._pictures_moved = 0
        self._correction = self._largest = self._slewed = 0.0
        self._added = self._removed = 0
        self._sound, self._picture = _Mean(), _Mean()

    def moved(self, correction: float) -> None:
        """A picture was moved by so many seconds."""
        self._slewed += abs(correction - self._correction)
        self._correction = correction
        self._largest = max(self._largest, abs(correction))
        self._pictures_moved += abs(correction) >= self._half_frame

    def delayed(self, seconds: float, at: float, *, sound: bool) -> None:
        """The receiver held back a track by so much around `at`."""
        if 0.0 <= seconds < PLAUSIBLE_DELAY:
            (self._sound if sound else self._picture).add(seconds + (SOUND_LAG if sound else 0.0), at)

    def over(self, added: int, removed: int) -> None:
        """A stream of sound is over; so many samples were added to it and removed from it."""
        self._added += added
        self._removed += removed

    def total(
        self, lane: VideoLane[Any], live: Sequence[AudioClock[Any]], *, axis_moved: float
    ) -> Corrections:
        """Return all of it. `live`: the streams of sound that go on."""
        # Pictures are moved to their sound: where there is sound, its delay is that of the whole file.
        delay = self._picture.value if self._sound.value is None else self._sound.value
        return Corrections(
            frames_late=lane.late,
            frames_surplus=lane.surplus,
            frames_overflow=self.overflow,
            frames_skipped=self.skipped,
            pictures_moved=self._pictures_moved,
            lip_sync=round(self._correction, 4),
            lip_sync_max=round(self._largest, 4),
            lip_sync_slewed=round(self._slewed, 4),
            samples_added=self._added + sum(clock.added for clock in live),
            samples_removed=self._removed + sum(clock.removed for clock in live),
            receive_delay=round(delay or 0.0, 6),
            axis_moved=round(axis_moved, 6),
        )


def complete(corrections: Corrections, mailbox: Mailbox, *, cut: int, saved: int) -> Corrections:
    """Return the timeline's corrections with those before it and after it."""
    return replace(
        corrections,
        frames_overflow=corrections.frames_overflow + mailbox.dropped_pictures,
        frames_saved=saved,
        samples_cut=cut,
        sound_dropped=round(mailbox.dropped_sound * SOUND_CHUNK, 3),
    )
