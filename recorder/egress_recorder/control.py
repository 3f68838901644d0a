"""Owns the recorder's HTTP endpoint: health, metrics, status with long poll, desired state, acknowledgement.

Everything under `/v1` needs the control token. A request never decides anything by itself: it is handed to the
supervisor's methods, and what it did shows in the status.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from egress_recorder.contract import ContractError, DesiredState
from egress_recorder.health import Health
from egress_recorder.metrics import render
from egress_recorder.supervisor.board import StatusBoard

logger = logging.getLogger(__name__)

LONGEST_POLL = 60.0
"""Seconds that a long poll waits at most, whatever it asks for."""
_LARGEST_BODY = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlServer:
    """Answers requests; `serve` listens until its block ends."""

    board: StatusBoard
    health: Health
    control_token: Callable[[], str]
    """Asked at each request: the token's file may be renewed. "" refuses everything under /v1."""
    apply: Callable[[DesiredState], None]
    acknowledge: Callable[[], None]

    @asynccontextmanager
    async def serve(self, host: str, port: int) -> AsyncIterator[int]:
        """Listen and yield the port (0 chooses a free one). Raises OSError when the address cannot be taken."""
        runner = web.AppRunner(self.application(), access_log=None, handle_signals=False)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port, shutdown_timeout=1.0)
            await site.start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application(middlewares=[self._authorize], client_max_size=_LARGEST_BODY)
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/v1/status", self._status),
                web.put("/v1/desired-state", self._desired_state),
                web.post("/v1/ack", self._ack),
            ]
        )
        return app

    @web.middleware
    async def _authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/v1/"):
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            expected = self.control_token()
            same = hmac.compare_digest(given.strip().encode(), expected.encode())
            if scheme.lower() != "bearer" or not expected or not same:
                return web.json_response(
                    {"error": "the control token is missing or wrong"},
                    status=401,
                    headers={"WWW-Authenticate": "Bearer"},
                )
        return await handler(request)

    async def _livez(self, _: web.Request) -> web.Response:
        return _probe(self.health.why_not_alive())

    async def _readyz(self, _: web.Request) -> web.Response:
        return _probe(self.health.why_not_ready())

    async def _metrics(self, _: web.Request) -> web.Response:
        body, content_type = render(self.board.status)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _status(self, request: web.Request) -> web.Response:
        try:
            since = int(request.query.get("since", "-1"))
            timeout = float(request.query.get("timeout", "0"))
        except ValueError:
            return _bad_request("since must be an integer and timeout a number of seconds")
        if not 0 <= timeout < float("inf"):
            return _bad_request("timeout must be a number of seconds, 0 or more")
        status = await self.board.after(since, min(timeout, LONGEST_POLL))
        return web.Response(text=status.to_json(), content_type="application/json")

    async def _desired_state(self, request: web.Request) -> web.Response:
        try:
            desired = DesiredState.parse(await request.read())
        except ContractError as error:
            return _bad_request(str(error))
        self.apply(desired)
        return web.Response(text=self.board.status.to_json(), content_type="application/json")

    async def _ack(self, _: web.Request) -> web.Response:
        if not self.board.status.phase.is_terminal:
            return web.json_response({"error": "there is no result yet to acknowledge"}, status=409)
        self.acknowledge()
        return web.Response(status=204)


def _probe(problem: str) -> web.Response:
    return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)


def _bad_request(message: str) -> web.Response:
    return web.json_response({"error": message}, status=400)
