"""Owns the judgement of what a browser played: pictures and sound against what decoding the same media shows, and stalls. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from devstack import testpattern
from devstack.mediacheck import MediaReport
from devstack.readings import FREQUENCIES, LISTEN, Look, Run, Tick, heard_at, quiet_levels
from devstack.testpattern import BEEP_THRESHOLD, SAMPLE_RATE
from devstack.tones import HEARD, NOT_HEARD, WINDOW

POSITIONS = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Parts of the duration at which picture and sound are looked at."""
STALL = 0.5
"""Seconds that play head or picture may stand still while the media plays."""
_PLACE = 0.25
"""Seconds by which the picture after a seek may be off its place."""
_FRAMES, _HLS_FRAMES = 1.5, 3.5
"""Pictures by which the number that is shown may be off the file's at that time, the playlist's: hls.js begins what follows a
discontinuity where the sound before it ends, which may be two pictures after the last one (measured: 53 ms)."""
_LATENCY = 0.35
"""Seconds by which the sound that is analysed and the play head may differ (the analyser's 85 ms and a device's buffers)."""
_SURE = 1.5
"""How far above `HEARD` the file's own tone is where the browser must have it."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What decoding showed: number of each picture by its time, and the sound as one channel from time 0 at 48 kHz."""

    times: npt.NDArray[np.float64]
    numbers: tuple[int | None, ...]
    slack: float
    """Seconds by which a picture may be off its place."""
    sound: npt.NDArray[np.float32]

    @classmethod
    def of(cls, *pieces: tuple[float, MediaReport]) -> Self:
        """Media whose pieces begin at these times, in order: a file, or what a playlist has between discontinuities."""
        ends = [round((begin + report.duration) * SAMPLE_RATE) for begin, report in pieces]
        sound = np.zeros(max(ends, default=0), np.float32)
        for begin, report in pieces:
            first = round(begin * SAMPLE_RATE)
            mono = report.audio.mean(axis=0)[: len(sound) - first]
            sound[first : first + len(mono)] += mono
        times = [begin + time for begin, report in pieces for time in report.frame_times]
        numbers = tuple(number for _, report in pieces for number in report.counters)
        rate = max((report.framerate for _, report in pieces), default=0.0)
        frames = _FRAMES if len(pieces) == 1 else _HLS_FRAMES
        return cls(np.array(times, np.float64), numbers, frames / (rate or 30.0), sound)

    def numbers_near(self, time: float) -> set[int | None]:
        """Return the numbers of the pictures within `slack` of a time."""
        near = np.flatnonzero(np.abs(self.times - time) <= self.slack)
        return {self.numbers[index] for index in near}

    def time_of(self, number: int) -> float | None:
        """Return when a number is shown first; None when it never is."""
        return float(self.times[self.numbers.index(number)]) if number in self.numbers else None

    def problem_of(self, look: Look) -> str:
        """Say what is wrong with a picture; "" when the file has that number there."""
        near = self.numbers_near(look.time)
        if look.number in near:
            return ""
        return f"the picture of {look.time:.2f} s shows number {look.number} instead of one of {sorted(map(str, near))}"

    def levels_near(self, position: float) -> list[tuple[float, ...]]:
        """Return the levels of `FREQUENCIES` in all windows around where a position is listened to that no beep touches."""
        length, margin = round(WINDOW * SAMPLE_RATE), round(0.03 * SAMPLE_RATE)
        near = self._near(position)
        found = []
        for at in range(0, len(near) - length, length):
            if np.abs(near[max(0, at - margin) : at + length + margin]).max() < BEEP_THRESHOLD:
                piece = near[at : at + length]
                found.append(tuple(testpattern.tone_level(piece, frequency) for frequency in FREQUENCIES))
        return found

    def _near(self, position: float) -> npt.NDArray[np.float32]:
        first, last = position + LISTEN[0] - _LATENCY, position + LISTEN[1] + _LATENCY
        return self.sound[max(0, round(first * SAMPLE_RATE)) : round(last * SAMPLE_RATE)]

    def _beeps_near(self, position: float) -> bool:
        return bool((np.abs(self._near(position)) >= BEEP_THRESHOLD / 2).any())

    def problem_heard(self, position: float, heard: Sequence[Tick]) -> str:
        """Say what is wrong with the sound at a position; "" when each tone is there where the file has it, and only there.

        Around the edge of a tone there is no verdict, and beside a beep none on the quiet tones.
        """
        if not heard:
            return f"nothing was listened to at {position:.2f} s"
        if max(tick.peak for tick in heard) >= BEEP_THRESHOLD and not self._beeps_near(position):
            return f"a beep is heard at {position:.2f} s, where the file has none"
        levels, expected = quiet_levels(heard), self.levels_near(position)
        if levels is None or not expected:
            return ""
        least, most = np.min(np.array(expected), axis=0), np.max(np.array(expected), axis=0)
        for frequency, level, low, high in zip(FREQUENCIES, levels, least, most, strict=True):
            if low >= _SURE * HEARD and level < HEARD:
                return f"no {frequency} Hz is heard at {position:.2f} s"
            if high < NOT_HEARD and level >= HEARD:
                return f"{frequency} Hz is heard at {position:.2f} s, where the file has none"
        return ""


