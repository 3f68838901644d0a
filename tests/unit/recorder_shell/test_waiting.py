"""A wait ends with its event or its time, whichever comes first."""

from __future__ import annotations

import asyncio

import pytest

from egress_recorder.waiting import happens

pytestmark = pytest.mark.unit


async def test_it_says_whether_the_event_came() -> None:
    event = asyncio.Event()
    assert not await happens(event, within=0.01)
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await happens(event, within=None)
    assert await happens(event, within=0), "what has happened needs no time"


async def test_a_cancelled_wait_is_no_answer() -> None:
    waiting = asyncio.create_task(happens(asyncio.Event(), within=None))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
