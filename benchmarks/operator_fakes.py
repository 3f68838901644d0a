"""Owns what the operator's benchmark fakes of the outside: LiveKit's ListRooms and the recorders' HTTP endpoint.

Both run in one thread of their own. A room whose name begins with `absent` does not exist.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web
from livekit import api as livekit_api

from egress_recorder.contract import (
    CONTROL_PORT,
    DesiredState,
    EndReason,
    FileResult,
    Part,
    Phase,
    Progress,
    RecorderResult,
)

POD_IP = "127.78.0.1"
"""All faked pods share one address of loopback; the bearer token says which recorder is meant."""


@dataclass
class FakeLiveKit:
    """What `OperatorProcess` needs of a LiveKit server."""

    url: str
    api_key: str = "devkey"
    api_secret: str = "0123456789abcdef0123456789abcdef"


@dataclass
class Recorder:
    """One faked pod. Times are monotonic seconds, 0 while it has not come to that."""

    egress_id: str
    filename: str
    pod: str
    stopped: Callable[[Recorder], None]
    running_at: float = 0.0
    ready_at: float = 0.0
    started: datetime | None = None
    wish: DesiredState = field(default_factory=DesiredState)

    def obey(self, wish: DesiredState) -> None:
        """Take over a desired state; the first stop calls `stopped`."""
        before, self.wish = self.wish, wish
        if wish.desired_state == "Stopped" != before.desired_state:
            self.stopped(self)

    def word(self, phase: Phase) -> RecorderResult:
        """Return what the recorder says of itself."""
        seconds = time.monotonic() - self.ready_at if self.ready_at else 0.0
        part = Part(
            part=1, filename=self.filename, started_at=self.started, duration=seconds, size=int(seconds * 4e5)
        )
        done = phase.is_terminal
        ended = part.model_copy(update={"location": f"s3://bench/{self.filename}", "end_reason": "Stopped"})
        file = FileResult(filename=self.filename, location=ended.location, duration=seconds)
        return RecorderResult(
            egress_id=self.egress_id,
            phase=phase,
            room_id="RM_bench",
            in_room=bool(self.running_at),
            recording=phase is Phase.ACTIVE,
            started_at=self.started,
            desired_generation=self.wish.generation,
            progress=Progress(duration=seconds, bytes_written=int(seconds * 4e5), frames=int(seconds * 30)),
            parts=(ended if done else part,) if self.ready_at else (),
            file_results=(file,) if done else (),
            details=f"End reason: {EndReason.STOP_REQUESTED.value}" if done else "",
        )


class FakeServers:
    """The two servers on loopback. `recorders` finds a recorder by its control token."""

    def __init__(self) -> None:
        self.recorders: dict[str, Recorder] = {}
        self.livekit_port = 0
        self.webhooks = 0
        """Events that were received."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)

    def start(self) -> None:
        """Listen on loopback."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    async def _listen(self) -> None:
        livekit, recorders = web.Application(), web.Application()
        livekit.router.add_post("/twirp/livekit.RoomService/ListRooms", self._list_rooms)
        livekit.router.add_post("/webhook", self._webhook)
        recorders.router.add_get("/v1/status", self._status)
        recorders.router.add_put("/v1/desired-state", self._desired_state)
        recorders.router.add_post("/v1/ack", self._acknowledge)
        for application, host, port in ((livekit, "127.0.0.1", 0), (recorders, POD_IP, CONTROL_PORT)):
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, host, port).start()
            self.livekit_port = self.livekit_port or runner.addresses[0][1]

    async def _list_rooms(self, request: web.Request) -> web.Response:
        asked = livekit_api.ListRoomsRequest()
        asked.ParseFromString(await request.read())
        reply = livekit_api.ListRoomsResponse()
        for name in asked.names:
            if not name.startswith("absent"):
                reply.rooms.add(name=name, sid="RM_bench")
        return web.Response(body=reply.SerializeToString(), content_type="application/protobuf")

    async def _webhook(self, request: web.Request) -> web.Response:
        await request.read()
        self.webhooks += 1
        return web.Response()

    def _recorder(self, request: web.Request) -> Recorder:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.recorders:
            raise web.HTTPUnauthorized
        return self.recorders[token]

    async def _status(self, request: web.Request) -> web.Response:
        recorder = self._recorder(request)
        phase = Phase.ACTIVE if recorder.ready_at else Phase.STARTING
        return web.Response(text=recorder.word(phase).to_json(), content_type="application/json")

    async def _desired_state(self, request: web.Request) -> web.Response:
        self._recorder(request).obey(DesiredState.parse(await request.read()))
        return web.Response(text="{}")

    async def _acknowledge(self, request: web.Request) -> web.Response:
        self._recorder(request)
        return web.Response(text="{}")
