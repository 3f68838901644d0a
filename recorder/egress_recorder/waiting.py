"""Owns waiting for an event for so long and no longer. Standard library only."""

from __future__ import annotations

import asyncio


async def happens(event: asyncio.Event, *, within: float | None) -> bool:
    """Wait for an event, at most `within` seconds (None: however long); return whether it came."""
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True
