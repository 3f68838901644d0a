"""Owns a headless Chromium that shows one page of ours: loopback HTTP server, browser process, what the page reports.

The page gets its settings from `/settings` (never from its address: that is visible in the process list), files below
`/files/`, and reports back with `fetch("/post/NAME", {method: "POST", body})`. Nothing is fetched from elsewhere.
"""

from __future__ import annotations

import json
import queue
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from devstack.devtools import DevTools, DevToolsError
from devstack.process import LOOPBACK, ServerProcess

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
PAGES = Path(__file__).with_name("pages")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    # WebRTC leaves the loopback interface out otherwise, and our servers listen nowhere else.
    "--allow-loopback-in-peer-connection",
    # A free port of loopback; who asks finds it in the profile.
    "--remote-debugging-port=0",
)
_TYPES = {".html": "text/html", ".js": "text/javascript", ".mp4": "video/mp4", ".json": "application/json"}
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_CHUNK = 1 << 20


class BrowserError(RuntimeError):
    """No browser, or the page failed or did not answer in time."""


def find() -> str | None:
    """Return the path of an installed Chromium or Chrome, None when there is none."""
    return next((path for name in EXECUTABLES if (path := shutil.which(name))), None)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *arguments: Any) -> None:
        """A browser drops connections as it likes, above all when it ends; anything else is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*arguments)


class Page:
    """A page of `devstack/pages` in a browser of its own; use as a context manager.

    Posts are handed out by `wait`; binary ones go to `on_post` (called in the server's threads) when it is given.
    The queue of posts is unbounded: a page posts a bounded number of reports, bulk data goes to `on_post`.
    """

    def __init__(
        self,
        name: str,
        *,
        settings: Mapping[str, Any],
        files: Mapping[str, Path] | None = None,
        on_post: Callable[[str, bytes], None] | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        """`flags` are further ones of the browser."""
        self.name, self._flags = name, tuple(flags)
        self._settings = json.dumps(settings).encode()
        self._files = {"/": PAGES / name, **{f"/files/{key}": path for key, path in (files or {}).items()}}
        self._on_post = on_post
        self._posts: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Start server and browser. Raises BrowserError when no browser is installed."""
        executable = find()
        if executable is None:
            raise BrowserError(f"none of {', '.join(EXECUTABLES)} is installed: apt-get install chromium")
        self._server = _Server((LOOPBACK, 0), self._handler())
        threading.Thread(target=self._server.serve_forever, name="page server", daemon=True).start()
        self._directory = tempfile.TemporaryDirectory(prefix="devstack-browser-", ignore_cleanup_errors=True)
        self._devtools: DevTools | None = None
        directory = Path(self._directory.name)
        self._browser = ServerProcess(
            "browser",
            [
                executable,
                *_FLAGS,
                *self._flags,
                f"--user-data-dir={directory / 'profile'}",
                f"http://{LOOPBACK}:{self._server.server_port}/",
            ],
            log=directory / "browser.log",
        )
        try:
            self._browser.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End browser and server and remove the profile."""
        self.kill()
        self._server.shutdown()
        self._server.server_close()
        self._directory.cleanup()

    def kill(self) -> None:
        """Kill the browser, as the machine's end would: nobody is told."""
        self._browser.kill()
        if self._devtools is not None:
            self._devtools.close()
            self._devtools = None

    @property
    def running(self) -> bool:
        """True while the browser lives."""
        return self._browser.running

    @property
    def devtools(self) -> DevTools:
        """The page's DevTools, connected on first use. Raises BrowserError."""
        if self._devtools is None:
            try:
                self._devtools = DevTools(Path(self._directory.name) / "profile")
            except DevToolsError as error:
                raise BrowserError(f"{error}:\n{self._browser.log_tail()}") from None
        return self._devtools

    def evaluate(self, expression: str, *, timeout: float = 10.0) -> Any:
        """Return the value of a JavaScript expression (or of its promise) in the page. Raises BrowserError."""
        try:
            return self.devtools.evaluate(expression, timeout=timeout)
        except DevToolsError as error:
            raise BrowserError(f"{self.name}: {error}") from None

    def serve(self, name: str, path: Path) -> None:
        """Serve a further file as `/files/NAME`."""
        self._files[f"/files/{name}"] = path

    def wait(self, name: str, timeout: float) -> Any:
        """Return the JSON of the next post of this name; others are skipped.

        Raises BrowserError for a post named `error`, when the browser ended, or after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                posted, body = self._posts.get(timeout=0.2)
            except queue.Empty:
                if not self._browser.running:
                    raise BrowserError(f"the browser ended:\n{self._browser.log_tail()}") from None
                continue
            if posted == "error":
                raise BrowserError(f"{self.name}: {json.loads(body)}")
            if posted == name:
                return json.loads(body)
        raise BrowserError(f"{self.name} did not report {name!r} within {timeout:g} s")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Stay silent."""

            def do_GET(self) -> None:
                """Serve settings and files."""
                if self.path == "/settings":
                    self._answer(HTTPStatus.OK, page._settings, "application/json")
                    return
                path = page._files.get(self.path)
                if path is None or not path.is_file():
                    self._answer(HTTPStatus.NOT_FOUND, b"", "text/plain")
                    return
                _send_file(self, path)

            def do_POST(self) -> None:
                """Take a report."""
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                page._take(self.path.removeprefix("/post/"), body)
                self._answer(HTTPStatus.OK, b"", "text/plain")

            def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler

    def _take(self, name: str, body: bytes) -> None:
        if self._on_post is not None and name not in {"error", "report"}:
            self._on_post(name, body)
        else:
            self._posts.put((name, body))


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
