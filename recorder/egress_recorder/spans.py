"""Owns the values that say what the file of one part holds: spans of tracks, gaps, the part's own account. Pure.

Standard library only, as `vocabulary.py`. Media time is seconds since the first media of the part's file; `PartMedia.
zero_at` is its UTC. Lists are bounded where they are made: the newest entries stay and what went is counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, Literal

from egress_recorder.vocabulary import WIRE, Progress

MAX_SPANS = 1000
"""Spans of tracks in one manifest, over all parts; the newest stay, what went is counted."""
MAX_GAPS = 1000
"""Gaps inside of files in one manifest."""


def _later(at: float, seconds: float) -> float:
    return round(max(0.0, at - seconds), 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From `start` to `end` seconds of media time; `end` is absent while it goes on."""

    __pydantic_config__: ClassVar = WIRE

    start: float
    end: float | None = None

    def later(self, seconds: float) -> Span | None:
        """Return it in the time of a file that begins `seconds` later; None when it is over before."""
        if self.end is not None and self.end <= seconds:
            return None
        return Span(start=_later(self.start, seconds), end=self.end and _later(self.end, seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeChange:
    """The picture is `width` x `height` pixels from `at` seconds of media time on."""

    __pydantic_config__: ClassVar = WIRE

    at: float
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackSpan:
    """One track in the file, from its first media to its end. A track that returns is a new span."""

    __pydantic_config__: ClassVar = WIRE

    number: int
    """Counts the spans of one part, from 1."""
    sid: str
    kind: Literal["audio", "video"]
    source: str = ""
    identity: str = ""
    """Of the publisher."""
    codec: str = ""
    width: int = 0
    """Of its first picture, pixels; 0 for sound."""
    height: int = 0
    start: float = 0.0
    end: float | None = None
    started_at: datetime | None = None
    """UTC of `start`."""
    ended_at: datetime | None = None
    muted: tuple[Span, ...] = ()
    stalled: tuple[Span, ...] = ()
    """Spans without media although the track was neither muted nor a shared screen."""
    sizes: tuple[SizeChange, ...] = ()
    omitted: int = 0
    """Older entries of `muted`, `stalled` and `sizes` that are not listed any more."""

    def later(self, seconds: float) -> TrackSpan | None:
        """Return it in the time of a file that begins `seconds` later; None when it is over before."""
        if not seconds:
            return self
        if self.end is not None and self.end <= seconds:
            return None
        before = [one for one in self.sizes if one.at <= seconds]
        width, height = (before[-1].width, before[-1].height) if before else (self.width, self.height)
        return replace(
            self,
            width=width,
            height=height,
            start=_later(self.start, seconds),
            end=self.end and _later(self.end, seconds),
            muted=tuple(left for one in self.muted if (left := one.later(seconds))),
            stalled=tuple(left for one in self.stalled if (left := one.later(seconds))),
            sizes=tuple(replace(one, at=_later(one.at, seconds)) for one in self.sizes if one.at > seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaGap:
    """A span of the file in which nobody published: black and silent."""

    __pydantic_config__: ClassVar = WIRE

    start: float
    end: float
    started_at: datetime | None = None
    """UTC of `start`."""
    reason: str

    def later(self, seconds: float) -> MediaGap | None:
        """Return it in the time of a file that begins `seconds` later; None when it is over before."""
        if self.end <= seconds:
            return None
        return replace(self, start=_later(self.start, seconds), end=_later(self.end, seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartMedia:
    """What the files of one part hold: one time axis, whatever the number of outputs."""

    __pydantic_config__: ClassVar = WIRE

    part: int
    zero_at: datetime
    """UTC of media time 0: when what is heard and seen there was captured, as far as the receiver can know."""
    receive_delay: float = 0.0
    """Seconds between that and the arrival, `parts[].startedAt`: what the receiver's jitter buffer measured."""
    duration: float = 0.0
    sha256: str = ""
    """Hexadecimal, of the first output's whole file; empty while it grows."""
    hashes: tuple[str, ...] = ()
    """The same per output, where the outputs have different files."""
    tracks: tuple[TrackSpan, ...] = ()
    tracks_omitted: int = 0
    gaps: tuple[MediaGap, ...] = ()
    gaps_omitted: int = 0
    progress: Progress = field(default_factory=Progress)
    """Numbers of this part."""


def bounded(parts: Iterable[PartMedia]) -> tuple[PartMedia, ...]:
    """Return the parts with at most `MAX_SPANS` spans and `MAX_GAPS` gaps in all, the newest."""
    result: list[PartMedia] = []
    spans, gaps = MAX_SPANS, MAX_GAPS
    for part in reversed(list(parts)):
        kept, kept_gaps = part.tracks[-spans:] if spans else (), part.gaps[-gaps:] if gaps else ()
        spans, gaps = spans - len(kept), gaps - len(kept_gaps)
        if len(kept) < len(part.tracks) or len(kept_gaps) < len(part.gaps):
            part = replace(  # noqa: PLW2901 - the same part, shorter
                part,
                tracks=kept,
                tracks_omitted=part.tracks_omitted + len(part.tracks) - len(kept),
                gaps=kept_gaps,
                gaps_omitted=part.gaps_omitted + len(part.gaps) - len(kept_gaps),
            )
        result.append(part)
    return tuple(reversed(result))
