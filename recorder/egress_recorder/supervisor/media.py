"""Owns what is known of the files' content: spans, gaps and hash per part, over this pod and the earlier ones. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from egress_recorder.contract import Progress
from egress_recorder.spans import MAX_GAPS, MAX_SPANS, MediaGap, PartMedia, Span, TrackSpan, bounded


@dataclass(slots=True)
class _Content:
    spans: dict[int, TrackSpan] = field(default_factory=dict)
    spans_omitted: int = 0
    gaps: list[MediaGap] = field(default_factory=list)
    gaps_omitted: int = 0
    hashes: dict[int, str] = field(default_factory=dict)
    """SHA-256 by output."""


class MediaLedger:
    """Collects what capture processes and earlier manifests say; `entries` bounds it."""

    def __init__(self) -> None:
        self._prior: dict[int, PartMedia] = {}
        self._own: dict[int, _Content] = {}

    def adopt(self, media: Iterable[PartMedia]) -> None:
        """Take over what an earlier part's manifest knows."""
        self._prior = {one.part: one for one in media}

    def holds(self, number: int, spans: Iterable[TrackSpan], gaps: Iterable[MediaGap]) -> None:
        """Note spans (each replaces the former one of its number) and new gaps of one of our parts."""
        content = self._own.setdefault(number, _Content())
        for span in spans:
            content.spans[span.number] = span
        content.gaps += gaps
        while len(content.spans) > MAX_SPANS:
            del content.spans[min(content.spans)]
            content.spans_omitted += 1
        if (surplus := len(content.gaps) - MAX_GAPS) > 0:
            del content.gaps[:surplus]
            content.gaps_omitted += surplus

    def hashed(self, number: int, sha256: str, outputs: Iterable[int] = (0,)) -> None:
        """Note the SHA-256 of a part's closed file, which these outputs get."""
        self._own.setdefault(number, _Content()).hashes.update(dict.fromkeys(outputs, sha256))

    def entry(
        self,
        number: int,
        *,
        started_at: datetime,
        duration: float,
        over: bool,
        progress: Progress,
        several: bool = False,
        capture: int = 0,
        since: float = 0.0,
    ) -> PartMedia:
        """Return the account of one of our parts. `over`: its files are closed, nothing in them goes on.

        `several`: its outputs have different files. `capture`: the part under which its content was noted, where that is
        another one, which began `since` seconds before.
        """
        hashes = self._own.get(number, _Content()).hashes
        content = self._own.get(capture or number, _Content())
        spans = [one for span in content.spans.values() if (one := span.later(since)) is not None]
        gaps = [left for gap in content.gaps if (left := gap.later(since)) is not None]
        delay = progress.corrections.receive_delay
        zero_at = started_at + timedelta(seconds=progress.corrections.axis_moved - delay)
        end = duration if over else None
        return PartMedia(
            part=number,
            zero_at=zero_at,
            receive_delay=delay,
            duration=duration,
            sha256=hashes.get(0, ""),
            hashes=_listed(hashes) if several else (),
            tracks=tuple(
                _dated(span, zero_at, end)
                for span in sorted(spans, key=lambda span: span.number)
                if end is None or span.start < end
            ),
            tracks_omitted=content.spans_omitted,
            gaps=tuple(
                replace(
                    gap, end=gap.end if end is None else min(gap.end, end), started_at=_at(zero_at, gap.start)
                )
                for gap in gaps
                if end is None or gap.start < end
            ),
            gaps_omitted=content.gaps_omitted,
            progress=progress,
        )

    def entries(self, own: Sequence[PartMedia]) -> tuple[PartMedia, ...]:
        """Return the accounts of all parts, in order; of too many spans and gaps the oldest are left out."""
        parts = {**self._prior, **{one.part: one for one in own}}
        return bounded(parts[number] for number in sorted(parts))


def _listed(hashes: Mapping[int, str]) -> tuple[str, ...]:
    """Return the hashes by output, "" where one is not known yet."""
    return tuple(hashes.get(output, "") for output in range(max(hashes, default=-1) + 1))


def _dated(span: TrackSpan, zero_at: datetime, file_end: float | None) -> TrackSpan:
    """Return the span with its UTC times, cut at the end of the file."""
    end = span.end
    if file_end is not None:
        end = file_end if end is None else min(end, file_end)
    return replace(
        span,
        end=end,
        started_at=_at(zero_at, span.start),
        ended_at=None if end is None else _at(zero_at, end),
        muted=_cut(span.muted, end),
        stalled=_cut(span.stalled, end),
    )


def _cut(spans: tuple[Span, ...], end: float | None) -> tuple[Span, ...]:
    if end is None:
        return spans
    return tuple(
        Span(start=one.start, end=end if one.end is None else min(one.end, end))
        for one in spans
        if one.start < end
    )


def _at(zero_at: datetime, seconds: float) -> datetime:
    return zero_at + timedelta(seconds=seconds)
