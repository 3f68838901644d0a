"""Owns the first second at the destinations: read what an earlier part left, then write, for a while if need be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from egress_recorder.contract import Manifest
from egress_recorder.errors import UnreachableError
from egress_recorder.manifest import ManifestWriter


async def probe_destinations(
    writer: ManifestWriter,
    *,
    on_earlier: Callable[[Manifest], None],
    patience: float,
    pause: float = 0.5,
) -> None:
    """Read, adopt and write the manifests. Raises RecorderError; UnreachableError only after `patience` seconds.

    A storage that is restarting must not cost a recording its beginning: media is recorded meanwhile.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            earlier = await writer.read()
            if earlier is not None:
                on_earlier(earlier)
            await writer.probe()
        except UnreachableError:
            if loop.time() + pause > deadline:
                raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 4.0)
        else:
            return
