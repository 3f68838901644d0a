"""Owns running a real capture process against a real livekit-server, as the supervisor would."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from livekit import api

from devstack.livekit import LiveKitServer
from devstack.publisher import PublisherProcess
from egress_recorder import ipc
from egress_recorder.supervisor.events import parse_event
from egress_recorder.vocabulary import EndReason, ParticipantSource, TrackCompositeSource

E = TypeVar("E")
PANIC = """
import os, signal, sys, threading, time
from egress_recorder import capture
def panic():
    time.sleep(float(sys.argv[1]))
    os.kill(os.getpid(), signal.SIGTERM)
signal.pthread_sigmask(signal.SIG_BLOCK, capture.SIGNALS)
threading.Thread(target=panic, daemon=True).start()
os._exit(capture.main(sys.argv[2:]))
"""
"""What the SDK does after an internal panic, some seconds after the start."""
RECONNECT = """
import asyncio, os, sys
from livekit.rtc._proto import room_pb2
from egress_recorder import capture
from egress_recorder.sources import livekit
join = livekit.LiveKitSource._join
async def joined(self):
    await join(self)
    scenario = room_pb2.SimulateScenarioKind.Value(sys.argv[1])
    asyncio.get_running_loop().call_later(
        float(sys.argv[2]), lambda: asyncio.ensure_future(self._room.simulate_scenario(scenario))
    )
livekit.LiveKitSource._join = joined
os._exit(capture.main(sys.argv[3:]))
"""
"""Lets the SDK make one of its own reconnects some seconds after each join."""
REPOSITORY = Path(__file__).parents[2]


def recorder_token(
    server: LiveKitServer, room: str, identity: str, *, secret: str = "", ttl: float | None = None
) -> str:
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        can_publish=False,
        can_publish_data=False,
        can_subscribe=True,
        hidden=True,
        recorder=True,
    )
    token = api.AccessToken(server.api_key, secret or server.api_secret)
    token = token.with_identity(identity).with_grants(grants)
    if ttl is not None:
        token = token.with_ttl(timedelta(seconds=ttl))
    return token.to_jwt()


def publisher(server: LiveKitServer, room: str, *arguments: str, identity: str = "alice") -> PublisherProcess:
    """Return a publisher of 360p, unless `arguments` say otherwise: what is tested does not depend on it, the machine is shared."""
    size = () if "--size" in arguments else ("--size", "640x360")
    return PublisherProcess(
        server.url, server.api_key, server.api_secret, room, identity, (*size, *arguments)
    )


class CaptureProcess:
    """One capture; `with` ends it whatever happened."""

    def __init__(
        self,
        server: LiveKitServer,
        room: str,
        source: ParticipantSource | TrackCompositeSource,
        directory: Path,
        *,
        identity: str = "EG_test",
        token: str = "",
        url: str = "",
        continuing: bool = False,
        recorded: float = 0.0,
        panic_after: float | None = None,
        reconnect: tuple[str, float] | None = None,
        **request: Any,
    ) -> None:
        self.directory = directory
        self._command = (sys.executable, "-m", "egress_recorder.capture")
        if panic_after is not None:
            self._command = (sys.executable, "-c", PANIC, str(panic_after))
        if reconnect is not None:
            self._command = (sys.executable, "-c", RECONNECT, reconnect[0], str(reconnect[1]))
        directory.mkdir(parents=True, exist_ok=True)
        self.token = token or recorder_token(server, room, identity)
        self.request = ipc.CaptureRequest(
            url=url or server.url,
            room_name=room,
            source=source,
            token=self.token,
            directory=str(directory),
            continuing=continuing,
            recorded=recorded,
            **request,
        )
        self.events: list[tuple[float, Any]] = []
        self._changed = threading.Condition()
        self._open = True

    def __enter__(self) -> Self:
        commands_read, self._commands = os.pipe()
        events_read, events_write = os.pipe()
        self.started_at = time.time()
        with self.stderr_path.open("w") as stderr:
            self.process = subprocess.Popen(
                [
                    *self._command,
                    *("--commands-fd", str(commands_read), "--events-fd", str(events_write)),
                ],
                pass_fds=(commands_read, events_write),
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY / "recorder")},
            )
        os.close(commands_read)
        os.close(events_write)
        os.write(self._commands, self.request.line())
        threading.Thread(target=self._collect, args=(events_read,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def stderr_path(self) -> Path:
        return self.directory / "stderr.txt"

    @property
    def file(self) -> Path:
        return self.directory / "media.mp4"

    def hang_up(self) -> None:
        """Close the command pipe, as a supervisor that died."""
        if self._open:
            self._open = False
            os.close(self._commands)

    def stop(self, reason: EndReason = EndReason.STOP_REQUESTED) -> None:
        os.write(self._commands, ipc.StopCommand(reason=reason).line())

    def renew(self, token: str) -> None:
        """Hand over a token as the supervisor does."""
        self.token = token
        os.write(self._commands, ipc.TokenCommand(token=token).line())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait(
        self,
        kind: type[E],
        timeout: float = 20.0,
        *,
        where: Callable[[E], bool] = lambda _: True,
        after: int = 0,
    ) -> E:
        """Return the first event of this kind that `where` accepts, of those after the first `after` ones."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for _, event in self.events[after:]:
                    if isinstance(event, kind) and where(event):
                        return event
                if self.events and self.events[-1][1] is None:
                    message = f"ended before {kind.__name__}: {self.stderr_path.read_text()[-1500:]}"
                    raise RuntimeError(message)
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    message = f"no {kind.__name__} within {timeout} s: {self.events[-3:]}"
                    raise TimeoutError(message)

    def media_time(self, seconds: float, timeout: float = 40.0) -> None:
        """Wait until so much more media is written."""
        reports = [event for _, event in [*self.events] if isinstance(event, ipc.ProgressReport)]
        goal = seconds + (reports[-1].progress.duration if reports else 0.0)
        self.wait(ipc.ProgressReport, timeout, where=lambda report: report.progress.duration >= goal)

    def ended(self, timeout: float = 20.0) -> ipc.Ended:
        """Return the last event; the process is gone then, with the exit code that the event names."""
        ended = self.wait(ipc.Ended, timeout)
        assert self.process.wait(5) == ended.exit_code
        assert self.token not in self.stderr_path.read_text()
        return ended

    def _collect(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as pipe:
            for line in pipe:
                self._note(parse_event(line))
        self._note(None)

    def _note(self, event: Any) -> None:
        with self._changed:
            self.events.append((time.time(), event))
            self._changed.notify_all()
