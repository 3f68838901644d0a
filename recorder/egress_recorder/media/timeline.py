"""Owns the time of the file: the only place where the times of its frames and samples come from; pure.

File time 0 is the first media of any track; from there the file has one frame per tick and one sample per 1/48000 s
up to its end, so that its length is the wall clock's. Pictures wait `HOLD` seconds in a ring, so that the lip-sync
correction of their own moment is known, and are placed by it; encoded packets are never re-timed. Samples are
counted per stream (`audioclock`). What nobody publishes is black and silence. The origin moves a little (`axis`):
no picture gets its place before `begin` has found the phase of the first ones, and no sound before jitter buffers have found
their size (`SOUND_BEGIN`), so that these moves cost nothing.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from egress_recorder.media.audioclock import AudioClock, Placement
from egress_recorder.media.axis import Axis
from egress_recorder.media.counts import TimelineCounts
from egress_recorder.media.lipsync import LipSync
from egress_recorder.media.values import SAMPLE_RATE, Kind
from egress_recorder.media.videolane import YOUNG, Tick, VideoLane
from egress_recorder.vocabulary import Corrections

P = TypeVar("P")
C = TypeVar("C")

HOLD, HOLD_RESTLESS = 0.15, 0.4
"""Seconds that a picture waits for the delays of its moment to be measured, and while these are unknown or restless."""
RING_SECONDS = 0.5
"""Bound of the ring; beyond it the oldest picture goes (only a clock that jumps can fill it)."""
LATE = 0.3
"""Seconds by which media may be delivered late before its place is filled."""
STALE = 2.0
"""Seconds without a picture after which a camera is black and without a sample after which a track is silent."""
BEGIN = HOLD + LATE
"""Seconds of a file for whose first pictures everything waits; ticks are due only then, so that the encoder has no backlog."""
SOUND_BEGIN = YOUNG
"""Seconds of a file after which its first sound gets its place. Until then the origin moves at once with the pictures' phase: they
keep their ticks, and the sound has none yet. In the first second a jitter buffer shrinks by up to a tick (seen)."""
MAX_BACKLOG = 5.0
"""Seconds by which the encoder may be behind before ticks are given up: the last resort, after all of `ladder`."""


@dataclass(slots=True)
class _Video:
    still: bool
    muted: bool = False
    last: float = 0.0


@dataclass(slots=True)
class _Audio(Generic[C]):
    clock: AudioClock[C]
    muted: bool = False
    last: float | None = None


class Timeline(Generic[P, C]):
    """Places media of any number of tracks on one axis. All `at`, `captured`, `arrived`, `now` are monotonic seconds."""

    def __init__(self, fps: int, *, video: bool = True, audio: bool = True) -> None:
        self.origin: float | None = None
        """Monotonic time of file time 0; None before the first media. Moves by at most three ticks in a file's life."""
        self.first: float | None = None
        """Monotonic time of the first media; never moves."""
        self.lane: VideoLane[P] = VideoLane(fps)
        self._fps, self._has_video, self._has_audio = fps, video, audio
        self._ring_limit = max(4, int(RING_SECONDS * 60))
        self._ring: deque[tuple[str, P | None, float]] = deque()
        self._videos: dict[str, _Video] = {}
        self._live: list[str] = []
        self._audios: dict[str, _Audio[C]] = {}
        self._lipsync = LipSync()
        self._correction = 0.0
        self._last_placed = 0.0
        self._audio_ready = 0
        self._axis = Axis(fps)
        self._begun = self._sounds = False
        self._sound_first = False
        self._early: list[tuple[str, C, int, float]] = []
        self.counts = TimelineCounts(fps)

    # ---- tracks ------------------------------------------------------------------------------------------

    def opened(self, track: str, kind: Kind, *, still: bool = False) -> None:
        """A track (or a new stream of a known one) begins."""
        if kind == "video":
            self._videos[track] = _Video(still)
        else:
            self._audios[track] = _Audio(AudioClock())

    def closed(self, track: str, at: float) -> list[Placement[C]]:
        """A track is over; return what of its sound still waited for its anchor."""
        self._lipsync.forget(track)
        if self._videos.pop(track, None):
            self._retire(track, at)
            return []
        if track not in self._audios:
            return []
        early = self.begin(math.inf) if self._early else []
        clock = self._audios.pop(track).clock
        self.counts.over(clock.added, clock.removed)
        return [*early, *clock.flush()]

    def muted(self, track: str, muted: bool, at: float) -> None:
        """The publisher muted the track (its picture goes at once) or unmuted it."""
        if video := self._videos.get(track):
            video.muted = muted
            if muted:
                self._retire(track, at)
        elif audio := self._audios.get(track):
            audio.muted = muted

    def held(self, track: str, at: float) -> None:
        """A track is sent and cannot be decoded: a picture that stands still says that, black would say it was stopped."""
        if video := self._videos.get(track):
            video.last = max(video.last, at)

    def delay(self, track: str, seconds: float, at: float) -> None:
        """The receiver delayed the track by `seconds` around `at`."""
        if (audio := self._audios.get(track)) and audio.muted:
            # A muted track has no packets; what its buffer says of them would move pictures that nothing can be met by.
            return
        self._lipsync.measured(track, seconds, at)
        self.counts.delayed(seconds, at, sound=track in self._audios)

    @property
    def corrections(self) -> Corrections:
        """All corrections so far, as far as the timeline makes them."""
        return self.counts.total(
            self.lane, [audio.clock for audio in self._audios.values()], axis_moved=self._axis.moved
        )

    @property
    def recording(self) -> bool:
        """True while some track delivers media; False while only black and silence are written."""
        return bool(self._live) or any(
            audio.last is not None and not audio.muted for audio in self._audios.values()
        )

    # ---- media -------------------------------------------------------------------------------------------

    def picture(self, track: str, picture: P, captured: float) -> None:
        """Take one picture. The newest live track is shown; pictures of others are not used."""
        video = self._videos.get(track)
        if video is None or video.muted or not self._has_video:
            return
        self._start(captured)
        video.last = captured
        if track not in self._live:
            self._live.append(track)
        if track == self._live[-1]:
            self._enqueue(track, picture, captured)

    def samples(self, track: str, chunk: C, count: int, arrived: float) -> list[Placement[C]]:
        """Take a chunk of `count` samples whose last one arrived at `arrived`; return what has its place now."""
        audio = self._audios.get(track)
        if audio is None or not self._has_audio:
            return []
        if self.origin is None:
            if audio.muted:
                # A muted track delivers zeros for ever; they are not the first media of a recording.
                return []
            self._start(arrived - count / SAMPLE_RATE)
        audio.last = arrived
        if not self._sounds:
            self._early.append((track, chunk, count, arrived))
            return self.begin(arrived)
        assert self.origin is not None
        return audio.clock.push(chunk, count, arrived - self.origin)

    def begin(self, now: float) -> list[Placement[C]]:
        """Fix where the file begins, by the pictures that came so far; return what of the waiting sound has its place.

        To be called before `advance`; `now` may be infinite, then it begins with what there is.
        """
        if self._sounds or self.origin is None:
            return []
        if not self._begun:
            if self._has_video and now - self.origin < BEGIN:
                return []
            self._begun = True
            self._jump()
        if self._live and self._early and now - self.origin < SOUND_BEGIN:
            return []
        self._sounds = True
        early, self._early = self._early, []
        placements: list[Placement[C]] = []
        for track, chunk, count, arrived in early:
            if audio := self._audios.get(track):
                placements += audio.clock.push(chunk, count, arrived - self.origin)
        return placements

    def lost(self, track: str, now: float) -> bool:
        """True when the track's place was filled with silence meanwhile: the caller opens it anew before pushing."""
        audio = self._audios.get(track)
        return audio is not None and audio.last is not None and now - audio.last > STALE

    def advance(self, now: float) -> list[Tick[P]]:
        """Return the frames whose picture is final at `now`."""
        if not self._begun or not self._has_video:
            return []
        self._drop_stale(now)
        while self._ring and self._ring[0][2] + self._hold(self._ring[0][0]) <= now:
            self._place(*self._ring.popleft())
        self._align(now)
        until = self._due(now)
        if until - self.lane.position > MAX_BACKLOG:
            skipped = self.lane.skip_to(until - 1.0)
            self.lane.dropped += skipped
            self.counts.skipped += skipped
        return [*self.lane.due(), *self.lane.ticks(until)]

    def behind(self, now: float, index: int) -> float:
        """Return by how many seconds tick `index`, not encoded yet, is later than it should be."""
        return 0.0 if self.origin is None else max(0.0, self._due(now) - index / self._fps)

    def audio_ready(self, now: float) -> int:
        """Return the sample position up to which all sound that can still come is placed."""
        if self.origin is None or not self._sounds:
            return 0
        ready = int((now - self.origin - LATE) * SAMPLE_RATE)
        live = [
            audio.clock.position
            for audio in self._audios.values()
            if audio.last is not None and now - audio.last <= STALE
        ]
        self._audio_ready = max(self._audio_ready, min(live) if live else ready)
        return self._audio_ready

    def finish(self, at: float) -> tuple[list[Tick[P]], list[tuple[str, list[Placement[C]]]], int]:
        """End the file at `at`: return the last frames, what sound still waited, and the total of samples."""
        if self.origin is None:
            return [], [], 0
        early = self.begin(math.inf)
        while self._ring:
            self._place(*self._ring.popleft())
        length = max(0.0, at - self.origin)
        ticks = self.lane.ticks(length) if self._has_video else []
        waiting = [("", early), *((track, audio.clock.flush()) for track, audio in self._audios.items())]
        return ticks, waiting, max(self._audio_ready, round(length * SAMPLE_RATE))

    # ---- inside ------------------------------------------------------------------------------------------

    def _start(self, at: float) -> None:
        if self.origin is None:
            self.origin = self.first = at

    def _jump(self) -> None:
        """Let the file begin where the first pictures are due at ticks."""
        pictures = [(track, captured) for track, picture, captured in self._ring if picture is not None]
        if not pictures or self.origin is None:
            return
        track, first = pictures[0]
        correction = self._lipsync.correction(track, next(iter(self._audios), None), first)
        times = [at - self.origin + correction for of, at in pictures if of == track]
        # Where sound came first the file may only begin sooner: none of it is cut.
        self._sound_first = bool(self._early) and self._early[0][3] < first
        self.origin += self._axis.jump(times, sooner=self._sound_first)

    def _enqueue(self, track: str, picture: P | None, at: float) -> None:
        if self._ring:
            at = max(at, self._ring[-1][2])
        self._ring.append((track, picture, at))
        if len(self._ring) > self._ring_limit:
            # Bounded: the oldest picture gives way; it still takes its place in time, only unseen.
            self._ring.popleft()
            self.lane.dropped += 1
            self.counts.overflow += 1

    def _due(self, now: float) -> float:
        assert self.origin is not None
        return min(now - HOLD - LATE + self._correction, now - LATE) - self.origin

    def _hold(self, track: str) -> float:
        """How long a picture waits; what is written waits longer in any case (HOLD + LATE)."""
        calm = self._lipsync.calm(track, next(iter(self._audios), None))
        return HOLD if calm or track not in self._videos else HOLD_RESTLESS

    def _place(self, track: str, picture: P | None, captured: float) -> None:
        assert self.origin is not None
        audio = next(iter(self._audios), None)
        if picture is not None:
            self._correction = self._lipsync.correction(track, audio, captured)
            self.counts.moved(self._correction)
        self._last_placed = max(self._last_placed, captured - self.origin + self._correction)
        self.lane.place(picture, self._last_placed)

    def _align(self, now: float) -> None:
        """Move the axis a little so that pictures are due at the ticks that show them; at once while no sound has its place."""
        assert self.origin is not None
        assert self.first is not None
        if self._sounds:
            step = self._axis.step(self.lane.lateness, now, live=bool(self._live))
        else:
            room = self.first - self.origin if self._sound_first else math.inf
            step = self._axis.settle(self.lane.lateness, room)
        if step:
            self.origin += step
            self.lane.shift(-step)
            for audio in self._audios.values():
                audio.clock.shift(-step)

    def _retire(self, track: str, at: float) -> None:
        if track not in self._live:
            return
        shown = self._live[-1] == track
        self._live.remove(track)
        if shown and not self._live:
            self._enqueue(track, None, at)

    def _drop_stale(self, now: float) -> None:
        for track in [*self._live]:
            video = self._videos[track]
            if not video.still and now - video.last > STALE:
                self._retire(track, now)
