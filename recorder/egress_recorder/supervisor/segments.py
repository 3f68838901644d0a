"""Owns the way of one HLS output's segments into its storage: in order, again and again, and only then into the playlist.

A storage that is away delays segments and nothing else: they wait in the scratch directory, whose watch ends the part before it is
full. After `uploadTimeout` they go to the backup storage, with a playlist of its own there; what nobody takes is held as a
file is (`delivery.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from egress_recorder import fmp4, ipc
from egress_recorder.contract import RecorderConfig, Trouble
from egress_recorder.errors import MediaError, RecorderError
from egress_recorder.playlist import Entry
from egress_recorder.segmentation import EXTENSIONS, SegmentContainer, segment_key
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.outputs import Output
from egress_recorder.supervisor.playlists import Playlists, publish_or_log
from egress_recorder.supervisor.salvage import salvage
from egress_recorder.supervisor.segment_place import SegmentPlace
from egress_recorder.threads import in_thread
from egress_recorder.upload import Uploaded
from egress_recorder.waiting import happens

logger = logging.getLogger(__name__)

_PAUSE = 2.0
"""Seconds between two tries with a segment that was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    capture: int
    """The part that its capture process began with: it gives names and playlist."""
    part: int
    """The part that counts it: that of the files that grew when it was closed."""
    path: Path
    segment: ipc.SegmentClosed


