"""Owns making clean files of what a capture process left behind or had to give up, and noting what is in them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from egress_recorder.contract import EndReason
from egress_recorder.supervisor.ledger import Ledger
from egress_recorder.supervisor.salvage import Salvaged, salvage
from egress_recorder.supervisor.scratch import ScratchWatch
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)

Files = Mapping[int, Path]
"""Files of a part by their index in `Ledger.file_types`."""
Sums = Mapping[int, tuple[float, int]]
"""Seconds and bytes of what is no single file, the segments of an HLS output, by index in the ledger's files."""


class Mender:
    """Finalises files of a part and keeps the ledger's account of them."""

    def __init__(self, ledger: Ledger, scratch: ScratchWatch, *, command: Sequence[str]) -> None:
        self._ledger = ledger
        self._command = command
        self._scratch = scratch

    async def crashed(self, number: int, paths: Files, segments: Sums) -> Files:
        """Return what was left of a crashed part's files; an empty part is dropped."""
        left = await self._finalize(number, paths, segments)
        if not left and not any(duration for duration, _ in segments.values()):
            logger.warning("a crashed part left no media", extra={"part": number})
            self._ledger.dropped(number)
            return {}
        part = self._ledger.own(number)
        if frames := max((one.frames for one in left.values()), default=0):
            self._ledger.progressed(number, replace(part.progress, frames=frames))
        kept = {file: one.path for file, one in left.items()}
        sizes = await self._sizes(kept, segments)
        duration = max(part.durations)
        self._ledger.ended(number, duration=duration, sizes=sizes, reason=EndReason.KILLED, at=None)
        return kept

    async def broken(self, number: int, paths: Files, broken: Collection[int], segments: Sums) -> Files:
        """Return a part's files, with those finalised that were given up while the others went on."""
        part = self._ledger.own(number)
        given_up = {file: paths[file] for file in broken}
        left = await self._finalize(number, given_up, segments, whole=part.duration)
        kept = {file: path for file, path in paths.items() if file not in broken}
        kept.update({file: one.path for file, one in left.items()})
        self._ledger.ended(
            number,
            duration=part.duration,
            sizes=await self._sizes(kept, segments),
            reason=EndReason(part.end_reason),
            at=part.ended_at,
        )
        return kept

    async def _finalize(
        self, number: int, paths: Files, segments: Sums, *, whole: float | None = None
    ) -> dict[int, Salvaged]:
        """Finalise files and note how long each is; return those that hold media. `whole`: seconds of the other ones."""
        part = self._ledger.own(number)
        durations = [part.progress.duration if whole is None else whole] * self._ledger.file_count
        left: dict[int, Salvaged] = {}
        without: set[int] = set()
        for file, path in paths.items():
            room = await self._scratch.room()
            found = await salvage(path, command=self._command, room=room.free)
            if found is None:
                logger.warning("a file has no media", extra={"part": number, "path": str(path)})
                without.add(file)
                durations[file] = 0.0
            else:
                left[file] = found
                durations[file] = durations[file] if found.duration is None else found.duration
        for file, (duration, _) in segments.items():
            durations[file] = duration
            if not duration:
                without.add(file)
        self._ledger.measured(number, tuple(durations), without=frozenset(without))
        return left

    async def _sizes(self, paths: Files, segments: Sums) -> tuple[int, ...]:
        """Return the bytes of each file, 0 for those that are not there."""

        def measure() -> tuple[int, ...]:
            files = range(len(self._ledger.file_types))
            whole = tuple(
                paths[file].stat().st_size if file in paths and paths[file].exists() else 0 for file in files
            )
            return (*whole, *(size for _, (_, size) in sorted(segments.items())))

        return await in_thread("stat", measure)
