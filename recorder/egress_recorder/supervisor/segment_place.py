"""Owns where the segments of one HLS output go now: a storage and the playlists in it, or the backup storage after its failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from egress_recorder.contract import RecorderConfig
from egress_recorder.errors import RecorderError
from egress_recorder.segmentation import SegmentNames
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.failover import Failover
from egress_recorder.supervisor.init_sections import InitSections
from egress_recorder.supervisor.outputs import Output
from egress_recorder.supervisor.playlists import Playlists
from egress_recorder.upload import Uploaded

_PAUSE = 2.0
"""Seconds between two tries with the last playlist."""
_LAST_TRIES = 5


class SegmentPlace:
    """`upload`, then `playlists_of` to name what was uploaded; `conclude` at the end."""

    def __init__(
        self,
        account: Account,
        config: RecorderConfig,
        output: Output,
        *,
        index: int,
        on_backup: Callable[[Output], None],
    ) -> None:
        """`index` is that in `config.segments`."""
        self._account, self._config, self._output, self._index = account, config, output, index
        self._wanted = config.segments[index]
        self._on_backup = on_backup
        self._failover = Failover(account, output, what="segments", on_backup=self._moved)
        self._playlists: Playlists | None = None
        self._inits = InitSections() if self._wanted.container == "FMP4" else None
        self._part = 0

    async def store(self, key: str, path: Path, *, part: int, number: int) -> tuple[Uploaded, str]:
        """Upload a segment; return it and the key of what initialises it ("": it does so itself). Raises RecorderError."""
        prefix = self.names(part).prefix
        init = await self._initialise(path, prefix, part, number)
        target = self._failover.target
        uploaded = await self._upload(key, path)
        if self._failover.target is not target:
            # The segment went to the backup storage, where nothing initialises it yet.
            init = await self._initialise(path, prefix, part, number)
        return uploaded, init

    def names(self, part: int) -> SegmentNames:
        """Return how playlists and segments of a part are called."""
        return self._account.names.segments(self._index, part)

    async def _initialise(self, segment: Path, prefix: str, part: int, number: int) -> str:
        if self._inits is None:
            return ""

        async def upload(key: str, path: Path) -> str:
            return (await self._upload(key, path)).key

        return await self._inits.store(
            await self._inits.detach(segment),
            storage=lambda: self._failover.target,
            prefix=prefix,
            part=part,
            number=number,
            upload=upload,
        )

    async def _upload(self, key: str, path: Path) -> Uploaded:
        return await self._failover.store(
            lambda target: target.uploader.upload(key, path, on_sent=self._sent)
        )

    def _moved(self, output: Output) -> None:
        """The backup storage has playlists of its own."""
        self._playlists = None
        self._on_backup(output)

    def _sent(self, size: int) -> None:
        self._account.ledger.uploaded(size)
        self._account.publish()

    async def playlists_of(self, part: int) -> Playlists:
        """Return the playlists of a part: those of the one before, unless the name has a token that tells parts apart."""
        per_part = self._account.names.per_part(self._index)
        if self._playlists is not None and (part == self._part or not per_part):
            return self._playlists
        if self._playlists is not None:
            await self._playlists.publish(ended=True)
        names = self.names(part)
        made = Playlists(
            self._failover.target.storage,
            name=self._output.name,
            egress_id=self._config.egress_id,
            key=names.playlist,
            live=names.live,
            target=self._wanted.duration,
        )
        await made.adopt("" if per_part else self._earlier())
        self._playlists, self._part = made, part
        return made

    def _earlier(self) -> str:
        """Return the key of the playlist that a former recorder of this recording used here, "" for none."""
        if self._failover.moved:
            return ""
        parts = [part for part in self._config.prior.parts if part.output == self._output.index]
        return next((part.filename for part in reversed(parts) if part.location), "")

    async def conclude(self, *, over: bool, released: Callable[[], bool]) -> Playlists | None:
        """Write the last playlist, with its end when nobody goes on with it; return it if it was written.

        Raises RecorderError when that fails again and again, at once when the process has to go.
        """
        playlists = self._playlists
        if playlists is None or (playlists.is_stored and not over):
            return None
        for attempt in range(_LAST_TRIES):
            try:
                await playlists.publish(ended=over)
            except RecorderError:
                if attempt + 1 == _LAST_TRIES or released():
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return playlists
        return None
