"""Owns how full the scratch volume is: says so at 80 %, ends the running part at 90 %, and when there is room again.

A volume that is full costs the file that grows on it, and one that is larger than its limit costs the pod (the kubelet
evicts it). So the recording pauses until what was recorded is uploaded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from egress_recorder.contract import Trouble
from egress_recorder.supervisor.account import Account
from egress_recorder.threads import in_thread
from egress_recorder.waiting import happens

logger = logging.getLogger(__name__)

REPORT = 0.8
FULL = 0.9
"""What is left is for the file's end, and for what is written until the part has ended."""
_SENTENCE = (
    "the scratch volume is 80 % full: at 90 % the file ends and the recording pauses until it is uploaded; see whether the"
    " storage takes files, or set template.scratchSize for the next part"
)


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of a scratch volume."""

    used: int
    size: int

    @property
    def fill(self) -> float:
        """How much of it is used, 0 to 1."""
        return self.used / self.size if self.size else 1.0

    @property
    def free(self) -> int:
        """Bytes that can still be written."""
        return max(0, self.size - self.used)


def measure(directory: Path, limit: int | None) -> Room:
    """Return the room of the directory's volume: its limit, or its file system's where that has less to give."""
    used = 0
    try:
        for path in directory.rglob("*"):
            with suppress(FileNotFoundError):  # uploaded and removed a moment ago
                found = path.lstat()
                used += found.st_blocks * 512 if stat.S_ISREG(found.st_mode) else 0
        system = os.statvfs(directory)
    except OSError:  # not made yet: nothing is known, so nothing is wrong
        return Room(0, limit or 1)
    there = used + system.f_bavail * system.f_frsize
    return Room(used, there if limit is None else min(limit, there))


class ScratchWatch:
    """Looks at the volume every `interval` seconds until it is cancelled; `on_full` is called at each look while it is full."""

    def __init__(
        self,
        directory: Path,
        limit: int | None,
        account: Account,
        *,
        interval: float,
        on_full: Callable[[], None],
    ) -> None:
        self._directory = directory
        self._limit = limit
        self._account = account
        self._interval = interval
        self._on_full = on_full

    async def run(self) -> None:
        """Look, report, end the part."""
        pressed = False
        while True:
            room = await self.room()
            if room.fill >= REPORT and not pressed:
                logger.warning(
                    "the scratch volume is filling up", extra={"used": room.used, "size": room.size}
                )
                self._account.report(Trouble.SCRATCH_PRESSURE, _SENTENCE)
            elif room.fill < REPORT and pressed:
                self._account.clear(Trouble.SCRATCH_PRESSURE)
            pressed = room.fill >= REPORT
            if room.fill >= FULL:
                self._on_full()
            await asyncio.sleep(self._interval)

    async def wait_for_room(self, ending: asyncio.Event) -> None:
        """Return when the volume is less than 80 % full, or when the end is asked for."""
        while not ending.is_set() and (await self.room()).fill >= REPORT:
            await happens(ending, within=self._interval)

    async def room(self) -> Room:
        """Return what there is."""
        return await in_thread("scratch", lambda: measure(self._directory, self._limit))
