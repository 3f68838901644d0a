"""Owns the loopback HTTP server behind a page of `devstack/pages`: settings and files out, posts in."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

from devstack.process import LOOPBACK
from egress_recorder.filetypes import FILE_KINDS

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".ts": "video/mp2t",
    **{kind.extension: kind.content_type for kind in FILE_KINDS.values()},
}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_CHUNK = 1 << 20


class _Server(ThreadingHTTPServer):
    def handle_error(self, *arguments: Any) -> None:
        """A browser drops connections as it likes, above all when it ends; anything else is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*arguments)


class PageServer:
    """Serves `/` (the page), `/settings`, `/files/NAME`; hands over what is posted to `/post/NAME`.

    `on_post` is called in the server's threads.
    """

    def __init__(
        self,
        page: Path,
        settings: Mapping[str, Any],
        files: Mapping[str, Path],
        on_post: Callable[[str, bytes], None],
    ) -> None:
        self._settings = json.dumps(dict(settings)).encode()
        self._files = {"/": page}
        for name, path in files.items():
            self.serve(name, path)
        self._on_post = on_post
        self._server = _Server((LOOPBACK, 0), self._handler())
        threading.Thread(target=self._server.serve_forever, name="page server", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return self._server.server_port

    def serve(self, name: str, path: Path) -> None:
        """Serve a further file as `/files/NAME`; of a directory everything in it, also what comes later."""
        self._files[f"/files/{name}"] = path

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()

    def _find(self, address: str) -> Path | None:
        if (path := self._files.get(address)) is not None:
            return path
        asked = PurePosixPath(address)
        for parent in asked.parents:
            directory = self._files.get(str(parent))
            if directory is not None and ".." not in asked.parts:
                return directory / asked.relative_to(parent)
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Stay silent."""

            def do_GET(self) -> None:
                """Serve settings and files."""
                if self.path == "/settings":
                    self._answer(HTTPStatus.OK, server._settings, "application/json")
                    return
                path = server._find(self.path)
                if path is None or not path.is_file():
                    self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")
                    return
                _send_file(self, path)

            def do_POST(self) -> None:
                """Take a report."""
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server._on_post(self.path.removeprefix("/post/"), body)
                self._answer(HTTPStatus.OK, b"", "text/plain")

            def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


def _send_file(handler: BaseHTTPRequestHandler, path: Path) -> None:
    """Answer with a file or the asked range of it: a media element can seek only where ranges are served."""
    size = path.stat().st_size
    asked = _RANGE.fullmatch(handler.headers.get("Range", ""))
    first = int(asked.group(1)) if asked else 0
    last = min(int(asked.group(2)), size - 1) if asked and asked.group(2) else size - 1
    if first > last:
        handler.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        handler.send_header("Content-Range", f"bytes */{size}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
    handler.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
    handler.send_header("Accept-Ranges", "bytes")
    handler.send_header("Content-Length", str(last - first + 1))
    if asked:
        handler.send_header("Content-Range", f"bytes {first}-{last}/{size}")
    handler.end_headers()
    try:
        with path.open("rb") as file:
            file.seek(first)
            left = last - first + 1
            while left > 0 and (data := file.read(min(_CHUNK, left))):
                handler.wfile.write(data)
                left -= len(data)
    except ConnectionError:
        # The browser has what it wanted; it asks for another range on a new connection.
        handler.close_connection = True