@dataclass(frozen=True, slots=True)
class Playback:
    """What the browser's media element did. Times in seconds of media time."""

    duration: float
    width: int
    height: int
    looks: tuple[Look, ...]
    """The picture that was shown after each seek to `POSITIONS`; of sound alone where the play head was."""
    runs: tuple[Run, ...]
    """What was played at its own speed."""
    ended: bool
    position: float
    frames: int
    """Pictures decoded in all."""
    audio_bytes: int
    """Bytes of encoded sound that were decoded; 0 means that no sound was played."""
    error: str
    notes: tuple[str, ...] = ()
    """What hls.js got over by itself."""
    truth: Truth | None = None
    """What decoding the same media showed."""

    @property
    def numbers(self) -> tuple[int | None, ...]:
        """What the pictures at `POSITIONS` show."""
        return tuple(look.number for look in self.looks)

    @property
    def stalled(self) -> float:
        """Longest time, wall clock, that play head or picture stood still."""
        return max((run.stalled for run in self.runs), default=0.0)

    @property
    def problem(self) -> str:
        """Say what is wrong; empty when it plays to its end without a stall, and shows and sounds as decoding it does."""
        if self.error:
            return self.error
        if not self.ended:
            return f"stopped at {self.position:.2f} s"
        for look in self.looks:
            if abs(look.time - look.target) >= _PLACE:
                return f"the picture of {look.time:.2f} s after a seek to {look.target:.2f} s"
        if self.stalled > STALL:
            return f"stalled for {self.stalled:.1f} s"
        return self._untrue(self.truth) if self.truth is not None else ""

    def _untrue(self, truth: Truth) -> str:
        for look in self.looks:
            if self.width and (problem := truth.problem_of(look)):
                return problem
            if problem := truth.problem_heard(look.target, heard_at(self.runs, look.target)):
                return problem
        return ""

    @property
    def plays(self) -> bool:
        """True when there is no problem."""
        return not self.problem

    def level(self, frequency: int) -> float:
        """Return the amplitude (full scale 1) of a steady tone, at the position where it is least; 0.0 when nothing was heard."""
        index = FREQUENCIES.index(frequency)
        found = [quiet_levels(heard_at(self.runs, look.target)) for look in self.looks]
        return min((0.0 if levels is None else float(levels[index]) for levels in found), default=0.0)

    def summary(self) -> str:
        """One line for people."""
        verdict = f"DOES NOT PLAY ({self.problem})" if self.problem else "plays"
        size = f"{self.width}x{self.height}" if self.width else "no picture"
        notes = f" ({'; '.join(self.notes)})" if self.notes else ""
        return (
            f"{verdict}: {self.duration:.2f} s, {size}, {self.frames} frames and {self.audio_bytes} bytes of sound decoded,"
            f" longest stall {self.stalled:.2f} s{notes}"
        )


@dataclass(frozen=True, slots=True)
class Followed:
    """What was seen and heard of a live playlist."""

    width: int
    height: int
    looks: tuple[Look, ...]
    run: Run
    live: bool
    """hls.js took it for one that grows."""
    frames: int
    audio_bytes: int
    error: str
    notes: tuple[str, ...]


def out_of_step(looks: Sequence[Look], truth: Truth) -> float:
    """Return by how many seconds the play head and the pictures' places in the file drift apart; inf for a picture that is not there."""
    places = [None if look.number is None else truth.time_of(look.number) for look in looks]
    offsets = [look.time - place for look, place in zip(looks, places, strict=True) if place is not None]
    return max(offsets) - min(offsets) if looks and len(offsets) == len(looks) else float("inf")
