"""Owns one capture process from its first command to its exit: pipes, time limits, its log lines.

Three timers can kill it: it was told to stop and did not end in time; it says that it records and makes no progress;
it said `Ended` and does not exit. Whatever is left is finalised by others.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from egress_recorder import ipc
from egress_recorder.contract import EndReason
from egress_recorder.ipc_streams import StreamTarget
from egress_recorder.redact import redact
from egress_recorder.supervisor.events import parse_event
from egress_recorder.supervisor.process import CaptureChild
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)
capture_logger = logging.getLogger("egress_recorder.capture")

_OWN_FIELDS = {"time", "level", "message"}
_LONGEST_LINE = 1 << 20
_DRAIN_TIMEOUT = 2.0
"""Seconds to read what is left in the pipes after the exit; a grandchild could hold them open for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimits:
    """Seconds after which a capture process is killed."""

    stop: float = 15.0
    stall: float = 20.0
    exit: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnd:
    """How a capture process ended; without `ended` it crashed or was killed."""

    ended: ipc.Ended | None
    returncode: int


class CaptureAttempt:
    """Runs one child. `stop`, `renew_token` and `kill` may be called at any time, also before `run`."""

    def __init__(self, child: CaptureChild, limits: AttemptLimits) -> None:
        self._child = child
        self._limits = limits
        self._commands: asyncio.WriteTransport | None = None
        self._pending: list[ipc.Command] = []
        self._timer: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._ended: ipc.Ended | None = None

    async def run(self, request: ipc.CaptureRequest, on_event: Callable[[ipc.Event], None]) -> AttemptEnd:
        """Hand over the request, pass on the events, return when the process is gone and its pipes are read."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, self._child.commands)
        self._commands = transport
        transport.write(request.line())
        for command in self._pending:
            transport.write(command.line())
        try:
            async with asyncio.TaskGroup() as group:
                pumps = [
                    group.create_task(self._pump_events(on_event)),
                    group.create_task(self._pump_logs()),
                ]
                returncode = await in_thread("wait-capture", self._child.wait)
                await asyncio.wait(pumps, timeout=_DRAIN_TIMEOUT)
                for pump in pumps:
                    pump.cancel()
        finally:
            self._child.kill()
            if not transport.is_closing():  # it closes itself when the child is gone, and abort() fails then
                transport.abort()
            for timer in (self._timer, self._stall):
                if timer is not None:
                    timer.cancel()
        return AttemptEnd(ended=self._ended, returncode=returncode)

    def stop(self, reason: EndReason, *, within: float | None = None) -> None:
        """Ask the capture to finish its file; kill it when it does not end within the limit (seconds)."""
        self._send(ipc.StopCommand(reason=reason))
        self._kill_after(self._limits.stop if within is None else within, "it did not end when told to stop")

    def renew_token(self, token: str) -> None:
        """Hand over a renewed access token."""
        self._send(ipc.TokenCommand(token=token))

    def want_streams(self, streams: tuple[StreamTarget, ...]) -> None:
        """Let exactly these streams run."""
        self._send(ipc.StreamsCommand(streams=streams))

    def kill(self) -> None:
        """End the process at once."""
        self._child.kill()

    def _send(self, command: ipc.Command) -> None:
        if self._commands is None:
            self._pending.append(command)
        elif not self._commands.is_closing():
            self._commands.write(command.line())

    def _kill_after(self, seconds: float, why: str) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._overdue, why)

    def _overdue(self, why: str) -> None:
        logger.error("capture process is killed", extra={"reason": why, "pid": self._child.process.pid})
        self.kill()

    async def _pump_events(self, on_event: Callable[[ipc.Event], None]) -> None:
        reader = await _reader(self._child.events)
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                logger.warning("an event line of the capture process is too long and left out")
                continue
            if not line:
                return
            try:
                event = parse_event(line)
            except ValueError:
                logger.warning("an event of the capture process is not understood and left out")
                continue
            self._watch(event)
            on_event(event)

    def _watch(self, event: ipc.Event) -> None:
        """Arm the stall timer by each report that says that media is being written."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if isinstance(event, ipc.Ended):
            self._ended = event
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._kill_after(self._limits.exit, "it said that it ended and did not exit")
        elif isinstance(event, ipc.Started) or (isinstance(event, ipc.ProgressReport) and event.recording):
            self._stall = asyncio.get_running_loop().call_later(
                self._limits.stall, self._overdue, "it says that it records and makes no progress"
            )

    async def _pump_logs(self) -> None:
        """Pass the child's output through the redaction; its lines are logs, whatever they look like."""
        reader = await _reader(self._child.logs)
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                continue
            if not line:
                return
            relay_log_line(redact(line.decode(errors="replace").rstrip()))


def relay_log_line(text: str) -> None:
    """Log one line of the child: as the record that it is when it comes from our own formatter, else as text."""
    if not text:
        return
    try:
        record = json.loads(text) if text.startswith("{") else None
    except ValueError:
        record = None
    if not isinstance(record, dict) or "message" not in record:
        capture_logger.info("%s", text)
        return
    level = logging.getLevelNamesMapping().get(str(record.get("level", "")).upper(), logging.INFO)
    fields = {f"capture_{name}": value for name, value in record.items() if name not in _OWN_FIELDS}
    capture_logger.log(level, "%s", record["message"], extra=fields)


async def _reader(pipe: BinaryIO) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader
