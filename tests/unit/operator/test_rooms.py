"""The question for rooms under a simulated clock: one call per 2 s for all that wait, and newcomers do not wait for it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Self

import pytest
from livekit import api

from egress_operator import rooms
from egress_operator.connections import Connection
from egress_operator.metrics import Metrics
from egress_operator.model import RoomState
from egress_operator.names import Key
from egress_operator.rooms import RoomWatch

pytestmark = [pytest.mark.unit, pytest.mark.looptime]

SERVER = Connection("ws://livekit", "key", "secret")


class Calls:
    """Stands for LiveKit's client; `made` holds time and names of each call. Rooms named `here…` exist."""

    def __init__(self) -> None:
        self.made: list[tuple[float, list[str]]] = []
        self.room = self

    def __call__(self, *_: Any, **__: Any) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def list_rooms(self, request: api.ListRoomsRequest) -> api.ListRoomsResponse:
        self.made.append((asyncio.get_running_loop().time(), list(request.names)))
        found = [name for name in request.names if name.startswith("here")]
        return api.ListRoomsResponse(rooms=[api.Room(name=name, sid="RM_1") for name in found])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls()
    monkeypatch.setattr(rooms.api, "LiveKitAPI", made)
    monkeypatch.setattr(rooms, "monotonic", lambda: asyncio.get_running_loop().time())
    return made


def key(name: str) -> Key:
    return Key("K", "ns", name)


async def test_all_that_wait_are_asked_for_in_one_call_every_two_seconds(calls: Calls) -> None:
    async with RoomWatch(lambda _: None, Metrics()) as watch:
        for name in ("a", "b", "c"):
            watch.answer(key(name), SERVER, f"room-{name}")
        await asyncio.sleep(9)

    times = [time for time, _ in calls.made]
    assert {tuple(names) for _, names in calls.made} == {("room-a", "room-b", "room-c")}
    assert [round(later - time, 1) for time, later in itertools.pairwise(times)] == [2.0] * 4


async def test_a_newcomer_is_answered_within_half_a_second(calls: Calls) -> None:
    woken: list[Key] = []
    async with RoomWatch(woken.append, Metrics()) as watch:
        watch.answer(key("a"), SERVER, "room-a")
        await asyncio.sleep(0.1)
        watch.answer(key("b"), SERVER, "here-b")
        await asyncio.sleep(0.5)
        state = watch.answer(key("b"), SERVER, "here-b").state

    assert state is RoomState.PRESENT
    assert key("b") in woken
    assert [names for _, names in calls.made] == [["room-a"], ["here-b"]]


async def test_a_stream_of_newcomers_costs_two_calls_a_second(calls: Calls) -> None:
    async with RoomWatch(lambda _: None, Metrics()) as watch:
        for number in range(100):
            watch.answer(key(f"k{number}"), SERVER, f"here-{number}")
            await asyncio.sleep(0.05)

    assert 9 <= len(calls.made) <= 12


async def test_nobody_waits_then_nobody_asks(calls: Calls) -> None:
    async with RoomWatch(lambda _: None, Metrics()) as watch:
        watch.answer(key("a"), SERVER, "room-a")
        await asyncio.sleep(0.1)
        watch.forget(key("a"))
        await asyncio.sleep(60)
        assert len(calls.made) == 1
        watch.answer(key("a"), SERVER, "here-a")
        await asyncio.sleep(0.1)

    assert len(calls.made) == 2
