"""Owns the reading of a recording's files onto one wall clock: what was seen and heard when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack import mediacheck
from devstack.mediacheck import MediaReport


@dataclass(frozen=True, slots=True)
class Left:
    """A file that a recorder left; `zero` is the UTC of its media time 0, `arrived` when its first media arrived."""

    path: Path
    part: int
    zero: float
    arrived: float


@dataclass(frozen=True, slots=True)
class Sight:
    """One decoded picture. `at` is the wall clock that the manifest gives it, `media` its time in its file."""

    at: float
    media: float
    file: int
    variant: int | None
    number: int | None
    lit: bool
    area: tuple[int, int, int, int] | None


@dataclass(frozen=True, slots=True)
class Piece:
    """One file: its media time 0 in wall clock, and what decoding it showed."""

    zero: float
    arrived: float
    """When its first media arrived, wall clock."""
    report: MediaReport

    @property
    def end(self) -> float:
        """Wall clock of its end."""
        return self.zero + self.report.duration


@dataclass(frozen=True, slots=True)
class Observation:
    """All files of one recording, in order."""

    pieces: tuple[Piece, ...]
    sights: tuple[Sight, ...]


def observe(files: Sequence[Left], sent_widths: Sequence[int] = ()) -> Observation:
    """Decode all files."""
    pieces = tuple(Piece(file.zero, file.arrived, mediacheck.check(file.path, sent_widths)) for file in files)
    sights = [
        Sight(piece.zero + time, time, index, variant, number, lit, area)
        for index, piece in enumerate(pieces)
        for time, variant, number, lit, area in zip(
            piece.report.frame_times,
            piece.report.variants,
            piece.report.counters,
            piece.report.lit,
            piece.report.areas,
            strict=True,
        )
    ]
    return Observation(pieces, tuple(sights))
