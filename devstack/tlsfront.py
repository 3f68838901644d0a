"""Owns TLS in front of a plain server on loopback: what stands for a server whose certificate a private authority signed."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

from devstack.certificates import Certificate
from devstack.process import LOOPBACK, free_port


class TlsFront:
    """Hands on what comes to `port` to the plain port `backend`, both ways."""

    def __init__(self, certificate: Certificate, backend: int) -> None:
        self.port = free_port()
        self._backend, self._context = backend, certificate.server_context()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._listen()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listening.wait(10):
            raise TimeoutError("the TLS front does not listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(10)

    async def _listen(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, LOOPBACK, self.port, ssl=self._context)
        self._listening.set()
        await self._ending.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(LOOPBACK, self._backend)
        await asyncio.gather(
            self._copy(reader, back_writer), self._copy(back_reader, writer), return_exceptions=True
        )

    async def _copy(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            to.write(data)
            await to.drain()
        to.close()
