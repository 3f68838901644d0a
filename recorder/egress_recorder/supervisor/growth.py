"""Owns which files are uploaded while they grow: one upload per part and output whose storage can replace parts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from egress_recorder.begun import BegunUpload, OnSent
from egress_recorder.filetypes import FILE_KINDS
from egress_recorder.growing import GrowingUpload
from egress_recorder.naming import tokens_of
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.outputs import Output


class Growth:
    """Begins uploads as soon as a part has begun and the destinations are known to answer."""

    def __init__(self, account: Account, *, on_sent: OnSent) -> None:
        self._account = account
        self._on_sent = on_sent
        self._outputs: Sequence[Output] = ()
        self._waiting: dict[int, Sequence[Path]] = {}
        self._uploads: dict[tuple[int, int], GrowingUpload] = {}

    def allow(self, outputs: Sequence[Output]) -> None:
        """The destinations can be written."""
        self._outputs = outputs
        for number, paths in self._waiting.items():
            self._begin(number, paths)
        self._waiting.clear()

    def began(self, number: int, paths: Sequence[Path]) -> None:
        """A part's files grow from now on."""
        if self._outputs:
            self._begin(number, paths)
        else:
            self._waiting[number] = paths

    async def take(self, number: int, output: Output, path: Path) -> BegunUpload | None:
        """Return what was begun of a file that is closed now, once; None: there is nothing to go on with."""
        self._waiting.pop(number, None)
        upload = self._uploads.pop((number, output.index), None)
        return None if upload is None else await upload.handed_over(path)

    async def drop(self, number: int | None = None) -> None:
        """Give up what was begun of a part (None: of all) and not taken."""
        wanted = [key for key in self._uploads if number in {None, key[0]}]
        await asyncio.gather(*(self._uploads.pop(key).handed_over(Path()) for key in wanted))

    def _begin(self, number: int, paths: Sequence[Path]) -> None:
        ledger = self._account.ledger
        for output in self._outputs:
            file = ledger.file_of[output.index]
            if output.uploader.grows and file < len(paths):
                self._uploads[number, output.index] = GrowingUpload(
                    output.uploader,
                    paths[file],
                    rewritten=FILE_KINDS[ledger.file_types[file]].rewritten,
                    key=lambda index=output.index: self._name(number, index),  # type: ignore[misc]
                    on_sent=self._on_sent,
                    on_begun=lambda name, index=output.index: self._named(number, index, name),  # type: ignore[misc]
                )

    def _named(self, number: int, output: int, name: str) -> None:
        """The status says the name at once: by it a next recorder finds what this one did not live to complete."""
        if self._account.ledger.is_own(number):
            self._account.ledger.named(number, output, filename=name)
            self._account.publish()

    def _name(self, number: int, output: int) -> str | None:
        name = self._account.names.of_part(number)[output]
        return None if tokens_of(name) else name
