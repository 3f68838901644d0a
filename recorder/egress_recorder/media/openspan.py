"""Owns the note of one track that is in the file, and how it is told in media time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from egress_recorder.media.values import Kind
from egress_recorder.spans import SizeChange, Span, TrackSpan
from egress_recorder.vocabulary import Track

MAX_ENTRIES = 100
"""Of each list of one span; the newest stay."""


@dataclass(slots=True)
class OpenSpan:
    """A track from its beginning on; all times are monotonic seconds."""

    number: int
    track: str
    kind: Kind
    still: bool
    info: Track | None
    first: float | None = None
    last: float = 0.0
    end: float | None = None
    size: tuple[int, int] = (0, 0)
    muted_at: float | None = None
    starved: bool = False
    first_size: tuple[int, int] = (0, 0)
    mutes: deque[tuple[float, float | None]] = field(default_factory=deque)
    stalls: deque[tuple[float, float | None]] = field(default_factory=deque)
    sizes: deque[tuple[float, int, int]] = field(default_factory=deque)
    omitted: int = 0

    @property
    def covers(self) -> bool:
        """True while its silence or its standing picture is what was published."""
        return self.muted_at is not None or (self.still and self.first is not None)

    def note(self, entries: deque[tuple[float, float | None]], start: float, end: float) -> None:
        """Add a time to `mutes` or `stalls`."""
        entries.append((start, end))
        self._bound(entries)

    def resized(self, at: float, size: tuple[int, int]) -> None:
        """The picture has this width and height from `at` on."""
        if self.size == (0, 0):
            self.first_size = size
        else:
            self.sizes.append((at, *size))
            self._bound(self.sizes)
        self.size = size

    def _bound(self, entries: deque[tuple[float, float | None]] | deque[tuple[float, int, int]]) -> None:
        if len(entries) > MAX_ENTRIES:
            entries.popleft()
            self.omitted += 1


def media_time(at: float, origin: float) -> float:
    """Return seconds of the file that begins at `origin`."""
    return round(max(0.0, at - origin), 3)


def told(one: OpenSpan, origin: float) -> TrackSpan:
    """Return what the manifest has of a span that has media."""
    assert one.first is not None
    muted = [*one.mutes, *([(one.muted_at, None)] if one.muted_at is not None else [])]
    info = one.info or Track(sid=one.track, kind=one.kind)
    span = TrackSpan(
        number=one.number,
        sid=one.track,
        kind=one.kind,
        source=info.source,
        identity=info.identity,
        codec=info.codec,
        width=one.first_size[0],
        height=one.first_size[1],
        start=media_time(one.first, origin),
        end=None if one.end is None else media_time(one.end, origin),
        sizes=tuple(SizeChange(at=media_time(at, origin), width=w, height=h) for at, w, h in one.sizes),
        omitted=one.omitted,
    )
    return replace(span, muted=_spans(muted, origin), stalled=_spans(one.stalls, origin))


def _spans(
    entries: Sequence[tuple[float, float | None]] | deque[tuple[float, float | None]], origin: float
) -> tuple[Span, ...]:
    return tuple(
        Span(start=media_time(start, origin), end=None if end is None else media_time(end, origin))
        for start, end in entries
    )
