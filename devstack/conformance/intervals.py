"""Owns spans of time as (begin, end); pure."""

from __future__ import annotations

from collections.abc import Sequence

Interval = tuple[float, float]


def subtract(span: Interval, holes: Sequence[Interval]) -> list[Interval]:
    """Return what is left of a span without the holes."""
    begin, end = span
    left: list[Interval] = []
    for hole_begin, hole_end in sorted(holes):
        if hole_end <= begin:
            continue
        if hole_begin >= end:
            break
        if hole_begin > begin:
            left.append((begin, hole_begin))
        begin = max(begin, hole_end)
    if begin < end:
        left.append((begin, end))
    return left


def length(spans: Sequence[Interval]) -> float:
    """Return the sum of their lengths."""
    return sum(end - begin for begin, end in spans)


def clipped(spans: Sequence[Interval], to: Interval) -> list[Interval]:
    """Return what of the spans lies in another one."""
    cut = [(max(begin, to[0]), min(end, to[1])) for begin, end in spans]
    return [(begin, end) for begin, end in cut if end > begin]
