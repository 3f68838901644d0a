"""Owns the test publisher as a child process (`PublisherProcess`); what it does in the room is `devstack.publishing`.

`python -m devstack.publisher --url … --room … --identity …` runs the participant itself, as `PublisherProcess` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from devstack import publisher_options
from devstack.conformance.actor import Stimulus


@dataclass
class PublisherProcess:
    """The publisher as a child process. `on_line` may echo its events; all are kept in `events`."""

    url: str
    api_key: str
    api_secret: str
    room: str
    identity: str
    arguments: tuple[str, ...] = ()
    on_line: Callable[[dict[str, Any]], None] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read from the arguments what will be published."""
        options = publisher_options.parse(["--room", self.room, "--identity", self.identity, *self.arguments])
        self.variant: int = options.variant
        self.framerate: int = options.framerate
        self.size: str = options.size
        self.stimuli: tuple[Stimulus, ...] = publisher_options.stimuli(options)
        self.published: frozenset[str] = publisher_options.published(options)

    def __enter__(self) -> Self:
        """Start and wait until both tracks are published and the clock of the pattern is known."""
        command = [
            sys.executable,
            "-m",
            "devstack.publisher",
            "--room",
            self.room,
            "--identity",
            self.identity,
        ]
        environment = {
            **os.environ,
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": self.api_key,
            "LIVEKIT_API_SECRET": self.api_secret,
        }
        self._process = subprocess.Popen(
            [*command, *self.arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._changed = threading.Condition()
        self._errors: list[str] = []
        threading.Thread(target=self._collect, daemon=True).start()
        threading.Thread(target=self._collect_errors, daemon=True).start()
        try:
            self.wait("started", timeout=30)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the room; kill when that takes more than 5 s."""
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            with self._changed:
                self.events.append(event)
                self._changed.notify_all()
            if self.on_line:
                self.on_line(event)
        with self._changed:
            self.events.append({"event": "gone"})
            self._changed.notify_all()

    def _collect_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors = [*self._errors[-20:], line]

    def wait(self, event: str, *, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
        """Return the first event with these fields. Raises TimeoutError, RuntimeError when the process is gone."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for item in self.events:
                    if item["event"] == event and all(item.get(k) == v for k, v in fields.items()):
                        return item
                if any(item["event"] == "gone" for item in self.events):
                    message = f"publisher ended before {event}: {''.join(self._errors)[-800:]}"
                    raise RuntimeError(message)
                if not self._changed.wait(deadline - time.monotonic()):
                    message = f"publisher did not report {event} within {timeout} s"
                    raise TimeoutError(message)

    def command(self, line: str, *, timeout: float = 10.0) -> None:
        """Send a command; wait until it was carried out (not for leave and kill)."""
        assert self._process.stdin is not None
        done_before = sum(item["event"] == "done" for item in self.events)
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        if line in {"leave", "kill"}:
            self._process.wait(timeout)
            return
        deadline = time.monotonic() + timeout
        with self._changed:
            while sum(item["event"] == "done" for item in self.events) == done_before:
                if not self._changed.wait(deadline - time.monotonic()):
                    message = f"publisher did not carry out {line!r} within {timeout} s"
                    raise TimeoutError(message)

    def sid(self, kind: str) -> str:
        """Return the sid of the last published track of a label (audio, video, audio2, video2)."""
        return str(
            [item for item in self.events if item["event"] == "published" and item["kind"] == kind][-1]["sid"]
        )

    @property
    def start(self) -> float:
        """Wall clock of frame 0 and beep 0."""
        return float(self.wait("started")["start"])

    @property
    def pid(self) -> int:
        """Process id, for tests that kill it."""
        return self._process.pid


if __name__ == "__main__":
    # Here and not above: the parent process needs no native library.
    from devstack.publishing import run

    run(publisher_options.parse())
