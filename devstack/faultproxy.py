"""Owns an HTTP proxy on loopback that stands before a real server and misbehaves as told: busy, slow, cut off, gone.

It is a reverse proxy for requests to itself and a forward proxy for those with an absolute address. Requests go on
byte for byte, also the Host header, so that signatures stay valid; what went through is kept for the tests.
"""

from __future__ import annotations

import base64
import http.client
import ssl
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from devstack.httpserver import LoopbackServer, SilentHandler, read_body, reply

_CHUNK = 64 * 1024
_HOP = {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "transfer-encoding", "expect"}


@dataclass(frozen=True)
class Seen:
    """One request that went through or was answered here."""

    method: str
    path: str
    headers: dict[str, str] = field(hash=False)
    """Names in lower case."""


class FaultProxy(LoopbackServer):
    """Set the attributes at any time; `stop` and `start` keep the port, as a server that is killed and comes back."""

    def __init__(self, upstream: str = "", *, user: str = "", password: str = "") -> None:
        super().__init__(_Handler)
        self.upstream = upstream
        """Where requests to the proxy itself go, `scheme://host:port`."""
        self.authorization = (
            f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}" if user else ""
        )
        """What forward requests must bring; empty: nothing."""
        self.refusals: list[int] = []
        """Statuses that the next requests with a body are answered with instead."""
        self.retry_after: str | None = "0"
        """Header of a refusal; None: without."""
        self.cuts = 0
        """How many of the next requests with a body lose their connection in the middle."""
        self.bytes_per_second = 0
        """How fast bodies are taken; 0: as fast as they come."""
        self.seen: list[Seen] = []


class _Handler(SilentHandler):
    def handle_one(self) -> None:
        proxy = self.server.owner
        assert isinstance(proxy, FaultProxy)
        headers = {name.lower(): value for name, value in self.headers.items()}
        proxy.seen.append(Seen(self.command, self.path, headers))
        length = int(headers.get("content-length") or 0)
        if length and proxy.cuts:
            proxy.cuts -= 1
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self._take(length, proxy.bytes_per_second)
        if proxy.refusals and self.command in {"PUT", "POST"}:
            asked = {} if proxy.retry_after is None else {"Retry-After": proxy.retry_after}
            reply(self, proxy.refusals.pop(0), b"", asked)
            return
        if proxy.authorization and headers.get("proxy-authorization") != proxy.authorization:
            reply(self, 407, b"")
            return
        target = urlsplit(self.path if "://" in self.path else proxy.upstream + self.path)
        _forward(
            self,
            target.scheme,
            target.netloc,
            target.path + (f"?{target.query}" if target.query else ""),
            body,
        )

    def _take(self, length: int, rate: int) -> bytes:
        if not rate:
            return read_body(self)
        taken = b""
        while len(taken) < length:
            piece = self.rfile.read(min(_CHUNK, length - len(taken)))
            taken += piece
            time.sleep(len(piece) / rate)
        return taken


def _forward(handler: BaseHTTPRequestHandler, scheme: str, server: str, path: str, body: bytes) -> None:
    # The certificate is one of the tests' own; whoever is tested verifies it without this proxy.
    connection = (
        http.client.HTTPSConnection(server, timeout=30, context=ssl._create_unverified_context())  # noqa: SLF001
        if scheme == "https"
        else http.client.HTTPConnection(server, timeout=30)
    )
    try:
        connection.putrequest(handler.command, path, skip_host=True, skip_accept_encoding=True)
        for name, value in handler.headers.items():
            if name.lower() not in _HOP:
                connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        data = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP}
        reply(handler, answer.status, data, headers)
    except OSError:
        reply(handler, 502, b"")
    finally:
        connection.close()
