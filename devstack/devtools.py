"""Owns the connection to a browser's DevTools (Chrome DevTools Protocol): evaluate, reload, network conditions.

One WebSocket to one page, served by a thread of its own; calls may come from any thread.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp

from devstack.process import LOOPBACK

_OPENING = 20.0


class DevToolsError(RuntimeError):
    """The browser refused a call, did not answer or is gone."""


class DevTools:
    """The DevTools of the first page of a browser that was started with `--remote-debugging-port=0`."""

    def __init__(self, profile: Path) -> None:
        """Connect. `profile` is the browser's data directory. Raises DevToolsError after 20 s."""
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="devtools", daemon=True)
        self._thread.start()
        try:
            self._wait(self._open(_page_address(profile)), _OPENING)
        except BaseException:
            self._end_loop()
            raise

    def call(self, method: str, *, timeout: float = 10.0, **parameters: Any) -> dict[str, Any]:
        """Return the result of a protocol method. Raises DevToolsError."""
        answer = self._wait(self._call(method, parameters), timeout, method)
        if "error" in answer:
            raise DevToolsError(f"{method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, expression: str, *, timeout: float = 10.0) -> Any:
        """Return the value of a JavaScript expression, of its promise if it is one. Raises DevToolsError."""
        result = self.call(
            "Runtime.evaluate",
            timeout=timeout,
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            # A page may share its tab only when somebody clicked.
            userGesture=True,
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise DevToolsError(details.get("exception", {}).get("description") or details["text"])
        return result["result"].get("value")

    def close(self) -> None:
        """Let go of the page."""
        closed = asyncio.run_coroutine_threadsafe(self._session.close(), self._loop)
        with contextlib.suppress(TimeoutError, concurrent.futures.CancelledError, aiohttp.ClientError):
            closed.result(2)
        self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2)

    def _wait(self, work: Any, timeout: float, what: str = "connecting to DevTools") -> Any:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except (TimeoutError, concurrent.futures.TimeoutError):
            future.cancel()
            raise DevToolsError(f"{what}: no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise DevToolsError(f"{what}: {error}") from None

    async def _open(self, address: str) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(address, max_msg_size=0)
        self._reader = asyncio.ensure_future(self._read())

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._socket.send_str(json.dumps({"id": number, "method": method, "params": parameters}))
            return await future
        finally:
            self._waiting.pop(number, None)

    async def _read(self) -> None:
        async for message in self._socket:
            answer = json.loads(message.data)
            future = self._waiting.get(answer.get("id", 0))
            if future is not None and not future.done():
                future.set_result(answer)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(DevToolsError("the browser is gone"))


def _page_address(profile: Path) -> str:
    """Return the WebSocket address of the page. Raises DevToolsError after 20 s."""
    deadline = time.monotonic() + _OPENING
    while time.monotonic() < deadline:
        try:
            # The browser writes port and path there as soon as it listens.
            port = int((profile / "DevToolsActivePort").read_text().split()[0])
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/json/list", timeout=5) as answer:
                for target in json.load(answer):
                    if target["type"] == "page" and target["url"].startswith("http"):
                        return str(target["webSocketDebuggerUrl"])
        except (OSError, ValueError, IndexError):
            pass
        time.sleep(0.05)
    raise DevToolsError(f"the browser opened no DevTools within {_OPENING:g} s")
