"""Owns small HTTP(S) servers on loopback for tests: a thread each, HTTP/1.1, a port that survives stop and start."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from devstack.process import LOOPBACK, free_port


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: LoopbackServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that are killed are part of the tests."""


class LoopbackServer:
    """Serves requests with `handler`, which finds this object as `self.server.owner`."""

    def __init__(self, handler: type[SilentHandler], *, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self.port = free_port()
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"{'https' if self._tls else 'http'}://{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        """Listen; returns itself."""
        self._server = _Server((LOOPBACK, self.port), self._handler)
        self._server.owner = self
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def is_served_by(self, server: object) -> bool:
        """False for a server that was stopped: what is left of it are connections that were kept alive."""
        return server is self._server

    def stop(self) -> None:
        """Refuse connections from now on, and answer nothing on those that are open."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *details: object) -> None:
        self.stop()


class SilentHandler(BaseHTTPRequestHandler):
    """Calls `handle_one` for every method, and logs nothing."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def handle_one(self) -> None:
        """Answer the request; `reply` does it."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer."""
        if not self.server.owner.is_served_by(self.server):
            self.close_connection = True
            return
        with contextlib.suppress(OSError):
            self.handle_one()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


def read_body(handler: BaseHTTPRequestHandler) -> bytes:
    """Return the request's body."""
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def reply(
    handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    """Send an answer; one to HEAD keeps the Content-Length that it was given."""
    handler.send_response_only(status)
    names = {name.lower() for name in headers or {}}
    for name, value in (headers or {}).items():
        if name.lower() != "content-length" or handler.command == "HEAD":
            handler.send_header(name, value)
    if status != 204 and not (handler.command == "HEAD" and "content-length" in names):
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
