"""Owns the wiring of one operator process and the order in which it starts and drains."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial

from egress_operator import events, health
from egress_operator.actions import Actions
from egress_operator.connections import Connections
from egress_operator.controller import Controller, is_settled
from egress_operator.errors import StartupError
from egress_operator.kube import Kube
from egress_operator.metrics import Metrics
from egress_operator.observe import Observer
from egress_operator.progress import Poller
from egress_operator.resync import Resync
from egress_operator.rooms import RoomWatch
from egress_operator.seen import Seen
from egress_operator.settings import Settings
from egress_operator.watch import WATCH_ENDED, Watch
from egress_operator.webhook_post import Poster
from egress_operator.webhooks import Webhooks
from egress_operator.workqueue import WorkQueue

_LOG = logging.getLogger(__name__)
_DRAIN_SECONDS = 20.0


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT. Raises StartupError and whatever ends the watches."""
    metrics, seen = Metrics(), Seen()
    queue = WorkQueue(is_urgent=seen.is_unstarted)
    async with AsyncExitStack() as stack:
        kube = await stack.enter_async_context(Kube(settings, metrics))
        connections = Connections(settings, kube)
        actions = Actions(settings, kube, seen, connections=connections, metrics=metrics)
        resync = Resync(settings, kube=kube, seen=seen, queue=queue, metrics=metrics, is_settled=is_settled)
        runner, port = await health.serve(
            kube,
            queue,
            metrics,
            bind=settings.bind,
            port=settings.port,
            api_limit=2 * settings.resync_seconds + 60,
        )
        stack.push_async_callback(runner.cleanup)
        _LOG.info("operator starts", extra={"fields": {"port": port}})
        await resync.check_definitions()
        rooms = await stack.enter_async_context(RoomWatch(queue.add, metrics))
        poller = Poller(queue.add, metrics, read_token=actions.read_control_token)
        poster = await stack.enter_async_context(Poster(settings, key_of=connections.signing_key))
        webhooks = Webhooks(poster, metrics, wake=queue.add, tell=partial(events.post, kube))
        stack.push_async_callback(webhooks.close)
        observer = Observer(
            settings, kube, seen, connections=connections, rooms=rooms, poller=poller, webhooks=webhooks
        )
        controller = Controller(
            kube=kube,
            seen=seen,
            queue=queue,
            observer=observer,
            actions=actions,
            poller=poller,
            rooms=rooms,
            webhooks=webhooks,
            metrics=metrics,
        )
        workers = [
            asyncio.create_task(controller.work(), name=f"worker-{n}") for n in range(settings.workers)
        ]
        background = [
            asyncio.create_task(poller.run(), name="poller"),
            asyncio.create_task(resync.run(), name="resync"),
        ]
        watch = Watch(settings, seen, wake=queue.add, is_settled=is_settled, kinds=resync.served)
        guard = partial(watch.guard, has_more=resync.has_more)
        await _serve(watch, guard, queue, workers=workers, background=background)


async def _serve(
    watch: Watch,
    watch_guard: Callable[[asyncio.Event], Coroutine[None, None, None]],
    queue: WorkQueue,
    *,
    workers: Sequence[asyncio.Task[None]],
    background: Sequence[asyncio.Task[None]],
) -> None:
    """Watch until told to stop; then let the workers finish what they have begun, and stop watching last."""
    ready, stop, told = asyncio.Event(), asyncio.Event(), asyncio.Event()
    watching = asyncio.create_task(watch.run(ready=ready, stop=stop), name="watch")
    ended = [asyncio.create_task(ready.wait()), watching]
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # kopf has put its own handlers there: it would cancel the watches before the workers are done.
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.create_task(told.wait())
    guard = asyncio.create_task(watch_guard(ready), name="watch-guard")
    await asyncio.wait([waiting, watching, guard, *workers, *background], return_when=asyncio.FIRST_COMPLETED)
    _LOG.info("operator drains")
    queue.close()
    await asyncio.wait(workers, timeout=_DRAIN_SECONDS)
    for task in (*workers, *background, guard, waiting, ended[0]):
        task.cancel()
    results = await asyncio.gather(*workers, *background, guard, return_exceptions=True)
    stop.set()
    with suppress(asyncio.CancelledError):
        await _ended(watching)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def _ended(watching: asyncio.Task[None]) -> None:
    """Wait for kopf's end. Raises StartupError for whatever ended it, which kopf has logged with all details."""
    try:
        await watching
    except StartupError:
        raise  # kopf also waits for our own tasks
    except Exception as error:
        raise StartupError(f"{WATCH_ENDED} ({type(error).__name__})") from error
