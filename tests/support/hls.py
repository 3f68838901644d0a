"""Owns an ended HLS playlist that lies on the disk: its runs decoded, and what a player of it has to show."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from devstack.mediacheck import MediaReport, check
from devstack.playback import Truth
from egress_recorder.playlist import entries_of


class Hls:
    """An ended HLS output on the disk. A run goes up to a discontinuity; decoded are its pieces, up to another EXT-X-MAP each.

    (A segment that a kill cut is made whole by another process, and comes with a map of its own.)
    """

    def __init__(self, playlist: Path, fetch: Callable[[str], Path]) -> None:
        """`fetch` brings a file, named relative to the folder above the playlist's, to the disk."""
        self.playlist = playlist
        self.entries = entries_of(playlist.read_text())
        self.begins = [0.0]
        """Of each run, seconds of the playlist."""
        placed: list[tuple[tuple[int, str], str]] = []
        end = 0.0
        for entry in self.entries:
            if entry.discontinuity and end:
                self.begins.append(end)
            placed.append(((len(self.begins) - 1, entry.init), entry.uri))
            end += entry.duration
        self.runs: list[list[MediaReport]] = [[] for _ in self.begins]
        folder = playlist.parent
        for (run, init), piece in groupby(placed, key=lambda one: one[0]):
            names = [*([init] if init else []), *(uri for _, uri in piece)]
            number = len(self.runs[run])
            whole = folder.with_name(f"{folder.name}-{run}-{number}{'.mp4' if init else '.ts'}")
            whole.write_bytes(b"".join(fetch(f"{folder.name}/{name}").read_bytes() for name in names))
            self.runs[run].append(check(whole))

    @property
    def errors(self) -> list[str]:
        """Of all pieces."""
        return [error for run in self.runs for report in run for error in report.errors]

    def counters(self, run: int) -> list[int | None]:
        """Of all pictures of a run."""
        return [number for report in self.runs[run] for number in report.counters]

    @property
    def truth(self) -> Truth:
        """What a player of the whole playlist has to show."""
        return Truth.of(
            *((begin, piece) for begin, run in zip(self.begins, self.runs, strict=True) for piece in run)
        )
