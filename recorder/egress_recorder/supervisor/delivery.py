"""Owns what happens to a part's file after its capture process is gone: finalise if need be, upload, remove.

Each part has its own task, so that the next part records while the last one uploads. Nothing is uploaded before
the destinations have been probed; a file that could not be uploaded everywhere stays in the scratch directory.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from egress_recorder.contract import EndReason
from egress_recorder.errors import MediaError, RecorderError
from egress_recorder.ipc import Ended
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.outputs import Output, upload_everywhere
from egress_recorder.supervisor.salvage import salvage
from egress_recorder.threads import in_thread
from egress_recorder.upload import Uploaded

logger = logging.getLogger(__name__)


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

    def complete_part(self, number: int, path: Path, ended: Ended) -> None:
        """Deliver a file that the capture process has closed."""
        self._ledger.progressed(number, ended.progress)
        size = path.stat().st_size if path.exists() else 0
        self._ledger.ended(
            number, duration=ended.progress.duration, size=size, reason=ended.reason, at=ended.ended_at
        )
        self._begin(number, self._deliver(number, path))

    def crashed_part(self, number: int, path: Path) -> None:
        """Finalise and deliver a file that a crashed capture process left."""
        self._begin(number, self._salvage(number, path))

    async def finished(self) -> list[RecorderError]:
        """Wait for all deliveries; return what failed."""
        return [error for result in await asyncio.gather(*self._tasks) for error in result]

    def _begin(self, number: int, work: Coroutine[Any, Any, list[RecorderError]]) -> None:
        assert self._group is not None
        self._tasks.append(self._group.create_task(work, name=f"deliver-part-{number}"))

    async def _salvage(self, number: int, path: Path) -> list[RecorderError]:
        left = await salvage(path, command=self._finalize_command)
        if left is None:
            logger.warning("a crashed part left no media", extra={"part": number})
            self._ledger.dropped(number)
            self._changed()
            return []
        reported = self._ledger.own(number).progress
        duration = reported.duration if left.duration is None else left.duration
        size = await in_thread("stat", lambda: left.path.stat().st_size)
        if left.frames:
            self._ledger.progressed(number, replace(reported, frames=left.frames))
        self._ledger.ended(number, duration=duration, size=size, reason=EndReason.KILLED, at=None)
        self._changed()
        return await self._deliver(number, left.path)

    async def _deliver(self, number: int, path: Path) -> list[RecorderError]:
        await self._probed.wait()
        if not self._outputs:
            return []
        if not await in_thread("stat", path.exists):
            return [MediaError(f"the file of part {number} is missing in the scratch directory")]
        names = self._account.names.final(number)
        for output, name in enumerate(names):
            self._ledger.named(number, output, filename=name)
        self._changed()
        began = asyncio.get_running_loop().time()
        hashing = asyncio.create_task(self._hash(number, path), name=f"hash-part-{number}")
        failures = await upload_everywhere(
            self._outputs,
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
        seconds = round(asyncio.get_running_loop().time() - began, 2)
        logger.info("part uploaded", extra={"part": number, "seconds": seconds})
        await in_thread("remove", lambda: path.unlink(missing_ok=True))
        return []

    async def _hash(self, number: int, path: Path) -> None:
        """Note the file's SHA-256, computed while it is uploaded."""
        try:
            sha256 = await in_thread("hash", lambda: _sha256(path))
        except OSError as error:
            logger.warning("a part has no hash", extra={"part": number, "error": error.strerror})
            return
        self._ledger.content.hashed(number, sha256)
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