class SegmentLane:
    """One HLS output from the first part to the end of this process."""

    def __init__(
        self,
        account: Account,
        config: RecorderConfig,
        *,
        index: int,
        hold_pause: float | None,
        on_change: Callable[[], None],
        on_backup: Callable[[Output], None],
    ) -> None:
        """`index` is that in `config.segments`."""
        self._account, self._config = account, config
        self._wanted = config.segments[index]
        self._index, self._output_index = index, len(config.outputs) + index
        self._hold_pause = hold_pause
        self._on_change, self._on_backup = on_change, on_backup
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._closing = asyncio.Event()
        self._released = asyncio.Event()
        self._over = False
        self._capture = self._part = 0
        self._sums: dict[int, tuple[float, int]] = {}
        self._last: dict[int, ipc.SegmentClosed] = {}
        self._crashed: set[int] = set()
        self._later: list[_Waiting] = []
        self._failures: list[RecorderError] = []

    def closed(
        self, capture: int, path: Path, segment: ipc.SegmentClosed, *, part: int | None = None
    ) -> None:
        """Take over a segment that is complete, of the capture process that began with part `capture`.

        `part`: the one that is being written now, where that is another one: files end, segments go on.
        """
        part = part or capture
        duration, size = self._sums.get(part, (0.0, 0))
        self._sums[part] = (duration + segment.duration, size + segment.size)
        self._last[capture] = segment
        self._enqueue(_Waiting(capture=capture, part=part, path=path, segment=segment))

    def _enqueue(self, waiting: _Waiting) -> None:
        if self._crashed and waiting.capture > min(self._crashed):
            self._later.append(waiting)
        else:
            self._queue.put_nowait(waiting)

    def crashed(self, capture: int) -> None:
        """The capture process that began with a part has crashed and `salvage` follows: until then later segments wait."""
        self._crashed.add(capture)

    async def salvage(
        self, capture: int, directory: Path, *, command: Sequence[str], room: int, part: int | None = None
    ) -> None:
        """Take over what a crashed capture process left in its directory: the segment that grew, as far as it goes."""
        try:
            await self._salvage(capture, directory, command=command, room=room, part=part)
        finally:
            self._crashed.discard(capture)
            later, self._later = self._later, []
            for waiting in later:
                self._enqueue(waiting)

    async def _salvage(
        self, capture: int, directory: Path, *, command: Sequence[str], room: int, part: int | None
    ) -> None:
        began = self._account.ledger.own(capture).started_at
        while True:
            last = self._last.get(capture)
            number = 0 if last is None else last.number + 1
            path = directory / f"{number:05d}{EXTENSIONS[self._wanted.container]}"
            left = await salvage(path, command=command, room=room)
            start = self.end_of(capture)
            if left is None or left.duration is None or left.duration <= start:
                return
            size = await in_thread("stat", partial(_size_of, left.path, self._wanted.container))
            segment = ipc.SegmentClosed(
                output=self._index,
                number=number,
                name=left.path.name,
                start=start,
                # The times of its packets go on from the segments before.
                duration=left.duration - start,
                started_at=began if last is None else last.started_at + timedelta(seconds=last.duration),
                size=size,
            )
            self.closed(capture, left.path, segment, part=part)

    def sum_of(self, part: int) -> tuple[float, int]:
        """Return seconds and bytes of a part's segments."""
        return self._sums.get(part, (0.0, 0))

    def end_of(self, capture: int) -> float:
        """Return the media time, seconds, up to which the segments of a capture process go."""
        last = self._last.get(capture)
        return 0.0 if last is None else last.start + last.duration

    def finish(self, *, over: bool) -> None:
        """No segment follows; `over`: no other recorder goes on with the playlist."""
        self._over = over
        self._closing.set()
        self._queue.put_nowait(None)

    def release(self) -> None:
        """The process has to go: what is not stored is tried once more and given up."""
        self._released.set()

    async def run(self, output: Output) -> list[RecorderError]:
        """Store segments until `finish`; return what could not be stored."""
        place = SegmentPlace(
            self._account, self._config, output, index=self._index, on_backup=self._on_backup
        )
        while (waiting := await self._queue.get()) is not None:
            await self._store(place, waiting)
        try:
            playlists = await place.conclude(over=self._over, released=self._released.is_set)
        except RecorderError as error:
            self._failures.append(error)
        else:
            if playlists is not None:
                self._tell(self._part, playlists)
        return self._failures

    async def _store(self, place: SegmentPlace, waiting: _Waiting) -> None:
        segment, capture = waiting.segment, waiting.capture
        key = segment_key(
            place.names(capture).prefix,
            suffix=self._wanted.suffix,
            container=self._wanted.container,
            number=segment.number,
            at=segment.started_at,
        )
        stored: tuple[Uploaded, str] | None = None
        while True:
            try:
                stored = stored or await place.store(key, waiting.path, part=capture, number=segment.number)
                playlists = await place.playlists_of(capture)
                break
            except MediaError as error:
                self._failures.append(error)
                return
            except RecorderError as error:
                if not await self._hold(waiting, error):
                    self._failures.append(error)
                    return
        self._account.clear(Trouble.FILE_HELD)
        entry = Entry(
            uri="", duration=segment.duration, at=segment.started_at, discontinuity=capture != self._capture
        )
        uploaded, init = stored
        playlists.add(uploaded.key, entry, init=init)
        self._capture, self._part = capture, waiting.part
        await in_thread("remove", lambda: _remove(waiting.path))
        await publish_or_log(playlists, self._name)
        self._tell(waiting.part, playlists)

    @property
    def _name(self) -> str:
        return self._config.name_of(self._output_index)

    async def _hold(self, waiting: _Waiting, error: RecorderError) -> bool:
        """Wait before the next try; return False when there is to be none."""
        if self._released.is_set() or (self._closing.is_set() and self._hold_pause is None):
            return False
        logger.error(
            "no storage takes a segment, it is held and tried again",
            extra={"output": self._name, "path": str(waiting.path), "error": str(error)},
        )
        self._account.report(
            Trouble.FILE_HELD,
            f"{self._name}: no storage takes its segments; the recorder keeps them in its pod and goes on trying: correct what it"
            f" says, or delete the resource to give them up: {error}",
        )
        await happens(self._released, within=self._hold_pause or _PAUSE)
        return True

    def _tell(self, part: int, playlists: Playlists) -> None:
        published = playlists.published
        ledger = self._account.ledger
        if ledger.is_own(part):
            ledger.named(part, self._output_index, filename=published.playlist, location=published.location)
        self._account.stored(self._index, published)
        self._on_change()


def _size_of(path: Path, container: SegmentContainer) -> int:
    """Return bytes of media, as the capture process tells them."""
    return path.stat().st_size - (fmp4.header_size(path) if container == "FMP4" else 0)


def _remove(segment: Path) -> None:
    for path in (segment, fmp4.header_path(segment)):
        path.unlink(missing_ok=True)
