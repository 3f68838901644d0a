"""Owns the judgement of the manifest's account of the tracks: who was recorded from when to when, where nobody was; pure.

Times are wall clock; problems count their seconds from the beginning of the recording.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from devstack.conformance.attendance import Attendance, Group
from devstack.conformance.intervals import Interval, clipped, length, subtract
from devstack.conformance.plan import Plan
from egress_recorder.contract import Manifest

HOLE = 0.5
"""Seconds without media from which on a manifest tells of them (docs/manifest.md)."""
EDGE = 0.05
"""Seconds by which two lists of one manifest may differ: media is a packet of sound or a picture."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One span of a track in the manifest."""

    group: Group
    kind: str
    begin: float
    end: float
    muted: tuple[Interval, ...]
    stalled: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """What a manifest says, on the wall clock."""

    files: tuple[Interval, ...]
    spans: tuple[Listed, ...]
    gaps: tuple[Interval, ...]
    """In which nobody published, inside of files and between them."""

    def silent(self, *, surely: bool = False) -> list[Interval]:
        """Return where in the files no track has sound; `surely`: where none could, because none was there."""
        heard = [
            left
            for span in self.spans
            if span.kind == "audio"
            for left in subtract((span.begin, span.end), () if surely else (*span.muted, *span.stalled))
        ]
        return [left for file in self.files for left in subtract(file, heard)]


def account(manifest: Manifest) -> Account:
    """Read a manifest."""
    files: list[Interval] = []
    spans: list[Listed] = []
    gaps = [(gap.started_at.timestamp(), gap.started_at.timestamp() + gap.duration) for gap in manifest.gaps]
    for media in manifest.media:
        zero = media.zero_at.timestamp()
        end = zero + media.duration if media.duration else math.inf

        def moved(start: float, until: float | None, zero: float = zero, end: float = end) -> Interval:
            return zero + start, end if until is None else zero + until

        files.append((zero, end))
        gaps += [moved(gap.start, gap.end) for gap in media.gaps]
        spans += [
            Listed(
                Group(track.identity, track.source),
                track.kind,
                *moved(track.start, track.end),
                tuple(moved(one.start, one.end) for one in track.muted),
                tuple(moved(one.start, one.end) for one in track.stalled),
            )
            for track in media.tracks
        ]
    return Account(tuple(files), tuple(spans), tuple(gaps))


def judge_gaps(plan: Plan, told: Account, *, zero: float) -> list[str]:
    """Every time in which nobody publishes is listed as a gap, and no other time is."""
    if not told.files:
        return ["the manifest does not say what its files hold"]
    problems = []
    for planned in plan.presence:
        for begin, end in clipped([(planned.begin, planned.end)], (zero, max(e for _, e in told.files))):
            where = f"{begin - zero:.1f}-{end - zero:.1f} s"
            listed = clipped(told.gaps, (begin, end))
            if planned.there and length(listed) > EDGE:
                problems.append(
                    f"{where}: the manifest lists a gap of {length(listed):.2f} s although somebody publishes"
                )
            if not planned.there and end - begin > HOLE and length(subtract((begin, end), listed)) > EDGE:
                problems.append(f"{where}: nobody publishes, and the manifest lists no gap there")
    return problems


def judge_spans(plan: Plan, told: Account, *, zero: float, stalls: bool) -> list[str]:
    """Every track is listed from when to when it was there, muted or not, and no other one. `stalls`: it may have stalled."""
    if not told.files:
        return []
    problems: list[str] = []
    end = max(e for _, e in told.files)
    for due in plan.attendance:
        for inside in clipped([(due.begin, due.end)], (zero, end)):
            problems += _compare(due, told, inside, zero=zero, stalls=stalls)
    return problems


def _compare(due: Attendance, told: Account, inside: Interval, *, zero: float, stalls: bool) -> list[str]:
    """Look at every piece of a span between two changes that the manifest lists; tell of the first wrong one per group."""
    spans = [span for span in told.spans if span.kind == due.kind]
    times = {
        at for span in spans for pair in ((span.begin, span.end), *span.muted, *span.stalled) for at in pair
    }
    marks = sorted({*inside, *(at for at in times if inside[0] < at < inside[1])})
    problems: dict[Group, str] = {}
    for begin, end in itertools.pairwise(marks):
        if end - begin <= EDGE:
            continue
        live, muted, stalled = _states(spans, (begin + end) / 2)
        for group in {*live, *muted, *stalled, *due.live, *due.muted}:
            doubtful = due.doubtful[group]
            present = live[group] + (stalled[group] if stalls else 0)
            whole = live[group] + muted[group] + stalled[group]
            wrong = (
                present < due.live[group]
                or muted[group] < due.muted[group]
                or live[group] > due.live[group] + doubtful
                or muted[group] > due.muted[group] + doubtful
                or whole > due.live[group] + due.muted[group] + due.stopped[group] + doubtful
            )
            if wrong and group not in problems:
                problems[group] = (
                    f"{begin - zero:.1f}-{end - zero:.1f} s: of {group} the manifest has"
                    f" {_words(live[group], muted[group], stalled[group])},"
                    f" planned is {_words(due.live[group], due.muted[group], 0)}"
                )
    return list(problems.values())


def _states(spans: Sequence[Listed], at: float) -> tuple[Counter[Group], Counter[Group], Counter[Group]]:
    """Count which tracks are live, muted and stalled at a time."""
    live: Counter[Group] = Counter()
    muted: Counter[Group] = Counter()
    stalled: Counter[Group] = Counter()
    for span in spans:
        if not span.begin <= at < span.end:
            continue
        if any(begin <= at < end for begin, end in span.muted):
            muted[span.group] += 1
        elif any(begin <= at < end for begin, end in span.stalled):
            stalled[span.group] += 1
        else:
            live[span.group] += 1
    return live, muted, stalled


def _words(live: int, muted: int, stalled: int) -> str:
    words = [
        f"{count} {word}" for count, word in ((live, "live"), (muted, "muted"), (stalled, "stalled")) if count
    ]
    return " and ".join(words) or "no track"
