"""Owns the judgement of the picture: whose is seen when, no number missing, nothing frozen, nothing backwards; pure."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from devstack.conformance.observe import Observation, Sight
from devstack.conformance.plan import Plan, Stretch
from devstack.testpattern import COUNTER_MODULO

_BORDER = 6
"""Pixels by which a border may be off: chroma has half the resolution, and scaling blurs it."""


@dataclass(slots=True)
class PictureFindings:
    """What was found; problems are sentences with seconds since the beginning of the recording."""

    problems: list[str] = field(default_factory=list)
    missing: int = 0
    """Frame numbers that were due and are in no picture."""
    due: int = 0
    frozen_ms: float = 0.0
    """Longest time without a new number while one was due."""
    placed_ms: list[float] = field(default_factory=list)
    """Per picture its time in the file minus the time at which it was captured."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """The picture of the file."""

    width: int
    height: int
    framerate: int

    def area(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom of a picture of this size: as large as it fits, centred."""
        scale = min(self.width / width, self.height / height)
        left, top = (self.width - width * scale) / 2, (self.height - height * scale) / 2
        return round(left), round(top), round(self.width - left), round(self.height - top)


def judge_pictures(plan: Plan, seen: Observation, zero: float, canvas: Canvas) -> PictureFindings:
    """Compare every stretch; `zero` is the wall clock that problems count from."""
    found = PictureFindings()
    times = [sight.at for sight in seen.sights]
    for stretch in plan.of("video"):
        first, last = bisect.bisect_left(times, stretch.begin), bisect.bisect_left(times, stretch.end)
        sights = list(seen.sights[first:last])
        where = f"{stretch.begin - zero:.1f}-{stretch.end - zero:.1f} s"
        if not sights:
            found.problems.append(f"{where}: no picture at all")
            continue
        voice = next(iter(stretch.voices), None)
        _whose(found, sights, None if voice is None else voice.variant, where, zero)
        if voice is not None:
            cast = plan.casts[voice.key]
            # A file of fewer frames per second than the publisher's can show only a part of them.
            shown = min(1.0, canvas.framerate / cast.framerate)
            clock = (cast.start, cast.framerate, shown)
            _coverage(found, sights, stretch, where)
            for begin, end in plan.settled(stretch):
                inside = [sight for sight in sights if begin <= sight.at < end]
                _numbers(found, inside, end, clock, where)
                if (size := plan.size(voice.key, begin)) is not None:
                    _aspect(found, inside, canvas.area(*size), where)
    return found


def _whose(found: PictureFindings, sights: list[Sight], variant: int | None, where: str, zero: float) -> None:
    wrong = [sight for sight in sights if sight.variant != variant]
    if wrong:
        wanted = "black" if variant is None else f"the picture of variant {variant}"
        other = {"black" if sight.variant is None else f"variant {sight.variant}" for sight in wrong}
        found.problems.append(
            f"{where}: {len(wrong)} of {len(sights)} pictures are {' and '.join(sorted(other))} instead of {wanted},"
            f" first at {wrong[0].at - zero:.2f} s"
        )


def _numbers(
    found: PictureFindings, sights: list[Sight], until: float, clock: tuple[float, int, float], where: str
) -> None:
    start, framerate, shown = clock
    numbered = [(sight.at, sight.number) for sight in sights if sight.number is not None]
    if len(numbered) < len(sights):
        found.problems.append(f"{where}: {len(sights) - len(numbered)} pictures have no readable number")
    if not numbered:
        return
    # Only numbers between the first and the last seen are certain to belong to this stretch.
    seen = [number for _, number in numbered]
    ahead = [(after - before) % COUNTER_MODULO for before, after in itertools.pairwise(seen)]
    if backwards := sum(step > COUNTER_MODULO // 2 for step in ahead):
        found.problems.append(f"{where}: the picture goes backwards {backwards} times")
    due = int(((seen[-1] - seen[0]) % COUNTER_MODULO + 1) * shown)
    found.due += due
    found.missing += max(0, due - len(set(seen)))
    found.placed_ms += [
        (at - (start + number / framerate)) * 1000
        for at, number in numbered
        if abs(at - (start + number / framerate)) < 60
    ]
    for begin, end in _frozen(numbered, until):
        found.frozen_ms = max(found.frozen_ms, (end - begin) * 1000)


def _aspect(
    found: PictureFindings, sights: list[Sight], wanted: tuple[int, int, int, int], where: str
) -> None:
    """The picture fills the file as far as its aspect lets it."""
    wrong = [
        sight.area
        for sight in sights
        if sight.area is not None
        and any(abs(is_at - due) > _BORDER for is_at, due in zip(sight.area, wanted, strict=True))
    ]
    if wrong:
        found.problems.append(
            f"{where}: {len(wrong)} of {len(sights)} pictures lie at {wrong[0]} instead of {wanted}"
        )


def _coverage(found: PictureFindings, sights: list[Sight], stretch: Stretch, where: str) -> None:
    """Every second of the stretch has pictures with a number (LiveKit: 90 % of them; here all, each half second)."""
    halves = int(stretch.duration * 2)
    filled = {
        int((sight.at - stretch.begin) * 2)
        for sight in sights
        if sight.number is not None and sight.variant is not None
    }
    if empty := [index for index in range(halves) if index not in filled]:
        found.problems.append(
            f"{where}: {len(empty) / 2:g} s have no numbered picture, first {empty[0] / 2:g} s into it"
        )


def _frozen(numbered: list[tuple[float, int]], until: float) -> Iterator[tuple[float, float]]:
    """Yield the times in which one number stays."""
    begin, shown = numbered[0]
    for at, number in numbered[1:]:
        if number != shown:
            yield begin, at
            begin, shown = at, number
    yield begin, min(until, numbered[-1][0])


def flashes(seen: Observation, plan: Plan, key: str, variant: int) -> list[float]:
    """Return when flashes of a publisher begin, wall clock, while it is seen and settled.

    A flash whose first pictures are missing began earlier than it is seen (a browser's low layer has every second picture):
    the number of its first one that is there tells by how much. Missing numbers are judged by themselves.
    """
    framerate = plan.casts[key].framerate
    spans = [s for s in plan.of("video") if any(voice.key == key for voice in s.voices)]
    out: list[float] = []
    lit = True  # a file or picture that begins within a flash has no edge there
    for sight in seen.sights:
        mine = sight.variant == variant and sight.number is not None
        due = any(s.begin <= sight.at < s.end for s in spans) and plan.is_settled(sight.at, "video")
        if mine and sight.lit and not lit and due:
            assert sight.number is not None
            out.append(sight.at - (sight.number % framerate) / framerate)
        lit = sight.lit if mine else True
    return out
