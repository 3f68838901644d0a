"""Owns what happens to a part's files after its capture process is gone: finalise if need be, upload, remove.

A part has one file per type; the outputs of one type get the same file. Each part has its own task, so that the next part records while the last one uploads. Nothing is uploaded before
the destinations have been probed; a file that could not be uploaded everywhere stays in the scratch directory.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from egress_recorder.contract import EndReason
from egress_recorder.errors import MediaError, RecorderError
from egress_recorder.ipc import Ended
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.outputs import Output, upload_everywhere
from egress_recorder.supervisor.salvage import Salvaged, salvage
from egress_recorder.threads import in_thread
from egress_recorder.upload import Uploaded

logger = logging.getLogger(__name__)

Files = Mapping[int, Path]
"""Files of a part by their index in `Ledger.file_types`."""


class Delivery:
    """Delivers parts; `finished` returns the failures of all of them."""

    def __init__(
        self, account: Account, *, finalize_command: Sequence[str], on_change: Callable[[], None]
    ) -> None:
        self._account = account
        self._ledger = account.ledger
        self._finalize_command = finalize_command
        self._on_change = on_change
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[list[RecorderError]]] = []
        self._outputs: Sequence[Output] = ()
        self._probed = asyncio.Event()
        self.cut: list[str] = []
        """Why files end before their recording does."""

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Let the deliveries live in this group."""
        self._group = group

    def allow(self, outputs: Sequence[Output]) -> None:
        """The destinations can be written: uploads may begin."""
        self._outputs = outputs
        self._probed.set()

    def give_up(self) -> None:
        """A destination cannot be written: nothing will be uploaded."""
        self._probed.set()

    def complete_part(self, number: int, paths: Sequence[Path], ended: Ended) -> None:
        """Deliver the files that the capture process has closed; one that it could not write on is finalised."""
        self._ledger.progressed(number, ended.progress)
        sizes = tuple(path.stat().st_size if path.exists() else 0 for path in paths)
        self._ledger.ended(
            number, duration=ended.progress.duration, sizes=sizes, reason=ended.reason, at=ended.ended_at
        )
        broken = {file for file, path in enumerate(paths) if path.name in ended.problems}
        if not broken:
            self._begin(number, self._deliver(number, dict(enumerate(paths))))
            return
        self.cut += ended.problems.values()
        self._begin(number, self._repair(number, dict(enumerate(paths)), broken))

    def crashed_part(self, number: int, paths: Sequence[Path]) -> None:
        """Finalise and deliver the files that a crashed capture process left."""
        self._begin(number, self._salvage(number, dict(enumerate(paths))))

    async def finished(self) -> list[RecorderError]:
        """Wait for all deliveries; return what failed."""
        return [error for result in await asyncio.gather(*self._tasks) for error in result]

    def _begin(self, number: int, work: Coroutine[Any, Any, list[RecorderError]]) -> None:
        assert self._group is not None
        self._tasks.append(self._group.create_task(work, name=f"deliver-part-{number}"))

    async def _salvage(self, number: int, paths: Files) -> list[RecorderError]:
        left = await self._finalize(number, paths)
        if not left:
            logger.warning("a crashed part left no media", extra={"part": number})
            self._ledger.dropped(number)
            self._changed()
            return []
        part = self._ledger.own(number)
        duration = max(part.durations)
        if frames := max(one.frames for one in left.values()):
            self._ledger.progressed(number, replace(part.progress, frames=frames))
        sizes = await self._sizes({file: one.path for file, one in left.items()})
        self._ledger.ended(number, duration=duration, sizes=sizes, reason=EndReason.KILLED, at=None)
        self._changed()
        return await self._deliver(number, {file: one.path for file, one in left.items()})

    async def _repair(self, number: int, paths: Files, broken: set[int]) -> list[RecorderError]:
        """Finalise the files that were given up while the others went on, then deliver all."""
        part = self._ledger.own(number)
        left = await self._finalize(number, {file: paths[file] for file in broken}, whole=part.duration)
        kept = {file: path for file, path in paths.items() if file not in broken}
        kept.update({file: one.path for file, one in left.items()})
        if kept:
            self._ledger.ended(
                number,
                duration=part.duration,
                sizes=await self._sizes(kept),
                reason=EndReason(part.end_reason),
                at=part.ended_at,
            )
        self._changed()
        return await self._deliver(number, kept)

    async def _finalize(
        self, number: int, paths: Files, *, whole: float | None = None
    ) -> dict[int, Salvaged]:
        """Finalise files and note how long each is; return those that hold media. `whole`: seconds of the other ones."""
        part = self._ledger.own(number)
        durations = [part.progress.duration if whole is None else whole] * len(self._ledger.file_types)
        left: dict[int, Salvaged] = {}
        without: set[int] = set()
        for file, path in paths.items():
            found = await salvage(path, command=self._finalize_command)
            if found is None:
                logger.warning("a file has no media", extra={"part": number, "path": str(path)})
                without.add(file)
                durations[file] = 0.0
            else:
                left[file] = found
                durations[file] = durations[file] if found.duration is None else found.duration
        self._ledger.measured(number, tuple(durations), without=frozenset(without))
        return left

    async def _sizes(self, paths: Files) -> tuple[int, ...]:
        """Return the bytes of each file, 0 for those that are not there."""

        def measure() -> tuple[int, ...]:
            files = range(len(self._ledger.file_types))
            return tuple(
                paths[file].stat().st_size if file in paths and paths[file].exists() else 0 for file in files
            )

        return await in_thread("stat", measure)

    async def _deliver(self, number: int, paths: Files) -> list[RecorderError]:
        await self._probed.wait()
        if not self._outputs:
            return []
        names = self._account.names.final(number)
        for output, name in enumerate(names):
            self._ledger.named(number, output, filename=name)
        self._changed()
        began = asyncio.get_running_loop().time()
        results = await asyncio.gather(
            *(self._deliver_file(number, file, path, names) for file, path in paths.items())
        )
        failures = [error for result in results for error in result]
        if not failures:
            seconds = round(asyncio.get_running_loop().time() - began, 2)
            logger.info("part uploaded", extra={"part": number, "seconds": seconds, "files": len(paths)})
        return failures

    async def _deliver_file(
        self, number: int, file: int, path: Path, names: Sequence[str]
    ) -> list[RecorderError]:
        """Upload one file to all outputs that want it."""
        outputs = [output for output in self._outputs if self._ledger.file_of[output.index] == file]
        if not await in_thread("stat", path.exists):
            return [MediaError(f"the file {path.name} of part {number} is missing in the scratch directory")]
        hashing = asyncio.create_task(
            self._hash(number, path, [output.index for output in outputs]), name=f"hash-part-{number}"
        )
        failures = await upload_everywhere(
            outputs,
            names,
            path,
            on_done=lambda output, uploaded: self._done(number, output, uploaded),
            on_sent=self._sent,
            on_fault=lambda _: None,
        )
        await hashing
        if failures:
            logger.error(
                "a part was not uploaded everywhere, its file is kept",
                extra={"part": number, "path": str(path), "errors": [str(error) for error in failures]},
            )
            return failures
        await in_thread("remove", lambda: path.unlink(missing_ok=True))
        return []

    async def _hash(self, number: int, path: Path, outputs: Sequence[int]) -> None:
        """Note the file's SHA-256, computed while it is uploaded."""
        try:
            sha256 = await in_thread("hash", lambda: _sha256(path))
        except OSError as error:
            logger.warning("a part has no hash", extra={"part": number, "error": error.strerror})
            return
        self._ledger.content.hashed(number, sha256, outputs)
        self._on_change()

    def _done(self, number: int, output: int, uploaded: Uploaded) -> None:
        self._ledger.named(number, output, filename=uploaded.key, location=uploaded.location)
        self._changed()

    def _sent(self, size: int) -> None:
        self._ledger.uploaded(size)
        self._account.publish()

    def _changed(self) -> None:
        self._account.publish()
        self._on_change()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
