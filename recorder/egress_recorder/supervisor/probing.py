"""Owns the first second at the destinations: read what an earlier part left, then write, for a while if need be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from egress_recorder.contract import Manifest
from egress_recorder.errors import RecorderError, UnreachableError
from egress_recorder.manifest import ManifestPlace, ManifestWriter, try_upload
from egress_recorder.threads import in_thread


async def _nobody(_place: ManifestPlace, _fault: RecorderError) -> bool:
    return False


async def probe_destinations(
    writer: ManifestWriter,
    *,
    on_earlier: Callable[[Manifest], None],
    patience: float,
    pause: float = 0.5,
    spared: Callable[[ManifestPlace, RecorderError], Awaitable[bool]] = _nobody,
) -> frozenset[ManifestPlace]:
    """Read, adopt and write the manifests; return the places that were spared.

    A storage that is restarting must not cost a recording its beginning: media is recorded meanwhile. `spared` says of
    a place whose fault stays whether the recording can do without it: its files have a backup storage that answers.

    Raises RecorderError; UnreachableError only after `patience` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    without: set[ManifestPlace] = set()
    while True:
        try:
            earlier = await writer.read(without=without)
            if earlier is not None:
                on_earlier(earlier)
            await writer.probe(without=without)
        except RecorderError as error:
            if isinstance(error, UnreachableError) and loop.time() + pause <= deadline:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 4.0)
                continue
            for place, fault in writer.faults.items():
                if not await spared(place, fault):
                    raise fault from None
            without |= writer.faults.keys()
        else:
            return frozenset(without)


async def probe_backup(place: ManifestPlace, *, patience: float, pause: float = 0.5) -> RecorderError | None:
    """Return why a backup storage cannot be used, None when it can; nothing is left in it."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            await in_thread("probe-backup", partial(try_upload, place))
        except RecorderError as error:
            if not isinstance(error, UnreachableError) or loop.time() + pause > deadline:
                return error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 4.0)
        else:
            return None
