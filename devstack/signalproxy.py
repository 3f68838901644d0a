"""Owns a TCP proxy before a LiveKit server's signal port, whose connections can be cut as a network would.

One proxy per client: `SignalProxy(server.port)` and its `url` instead of the server's. It runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Self

from devstack.process import LOOPBACK, free_port


class SignalProxy:
    """Forwards until it is told otherwise; `with` ends it."""

    def __init__(self, target: int) -> None:
        """`target`: the server's port on loopback."""
        self._target, self.port = target, free_port()
        self.url = f"ws://{LOOPBACK}:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = True
        self.accepted = 0
        """Connections that were let through."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="signal proxy", daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, LOOPBACK, self.port), self._loop
        )
        self._server = started.result(5)
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything."""
        self.cut(refuse=True)
        self._call(self._server.close)
        asyncio.run_coroutine_threadsafe(self._settle(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2)

    async def _settle(self) -> None:
        """Let what was cut come to its end."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=1)

    def cut(self, *, refuse: bool = False) -> None:
        """Reset all connections; `refuse`: and let no new one through until `heal`."""

        def cut() -> None:
            self._open = not refuse
            for writer in self._writers:
                writer.transport.abort()

        self._call(cut)

    def heal(self) -> None:
        """Let connections through again."""
        self._open = True

    def _call(self, action: Callable[[], None]) -> None:
        done = threading.Event()

        def run() -> None:
            action()
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        try:
            inner, outer = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        pair = {writer, outer}
        self._writers |= pair
        await asyncio.gather(_copy(reader, outer), _copy(inner, writer))
        self._writers -= pair


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.close()
