"""Owns the question "does the room exist?": one ListRooms call per LiveKit server per 2 s for all that wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from livekit import api

from egress_operator.connections import Connection
from egress_operator.errors import redact
from egress_operator.metrics import Metrics
from egress_operator.model import RoomAnswer, RoomState
from egress_operator.names import Key

_LOG = logging.getLogger(__name__)
INTERVAL = 2.0
"""Seconds between two calls to one server about all that wait."""

_GATHER = 0.5
"""Seconds between any two calls: who has just come is asked for in between, together with who came at that time."""

_TIMEOUT = aiohttp.ClientTimeout(total=10)
_STALE_AFTER = 10.0


class RoomWatch:
    """Answers from memory and asks in the background; `wake` is called with each recording whose answer changed."""

    def __init__(self, wake: Callable[[Key], None], metrics: Metrics) -> None:
        self._wake = wake
        self._metrics = metrics
        self._servers: dict[Connection, _Server] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # One for all: its connections stay open between two calls, or each would cost a TLS handshake.
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._tasks is not None
        for server in self._servers.values():
            server.cancel()
        await self._tasks.__aexit__(None, None, None)
        assert self._session is not None
        await self._session.close()

    def answer(self, key: Key, connection: Connection, room_name: str) -> RoomAnswer:
        """Return what is known now; the recording is woken when more is known."""
        assert self._tasks is not None
        assert self._session is not None
        server = self._servers.get(connection)
        if server is None or server.is_finished:
            server = _Server(connection, self._session, self._wake, self._metrics)
            self._servers[connection] = server
            server.start(self._tasks)
        return server.ask(key, room_name)

    def forget(self, key: Key) -> None:
        """The recording does not wait any more."""
        for connection, server in list(self._servers.items()):
            server.forget(key)
            if server.is_finished:
                del self._servers[connection]


class _Server:
    """One LiveKit server; its task ends when nobody waits."""

    def __init__(
        self,
        connection: Connection,
        session: aiohttp.ClientSession,
        wake: Callable[[Key], None],
        metrics: Metrics,
    ) -> None:
        self._connection = connection
        self._session = session
        self._wake = wake
        self._metrics = metrics
        self._waiting: dict[Key, str] = {}
        self._answers: dict[Key, tuple[float, RoomAnswer]] = {}
        self._newcomer = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_finished(self) -> bool:
        return self._task is not None and self._task.done()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        self._task = tasks.create_task(self._run(), name="rooms")

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def ask(self, key: Key, room_name: str) -> RoomAnswer:
        if key not in self._waiting:
            self._newcomer.set()
        self._waiting[key] = room_name
        at, answer = self._answers.get(key, (float("-inf"), RoomAnswer()))
        if monotonic() - at > _STALE_AFTER:
            answer = RoomAnswer()
        return answer

    def forget(self, key: Key) -> None:
        self._waiting.pop(key, None)
        self._answers.pop(key, None)

    async def _run(self) -> None:
        everyone_at = float("-inf")
        while self._waiting:
            self._newcomer.clear()
            asked = dict(self._waiting)
            if monotonic() >= everyone_at:
                everyone_at = monotonic() + INTERVAL
            else:
                asked = {key: room for key, room in asked.items() if key not in self._answers}
            if asked:
                self._tell(asked, await self._list(sorted(set(asked.values()))))
            await asyncio.sleep(_GATHER)
            with suppress(TimeoutError):
                # Not wait_for: it loses a cancellation that comes together with the newcomer.
                async with asyncio.timeout(max(0.0, everyone_at - monotonic())):
                    await self._newcomer.wait()

    def _tell(self, asked: dict[Key, str], answers: dict[str, RoomAnswer] | RoomAnswer) -> None:
        for key, room_name in asked.items():
            if key not in self._waiting:
                continue
            answer = answers if isinstance(answers, RoomAnswer) else answers[room_name]
            _, before = self._answers.get(key, (0.0, RoomAnswer()))
            self._answers[key] = (monotonic(), answer)
            if answer != before:
                self._wake(key)

    async def _list(self, rooms: list[str]) -> dict[str, RoomAnswer] | RoomAnswer:
        connection = self._connection
        try:
            async with api.LiveKitAPI(
                connection.url, connection.api_key, connection.api_secret, session=self._session
            ) as livekit:
                reply = await livekit.room.list_rooms(api.ListRoomsRequest(names=rooms))
        except Exception as error:  # noqa: BLE001 - whatever one server answers, the others are served on
            self._metrics.room_lists.labels("error").inc()
            return self._problem(error)
        self._metrics.room_lists.labels("ok").inc()
        found = {room.name: room.sid for room in reply.rooms}
        return {
            name: RoomAnswer(RoomState.PRESENT, room_id=found[name])
            if name in found
            else RoomAnswer(RoomState.ABSENT)
            for name in rooms
        }

    def _problem(self, error: Exception) -> RoomAnswer:
        host = urlsplit(self._connection.url).netloc.rpartition("@")[2]
        status = getattr(error, "status", 0)
        _LOG.warning(
            "livekit does not answer", extra={"fields": {"host": host, "error": type(error).__name__}}
        )
        if status in {401, 403}:
            return RoomAnswer(
                RoomState.ERROR,
                reason="LiveKitUnauthorized",
                message=f"LiveKit at {host} refuses the API key ({self._connection.origin}): correct key and secret",
            )
        cause = f"HTTP {status}" if status else redact(str(error))[:200] or type(error).__name__
        return RoomAnswer(
            RoomState.ERROR,
            reason="LiveKitUnreachable",
            message=f"LiveKit at {host} does not answer ({cause}): check the URL; it is asked again every 2 s",
        )
