"""Owns a headless Chromium that shows one page of ours: browser process, DevTools, what the page reports.

The page gets its settings from `/settings` (never from its address: that is visible in the process list), files below
`/files/`, and reports back with `fetch("/post/NAME", {method: "POST", body})`. Nothing is fetched from elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from devstack.devtools import DevTools, DevToolsError
from devstack.pageserver import PageServer
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


class BrowserError(RuntimeError):
    """No browser, or the page failed or did not answer in time."""


def find() -> str | None:
    """Return the path of an installed Chromium or Chrome, None when there is none."""
    return next((path for name in EXECUTABLES if (path := shutil.which(name))), None)


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
        self._settings, self._files = dict(settings), dict(files or {})
        self._on_post = on_post
        self._posts: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        """Start server and browser. Raises BrowserError when no browser is installed."""
        executable = find()
        if executable is None:
            raise BrowserError(f"none of {', '.join(EXECUTABLES)} is installed: apt-get install chromium")
        self._server = PageServer(PAGES / self.name, self._settings, self._files, self._take)
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
                f"http://{LOOPBACK}:{self._server.port}/",
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
        self._server.close()
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

    def network_process(self) -> psutil.Process:
        """Return the browser's process that owns all sockets of pages. Raises BrowserError."""
        for process in psutil.Process(self._browser.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "network.mojom.NetworkService" in " ".join(process.cmdline()):
                    return process
        raise BrowserError("the browser has no network process")

    def serve(self, name: str, path: Path) -> None:
        """Serve a further file as `/files/NAME`, or a directory."""
        self._server.serve(name, path)

    def resize(self, width: int, height: int, *, timeout: float = 5.0) -> None:
        """Give the page this size in pixels and return when it keeps it. Raises BrowserError."""
        deadline, kept = time.monotonic() + timeout, 0
        while kept < 5:
            if time.monotonic() > deadline:
                raise BrowserError(f"{self.name} did not become {width}x{height} within {timeout:g} s")
            if self.evaluate("[innerWidth, innerHeight]") == [width, height]:
                kept += 1
            else:
                # The browser's own bars come and go with an animation, at the page's expense.
                kept = 0
                try:
                    window = self.devtools.call("Browser.getWindowForTarget")["windowId"]
                    self.devtools.call("Browser.setContentsSize", windowId=window, width=width, height=height)
                except DevToolsError as error:
                    raise BrowserError(f"{self.name}: {error}") from None
            time.sleep(0.1)

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

    def _take(self, name: str, body: bytes) -> None:
        if self._on_post is not None and name not in {"error", "report"}:
            self._on_post(name, body)
        else:
            self._posts.put((name, body))
