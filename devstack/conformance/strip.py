"""Owns what a report shows of one recording: small pictures, the envelope of the sound, and what was due when."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from devstack import tones
from devstack.conformance.actor import Kind
from devstack.conformance.observe import Left, Observation
from devstack.conformance.plan import Plan
from devstack.testpattern import SAMPLE_RATE, VARIANTS

THUMB_HEIGHT = 45
ENVELOPE_STEP = 0.025
"""Seconds per point of the envelope."""
PICTURE_AT = 0.5
"""Part of each second at which its picture is taken: no flash is lit there."""


@dataclass(frozen=True, slots=True)
class Thumb:
    """A picture as JPEG in base64; `at` in seconds since the beginning of the recording."""

    at: float
    width: int
    height: int
    jpeg: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a lane: from, to (seconds since the beginning), variants that are due or heard; reason for graces."""

    begin: float
    end: float
    variants: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Strip:
    """All lanes of one recording; times are seconds since its beginning."""

    length: float
    thumbs: tuple[Thumb, ...]
    due: dict[Kind, tuple[Bar, ...]]
    graces: dict[Kind, tuple[Bar, ...]]
    settling: dict[Kind, tuple[Bar, ...]]
    envelope: tuple[tuple[float, float, float], ...]
    """(time, peak left, peak right), full scale 1."""
    heard: tuple[Bar, ...]
    seen: tuple[Bar, ...]


def strip(plan: Plan, observed: Observation, files: Sequence[Left]) -> Strip:
    """Reduce plan and observation to what is drawn. Decodes the files once more for their pictures."""
    zero = observed.pieces[0].zero
    length = observed.pieces[-1].end - zero
    kinds: tuple[Kind, ...] = ("video", "audio")
    return Strip(
        length=length,
        thumbs=tuple(thumb for file in files for thumb in _thumbs(file.path, file.zero - zero)),
        due={
            kind: tuple(
                Bar(s.begin - zero, s.end - zero, tuple(sorted(voice.variant for voice in s.voices)))
                for s in plan.of(kind)
            )
            for kind in kinds
        },
        graces={
            kind: tuple(
                Bar(w.begin - zero, w.end - zero, (), w.reason) for w in plan.graces if w.kind in {None, kind}
            )
            for kind in kinds
        },
        settling={
            kind: tuple(
                Bar(w.begin - zero, w.end - zero, (), w.reason)
                for w in plan.settling
                if w.kind in {None, kind}
            )
            for kind in kinds
        },
        envelope=tuple(
            point for piece in observed.pieces for point in _envelope(piece.report.audio, piece.zero - zero)
        ),
        heard=tuple(
            bar for piece in observed.pieces for bar in _heard(piece.report.audio, piece.zero - zero)
        ),
        seen=_seen(observed, zero),
    )


def _thumbs(path: Path, offset: float) -> list[Thumb]:
    thumbs: list[Thumb] = []
    with av.open(str(path)) as container:
        if not container.streams.video:
            return []
        due = PICTURE_AT
        for frame in container.decode(video=0):
            time = float(frame.time or 0.0)
            if time >= due:
                width = max(2, round(THUMB_HEIGHT * frame.width / frame.height) & ~1)
                thumbs.append(Thumb(offset + time, width, THUMB_HEIGHT, _jpeg(frame, width)))
                due += 1.0
    return thumbs


def _jpeg(frame: av.VideoFrame, width: int) -> str:
    # Twice the size of its place: sharp on screens of high density.
    small = frame.reformat(2 * width, 2 * THUMB_HEIGHT, format="yuvj420p")
    small.pts = None
    data = io.BytesIO()
    with av.open(data, "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = small.width, small.height, "yuvj420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 6
        container.mux([*stream.encode(small), *stream.encode()])
    return base64.b64encode(data.getvalue()).decode()


def _envelope(audio: npt.NDArray[np.float32], offset: float) -> list[tuple[float, float, float]]:
    step = round(ENVELOPE_STEP * SAMPLE_RATE)
    count = audio.shape[1] // step
    peaks = (
        np.abs(audio[:2, : count * step]).reshape(2, count, step).max(axis=2) if count else np.zeros((2, 0))
    )
    return [
        (round(offset + index * ENVELOPE_STEP, 3), round(float(left), 4), round(float(right), 4))
        for index, (left, right) in enumerate(peaks.T)
    ]


def _heard(audio: npt.NDArray[np.float32], offset: float) -> list[Bar]:
    """Return when the tones of each variant are there; beeps cover them, so that gaps of 0.25 s are joined."""
    if not audio.shape[1]:
        return []
    mono = audio.mean(axis=0, dtype=np.float32)
    bars: list[Bar] = []
    onsets = sorted(at for variant in VARIANTS for at in tones.beeps(mono, variant.beep))
    for index, variant in enumerate(VARIANTS):
        level = np.maximum(abs(tones.reading(mono, variant.left)), abs(tones.reading(mono, variant.right)))
        there = (level > tones.HEARD) & tones.free_of_beeps(len(level), onsets)
        bars += [
            Bar(offset + begin * tones.HOP, offset + end * tones.HOP + tones.WINDOW, (index,))
            for begin, end in _runs(there, join=round(0.28 / tones.HOP))
        ]
    return bars


def _seen(observed: Observation, zero: float) -> tuple[Bar, ...]:
    """Return whose picture is seen when; black is not a bar."""
    bars: list[Bar] = []
    for sight in observed.sights:
        at = sight.at - zero
        if sight.variant is None:
            continue
        last = bars[-1] if bars else None
        if last is not None and last.variants == (sight.variant,) and at - last.end < 0.15:
            bars[-1] = Bar(last.begin, at, last.variants)
        else:
            bars.append(Bar(at, at, (sight.variant,)))
    return tuple(bars)


def _runs(there: npt.NDArray[np.bool_], *, join: int) -> list[tuple[int, int]]:
    """Return the runs of True as (first, after last); gaps of up to `join` are closed."""
    indexes = np.flatnonzero(there)
    if not len(indexes):
        return []
    gaps = np.flatnonzero(np.diff(indexes) > join)
    begins = np.concatenate(([indexes[0]], indexes[gaps + 1]))
    ends = np.concatenate((indexes[gaps], [indexes[-1]])) + 1
    return [(int(begin), int(end)) for begin, end in zip(begins, ends, strict=True)]
