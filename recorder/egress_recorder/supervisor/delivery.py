"""Owns how a part's files get away: uploaded while they grow, finalised if need be, uploaded to the end, removed.

A part has one file per type; the outputs of one type get the same file. Each part has its own task, so that the next part records while the last one uploads. Nothing is uploaded before
the destinations have been probed. A file that could not be uploaded everywhere stays in the scratch directory. One that
no storage has taken is the last copy: where the directory goes with the process (`hold`), the process stays and goes on
trying, until somebody releases it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from egress_recorder.contract import EndReason, Trouble
from egress_recorder.errors import MediaError, RecorderError
from egress_recorder.ipc import Ended, FilesClosed, SegmentClosed
from egress_recorder.segmentation import directory_name
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.copies import upload_everywhere
from egress_recorder.supervisor.growth import Growth
from egress_recorder.supervisor.mending import Files, Mender
from egress_recorder.supervisor.outputs import Output
from egress_recorder.supervisor.scratch import ScratchWatch
from egress_recorder.supervisor.segments import SegmentLane
from egress_recorder.threads import in_thread
from egress_recorder.upload import Uploaded
from egress_recorder.waiting import happens

logger = logging.getLogger(__name__)

PartFile = tuple[int, int]
"""Number of a part, index of its file in `Ledger.file_types`."""


class Delivery:
    """Delivers parts; `finished` returns the failures of all of them."""

    def __init__(
        self,
        account: Account,
        *,
        finalize_command: Sequence[str],
        hold_pause: float | None,
        on_change: Callable[[], None],
        on_backup: Callable[[Output], None],
        scratch: ScratchWatch,
        lanes: Sequence[SegmentLane] = (),
    ) -> None:
        """`hold_pause`: seconds between two tries with a last copy; None: it stays where it is, nobody waits."""
        self._account = account
        self._ledger = account.ledger
        self._command, self._scratch = finalize_command, scratch
        self._mender = Mender(account.ledger, scratch, command=finalize_command)
        self._growth = Growth(account, on_sent=self._sent)
        self._on_change = on_change
        self._on_backup = on_backup
        self._hold_pause = hold_pause
        self._held: set[PartFile] = set()
        self._released = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._lanes = lanes
        self._storing: list[asyncio.Task[list[RecorderError]]] = []
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
        self._growth.allow(outputs)
        self._probed.set()
        assert self._group is not None
        of_segments = outputs[len(outputs) - len(self._lanes) :]
        for lane, output in zip(self._lanes, of_segments, strict=True):
            self._storing.append(self._group.create_task(lane.run(output), name=f"segments-{output.index}"))

    def give_up(self) -> None:
        """A destination cannot be written: nothing will be uploaded."""
        self._probed.set()

    def release(self) -> None:
        """The process has to go: a last copy is tried once more and given up."""
        self._released.set()
        for lane in self._lanes:
            lane.release()

    def segment_closed(self, number: int, directory: Path, segment: SegmentClosed, *, capture: int) -> None:
        """Deliver a segment of a growing part, whose capture process began with part `capture`."""
        if not 0 <= segment.output < len(self._lanes):
            logger.warning("a segment of an unknown output is left out", extra={"output": segment.output})
            return
        path = directory / directory_name(segment.output) / Path(segment.name).name
        self._lanes[segment.output].closed(capture, path, segment, part=number)

    def began(self, number: int, paths: Sequence[Path]) -> None:
        """A part's files grow: they are uploaded meanwhile, where the storage can."""
        self._growth.began(number, paths[: len(self._ledger.file_types)])

    def dropped(self, number: int) -> None:
        """A part that began has no file."""
        self._begin(number, self._nothing_left(number))

    def complete_part(self, number: int, paths: Sequence[Path], ended: Ended | FilesClosed) -> None:
        """Deliver the files that the capture process has closed; one that it could not write on is finalised."""
        at, reason = (
            (ended.at, EndReason.MAX_FILE_DURATION)
            if isinstance(ended, FilesClosed)
            else (ended.ended_at, ended.reason)
        )
        self._ledger.progressed(number, ended.progress)
        paths, segments = self._split(number, paths)
        whole = (path.stat().st_size if path.exists() else 0 for path in paths)
        sizes = (*whole, *(size for _, size in segments.values()))
        self._ledger.ended(number, duration=ended.progress.duration, sizes=sizes, reason=reason, at=at)
        if isinstance(ended, FilesClosed):
            # Of a file that was shorter than a segment the next part has the segment.
            empty = frozenset(file for file, (_, size) in segments.items() if not size)
            self._ledger.measured(number, (), without=empty)
        files = dict(enumerate(paths))
        broken = {file for file, path in files.items() if path.name in ended.problems}
        self.cut += ended.problems.values()
        if not ended.problems:
            self._begin(number, self._deliver(number, files))
            return
        self._begin(number, self._mended(number, self._mender.broken(number, files, broken, segments)))

    def crashed_part(self, number: int, paths: Sequence[Path], *, capture: int) -> None:
        """Finalise and deliver the files that a crashed capture process left; it began with part `capture`."""
        for lane in self._lanes:
            lane.crashed(capture)
        if not self._ledger.has_files:
            # Streams and images are where they were going: there is the time that was last told, and nothing to mend.
            told = self._ledger.own(number).progress.duration
            self._ledger.ended(number, duration=told, sizes=(), reason=EndReason.KILLED, at=None)
            return
        self._begin(number, self._mended(number, self._salvaged(number, paths, capture=capture)))

    async def _salvaged(self, number: int, paths: Sequence[Path], *, capture: int) -> Files:
        files = len(self._ledger.file_types)
        for lane, directory in zip(self._lanes, paths[files:], strict=True):
            room = await self._scratch.room()
            await lane.salvage(capture, directory, command=self._command, room=room.free, part=number)
        paths, segments = self._split(number, paths)
        if since := self._ledger.own(number).since:
            # The first segment that was closed in it began before it.
            ends = [lane.end_of(capture) for lane in self._lanes]
            segments = {
                file: (max(0.0, end - since), size)
                for (file, (_, size)), end in zip(sorted(segments.items()), ends, strict=True)
            }
        return await self._mender.crashed(number, dict(enumerate(paths)), segments)

    def _split(
        self, number: int, paths: Sequence[Path]
    ) -> tuple[Sequence[Path], dict[int, tuple[float, int]]]:
        """Return the files of a part, and what it has of segments: these are on their way already."""
        files = len(self._ledger.file_types)
        return paths[:files], {files + n: lane.sum_of(number) for n, lane in enumerate(self._lanes)}

    async def finished(self, *, over: bool) -> list[RecorderError]:
        """Wait for all deliveries; return what failed. `over`: no other recorder goes on with the recording."""
        # What a crash left of segments is on its way when its part's delivery is over.
        parts = await asyncio.gather(*self._tasks)
        for lane in self._lanes:
            lane.finish(over=over)
        stored = await asyncio.gather(*self._storing)
        await self._growth.drop()
        return [error for result in (*parts, *stored) for error in result]

    def _begin(self, number: int, work: Coroutine[Any, Any, list[RecorderError]]) -> None:
        assert self._group is not None
        self._tasks.append(self._group.create_task(work, name=f"deliver-part-{number}"))

    async def _mended(self, number: int, mending: Awaitable[Files]) -> list[RecorderError]:
        files = await mending
        self._changed()
        return await (self._deliver(number, files) if files else self._nothing_left(number))

    async def _nothing_left(self, number: int) -> list[RecorderError]:
        await self._growth.drop(number)
        return []

    async def _deliver(self, number: int, files: Files) -> list[RecorderError]:
        await self._probed.wait()
        if not self._outputs:
            return []
        names = self._account.names.final(number)
        # Those of playlists are told by who writes them.
        for output, name in enumerate(names[: len(names) - len(self._lanes)]):
            self._ledger.named(number, output, filename=name)
        self._changed()
        began = asyncio.get_running_loop().time()
        results = await asyncio.gather(
            *(self._deliver_file(number, file, path, names) for file, path in files.items())
        )
        failures = [error for result in results for error in result]
        if files and not failures:
            seconds = round(asyncio.get_running_loop().time() - began, 2)
            logger.info("part uploaded", extra={"part": number, "seconds": seconds, "files": len(files)})
        return failures

    async def _deliver_file(
        self, number: int, file: int, path: Path, names: Sequence[str]
    ) -> list[RecorderError]:
        """Upload one file to all outputs of its type."""
        if not await in_thread("stat", path.exists):
            return [MediaError(f"the file {path.name} of part {number} is missing in the scratch directory")]
        outputs = [output for output in self._outputs if self._ledger.file_of[output.index] == file]
        hashing = asyncio.create_task(
            self._hash(number, path, [output.index for output in outputs]), name=f"hash-part-{number}"
        )
        failures = await self._upload((number, file), outputs, names, path)
        await hashing
        if failures:
            logger.error(
                "a part was not uploaded everywhere, its file is kept",
                extra={"part": number, "path": str(path), "errors": [str(error) for error in failures]},
            )
            return failures
        await in_thread("remove", lambda: path.unlink(missing_ok=True))
        return []

    async def _upload(
        self, file: PartFile, outputs: Sequence[Output], names: Sequence[str], path: Path
    ) -> list[RecorderError]:
        """Upload to these outputs; where not one of them takes the file, hold it until one does or nobody may wait."""

        async def everywhere(*, patient: bool) -> list[RecorderError]:
            return await upload_everywhere(
                outputs,
                names,
                path,
                on_done=lambda output, uploaded, why: self._done(file[0], output, uploaded, why),
                on_sent=self._sent,
                begun=lambda output: self._growth.take(file[0], output, path),
                patient=patient,
            )

        failures = await everywhere(patient=True)
        while failures and self._is_last_copy(file, failures) and not self._released.is_set():
            self._hold(file, failures)
            await happens(self._released, within=self._hold_pause)
            failures = await everywhere(patient=False)
        self._held.discard(file)
        if not self._held:
            self._account.clear(Trouble.FILE_HELD)
        return failures

    def _is_last_copy(self, file: PartFile, failures: Sequence[RecorderError]) -> bool:
        lost = any(isinstance(error, MediaError) for error in failures)
        return self._hold_pause is not None and not lost and not self._ledger.is_stored(*file)

    def _hold(self, file: PartFile, failures: Sequence[RecorderError]) -> None:
        if file not in self._held:
            logger.error(
                "no storage takes a part, its file is held and tried again",
                extra={"part": file[0], "errors": [str(error) for error in failures]},
            )
        self._held.add(file)
        why = "; ".join(str(error) for error in failures)
        self._account.report(
            Trouble.FILE_HELD,
            f"no storage takes the file of part {min(self._held)[0]}; the recorder keeps it in its pod and goes on trying:"
            f" correct what it says, or delete the resource to give the file up: {why}",
        )

    async def _hash(self, number: int, path: Path, outputs: Sequence[int]) -> None:
        """Note the file's SHA-256, computed while it is uploaded."""
        try:
            sha256 = await in_thread("hash", lambda: _sha256(path))
        except OSError as error:
            logger.warning("a part has no hash", extra={"part": number, "error": error.strerror})
            return
        self._ledger.content.hashed(number, sha256, outputs)
        self._on_change()

    def _done(self, number: int, output: Output, uploaded: Uploaded, why: RecorderError | None) -> None:
        self._ledger.named(
            number,
            output.index,
            filename=uploaded.key,
            location=uploaded.location,
            presigned=uploaded.presigned,
        )
        if why is not None:
            self._account.backed_up(output.name, why)
            self._on_backup(output)
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
