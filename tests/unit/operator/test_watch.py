"""A watch that has died ends the operator: one that sees nothing must not look alive."""

from __future__ import annotations

import asyncio

import pytest

from egress_operator import names, watch
from egress_operator.errors import ApiError, StartupError
from egress_operator.kube import Resource
from egress_operator.metrics import Metrics
from egress_operator.resync import Resync
from egress_operator.seen import Seen
from egress_operator.settings import Settings
from egress_operator.workqueue import WorkQueue

pytestmark = pytest.mark.unit


async def nothing_more() -> bool:
    return False


async def more() -> bool:
    return True


@pytest.mark.parametrize(("namespaces", "count"), [((), 4), (("a", "b"), 8)])
async def test_a_dead_watch_is_noticed_and_living_ones_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, namespaces: tuple[str, ...], count: int
) -> None:
    monkeypatch.setattr(watch, "_GUARD_EVERY", 0.01)
    settings = Settings(watch_namespaces=namespaces)
    watcher = watch.Watch(settings, Seen(), wake=lambda _: None, is_settled=lambda *_: False)
    ready = asyncio.Event()
    guard = asyncio.create_task(watcher.guard(ready, has_more=nothing_more))
    tasks = [asyncio.create_task(asyncio.sleep(60), name=f"watcher for {n}") for n in range(count - 1)]
    ready.set()
    await asyncio.sleep(0.05)
    assert not guard.done()  # they are still being started
    tasks.append(asyncio.create_task(asyncio.sleep(60), name="watcher for the last"))
    await asyncio.sleep(0.05)
    assert not guard.done()
    tasks.pop().cancel()

    with pytest.raises(StartupError, match="a watch of the API server has ended"):
        await asyncio.wait_for(guard, 1)
    for task in tasks:
        task.cancel()


async def test_a_definition_that_comes_back_begins_the_operator_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_GUARD_EVERY", 0.01)
    ready = asyncio.Event()
    ready.set()
    one = watch.Watch(
        Settings(),
        Seen(),
        wake=lambda _: None,
        is_settled=lambda *_: False,
        kinds=(names.PARTICIPANT_KIND,),
    )
    with pytest.raises(StartupError, match="is there now"):
        await asyncio.wait_for(one.guard(ready, has_more=more), 1)


class Server:
    """Lists nothing, after having refused so many times; a kind that is missing is refused for ever."""

    def __init__(self, refusals: int, status: int, missing: str = "") -> None:
        self.refusals, self.status, self.missing = refusals, status, missing

    async def list(self, resource: Resource, *_: object, **__: object):  # type: ignore[no-untyped-def]  # noqa: ANN201
        if self.refusals or resource.plural == self.missing:
            self.refusals -= bool(self.refusals)
            raise ApiError(self.status, "", "forbidden")
        return
        yield


def resync_of(server: Server) -> Resync:
    return Resync(
        Settings(),
        kube=server,  # type: ignore[arg-type]
        seen=Seen(),
        queue=WorkQueue(),
        metrics=Metrics(),
        is_settled=lambda *_: False,
    )


async def test_definitions_that_come_a_moment_after_the_operator_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("egress_operator.resync._LOOK_AGAIN", 0.01)
    resync = resync_of(Server(refusals=3, status=404))
    await resync.check_definitions()

    assert resync.served == tuple(names.PLURALS)
    assert not await resync.has_more()


async def test_one_kind_is_served_while_the_other_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("egress_operator.resync._LOOK_AGAIN", 0.01)
    server = Server(refusals=0, status=404, missing=names.PLURALS[names.TRACK_COMPOSITE_KIND])
    resync = resync_of(server)
    await resync.check_definitions(partly=0.05)

    assert resync.served == (names.PARTICIPANT_KIND,)
    assert not await resync.has_more()
    server.missing = ""
    assert await resync.has_more()


@pytest.mark.parametrize(("status", "sentence"), [(404, "apply crds/"), (403, "may not list")])
async def test_definitions_that_do_not_come_end_the_operator_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, status: int, sentence: str
) -> None:
    monkeypatch.setattr("egress_operator.resync._LOOK_AGAIN", 0.01)

    with pytest.raises(StartupError, match=sentence):
        await resync_of(Server(refusals=10**6, status=status)).check_definitions(patience=0.05)
