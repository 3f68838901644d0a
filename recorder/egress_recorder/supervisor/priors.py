"""Owns what the parts of earlier recorders mean: where their media ends, and each of them once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from egress_recorder.contract import EndReason, Part


def prior_end(parts: Iterable[Part], *, files: bool) -> tuple[datetime | None, str]:
    """Return where the earlier recorders' media ends, and why. `files`: the recording has some.

    A part that was not uploaded before its recorder was killed is lost: what it recorded is in no file. What was
    streamed, was.
    """
    end: datetime | None = None
    reason = ""
    for part in parts:
        if part.output != 0 and end is not None:
            continue
        killed = not part.ended_at or part.end_reason.startswith(EndReason.KILLED.value)
        until = part.ended_at or part.started_at
        if killed and files and not part.location:
            until = part.started_at
        elif not part.ended_at and part.started_at:
            until = part.started_at + timedelta(seconds=part.duration)
        if until is not None and (end is None or until > end):
            end, reason = until, part.end_reason or EndReason.KILLED.value
    return end, reason


def once(parts: Iterable[Part]) -> list[Part]:
    """Return one entry per part, whatever the number of outputs: the longest of its files."""
    longest: dict[int, Part] = {}
    for part in parts:
        other = longest.setdefault(part.part, part)
        if part.duration > other.duration:
            longest[part.part] = part
    return list(longest.values())


def size_of(parts: Iterable[Part]) -> int:
    """Return the bytes of all files. Outputs of one part that share a file have names of the same extension."""
    files = {(part.part, PurePosixPath(part.filename).suffix): part.size for part in parts}
    return sum(files.values())
