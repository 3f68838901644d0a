"""Owns an HTTPS server that takes PUT, GET and HEAD below /in, as a media archive would; a bearer token is asked for."""

from __future__ import annotations

import secrets
import ssl
from urllib.parse import unquote, urlsplit

from devstack.httpserver import LoopbackServer, SilentHandler, read_body, reply


class PutServer(LoopbackServer):
    """Keeps objects in memory. The attributes make it another kind of server."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(_Handler, tls=tls)
        self.authorization = f"Bearer {secrets.token_hex(16)}"
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and headers (names in lower case) of each request."""
        self.conditional = True
        """Whether it knows If-None-Match; many do not."""
        self.only_put = False
        self.redirect = (0, "")
        """Status and address that requests below /old are answered with; the path is appended."""
        self.lost_answers = 0
        """How many of the next PUTs are stored and then never answered."""


class _Handler(SilentHandler):
    def handle_one(self) -> None:
        server = self.server.owner
        assert isinstance(server, PutServer)
        body = read_body(self)
        headers = {name.lower(): value for name, value in self.headers.items()}
        server.seen.append((self.command, self.path, headers))
        path = urlsplit(self.path).path
        if path.startswith("/old/"):
            status, base = server.redirect
            reply(self, status, b"", {"Location": base + path.removeprefix("/old")})
        elif headers.get("authorization") != server.authorization:
            reply(self, 401, b"who are you")
        elif not path.startswith("/in/"):
            reply(self, 404, b"")
        elif self.command == "PUT":
            self._put(server, unquote(path), body, headers)
        elif server.only_put:
            reply(self, 405, b"")
        elif (data := server.objects.get(unquote(path))) is None:
            reply(self, 404, b"")
        else:
            reply(self, 200, data, {"Content-Length": str(len(data))})

    def _put(self, server: PutServer, path: str, body: bytes, headers: dict[str, str]) -> None:
        exists = path in server.objects
        if exists and server.conditional and headers.get("if-none-match") == "*":
            reply(self, 412, b"")
            return
        server.objects[path] = body
        server.types[path] = headers.get("content-type", "")
        if server.lost_answers:
            server.lost_answers -= 1
            self.close_connection = True
            return
        reply(self, 204 if exists else 201, b"")
