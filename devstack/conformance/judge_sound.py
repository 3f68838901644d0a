"""Owns the judgement of the sound: who is heard when, on both channels, without holes and breaks; pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from devstack import tones
from devstack.conformance.actor import Layout
from devstack.conformance.observe import Observation, Piece
from devstack.conformance.plan import Plan, Stretch, Voice
from devstack.testpattern import SAMPLE_RATE, VARIANTS

_LEAST = 0.1
"""Seconds of sound free of beeps that a judgement of the quiet tones needs."""
PLACES: dict[Layout, tuple[tuple[int, int], ...]] = {
    "both": ((0, 0), (0, 1), (1, 0), (1, 1)),
    "left": ((0, 0), (1, 0)),
    "stereo": ((0, 0), (1, 1)),
    "either": ((0, 0), (1, 1)),
}
"""Layout → (channel, tone) where something must be heard."""
_SILENCE = 5e-4
"""Root mean square of a stretch in which nothing is to be heard; codecs leave less than 1e-4."""


@dataclass(slots=True)
class SoundFindings:
    """What was found; problems are sentences with seconds since the beginning of the recording."""

    problems: list[str] = field(default_factory=list)
    breaks: list[float] = field(default_factory=list)
    """Wall clock of jumps and interruptions of a continuous tone."""
    judged: float = 0.0
    """Seconds in which breaks of the continuous tones count: settled, free of beeps."""
    holes: list[tuple[float, float]] = field(default_factory=list)
    """(wall clock, seconds) of digital silence where somebody is to be heard."""
    beeps: dict[int, list[float]] = field(default_factory=dict)
    """Variant → wall clock of its beeps."""


def judge_sound(plan: Plan, seen: Observation, zero: float) -> SoundFindings:
    """Compare every stretch; `zero` is the wall clock that problems count from."""
    found = SoundFindings()
    for piece in seen.pieces:
        if not piece.report.audio.shape[1]:
            continue
        mono = piece.report.audio.mean(axis=0, dtype=np.float32)
        onsets = {index: tones.beeps(mono, variant.beep) for index, variant in enumerate(VARIANTS)}
        for index, times in onsets.items():
            found.beeps.setdefault(index, []).extend(piece.zero + at for at in times)
        every = sorted(at for times in onsets.values() for at in times)
        for stretch in plan.of("audio"):
            _judge_stretch(found, plan, stretch, piece, every, zero)
    found.breaks = [at for at in found.breaks if plan.is_settled(at, "audio")]
    found.holes = [hole for hole in found.holes if plan.is_settled(hole[0], "audio")]
    heard = [piece for piece in seen.pieces if piece.report.audio.shape[1]]
    for stretch in plan.of("audio"):
        if not any(piece.zero < stretch.end and piece.end > stretch.begin for piece in heard):
            found.problems.append(
                f"{stretch.begin - zero:.1f}-{stretch.end - zero:.1f} s: no sound track at all"
            )
    return found


def _judge_stretch(
    found: SoundFindings, plan: Plan, stretch: Stretch, piece: Piece, onsets: list[float], zero: float
) -> None:
    begin, end = max(stretch.begin, piece.zero), min(stretch.end, piece.end)
    first, last = (round((at - piece.zero) * SAMPLE_RATE) for at in (begin, end))
    sound = piece.report.audio[:, first:last]
    if sound.shape[1] < _LEAST * SAMPLE_RATE:
        return
    where = f"{begin - zero:.1f}-{end - zero:.1f} s"
    if not stretch.voices:
        level = float(np.sqrt(np.mean(sound**2)))
        if level > _SILENCE:
            found.problems.append(f"{where}: sound (level {level:.4f}) where silence is due")
        return
    inside = [at - (begin - piece.zero) for at in onsets if begin - 1 < at + piece.zero < end + 1]
    _who(found, stretch, sound, inside, where)
    mono = sound.mean(axis=0, dtype=np.float32)
    readings = len(tones.reading(mono, VARIANTS[0].left))
    free = tones.free_of_beeps(readings, inside)
    found.judged += tones.HOP * sum(
        plan.is_settled(begin + index * tones.HOP, "audio") for index in np.flatnonzero(free)
    )
    for voice in stretch.voices:
        found.breaks += [begin + at for at in tones.breaks(mono, VARIANTS[voice.variant], free)]
    found.holes += [(begin + at, seconds) for at, seconds in tones.holes(mono)]


def _who(
    found: SoundFindings,
    stretch: Stretch,
    sound: npt.NDArray[np.float32],
    onsets: list[float],
    where: str,
) -> None:
    wanted = {voice.variant: voice for voice in stretch.voices}
    for index, variant in enumerate(VARIANTS):
        # By channel: the levels of the variant's left and right tone.
        levels = np.asarray(
            [
                [abs(tones.reading(channel, tone)) for tone in (variant.left, variant.right)]
                for channel in sound
            ]
        )
        free = levels[:, :, tones.free_of_beeps(levels.shape[2], onsets)]
        if free.shape[2] * tones.HOP < _LEAST:
            continue
        if index in wanted:
            voice = wanted[index]
            # One reading in a hundred may be an interruption, which is counted as such; a missing second is more.
            quiet = float(
                np.mean(np.any([free[place] < tones.HEARD for place in PLACES[voice.layout]], axis=0))
            )
            if quiet > 0.01:
                _missing(found, voice, quiet, where)
            middle = np.median(free, axis=2)
            if voice.layout == "stereo" or (voice.layout == "either" and not _is_mixed(middle)):
                _apart(found, voice, middle, where)
        elif float(np.percentile(free.max(axis=(0, 1)), 90)) > tones.NOT_HEARD:
            found.problems.append(f"{where}: the tone of variant {index} is heard although it must not be")


def _is_mixed(levels: npt.NDArray[np.float64]) -> bool:
    """Whether each tone is as loud on the other channel as on its own, within 20 %."""
    own, other = levels.diagonal(), levels[::-1].diagonal()
    return bool(np.all(np.abs(other - own) <= 0.2 * own))


def _apart(found: SoundFindings, voice: Voice, levels: npt.NDArray[np.float64], where: str) -> None:
    """Of stereo each tone is on its own channel only: neither swapped nor mixed."""
    for tone, word in enumerate(("left", "right")):
        own, other = levels[tone, tone], levels[1 - tone, tone]
        if other > max(own / 2, tones.NOT_HEARD):
            found.problems.append(
                f"{where}: the {word} tone of {voice.key} ({voice.label}) is on the other channel"
                f" (level {other:.4f}, on its own {own:.4f})"
            )


def _missing(found: SoundFindings, voice: Voice, part: float, where: str) -> None:
    found.problems.append(
        f"{where}: the tone of {voice.key} ({voice.label}) is missing for {part:.0%} of the time on a channel"
    )


def beeps(found: SoundFindings, plan: Plan, voice: Voice) -> list[float]:
    """Return when beeps of a voice begin, wall clock, while it is heard and settled."""
    spans = [s for s in plan.of("audio") if voice in s.voices]
    return [
        at
        for at in found.beeps.get(voice.variant, [])
        if any(s.begin <= at < s.end for s in spans) and plan.is_settled(at, "audio")
    ]
