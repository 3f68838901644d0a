"""Owns the capture process: one part of one recording, commands on one pipe, events on another, then its end.

`python -m egress_recorder.capture --commands-fd N --events-fd M`. SIGTERM and SIGINT of others are ignored: the
supervisor decides and tells through the pipe; the end of the pipe means that the supervisor is gone. A SIGTERM from
within is the LiveKit SDK's panic: the file is closed and the process ends, so that a next part can follow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from egress_recorder import ipc
from egress_recorder.errors import RecorderError
from egress_recorder.ipc_streams import StreamTarget
from egress_recorder.redact import configure_logging, redact, remember
from egress_recorder.streamurls import secrets_of
from egress_recorder.vocabulary import EndReason, ExitCode, Phase

if TYPE_CHECKING:
    from egress_recorder.session import Session

MAX_LINE = 1 << 20
"""Bytes of one command; a request is a few KB."""
MAX_UNREAD_EVENTS = 64 * 1024
"""Bytes of events nobody read; beyond it progress reports are dropped (the next one says more)."""
FLUSH_SECONDS = 5.0
SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
PICTURE_MEMORY = 4 * 1024 * 1024
"""Bytes; above the largest picture."""

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one capture and return the exit code."""
    parser = argparse.ArgumentParser(prog="egress_recorder.capture", description="internal: records one part")
    parser.add_argument("--commands-fd", type=int, required=True)
    parser.add_argument("--events-fd", type=int, required=True)
    options = parser.parse_args(arguments)
    # Before any thread exists: all inherit the mask, and only the watcher sees the signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    configure_logging(human=False)
    logging.getLogger("livekit").setLevel(logging.WARNING)
    _tune_malloc()
    # Imports of 0.5 s; they run while the request is read and parsed.
    threading.Thread(target=_import_media, name="imports", daemon=True).start()
    # Not asyncio.run: it would cancel what still runs, and cancelling the SDK's connect() ends in a panic.
    return asyncio.new_event_loop().run_until_complete(_run(options.commands_fd, options.events_fd))


def _tune_malloc() -> None:
    """Reuse the memory of pictures (1.4 MB at 720p, 3 MB at 1080p) and give back what a stall piled up.

    Below the size of a picture the thresholds cost 0.06 CPU seconds per second in page faults; glibc's own dynamic
    thresholds keep the highest level ever reached. More arenas than two only hold free memory of idle threads.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 2)
        mallopt(M_MMAP_THRESHOLD, PICTURE_MEMORY)
        mallopt(M_TRIM_THRESHOLD, PICTURE_MEMORY)


def _import_media() -> None:
    from egress_recorder import session  # noqa: PLC0415 - deliberately late, see main
    from egress_recorder.sources import livekit  # noqa: PLC0415

    del livekit, session


async def _run(commands_fd: int, events_fd: int) -> int:
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=MAX_LINE)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), os.fdopen(commands_fd, "rb", buffering=0)
    )
    events = EventWriter()
    await loop.connect_write_pipe(lambda: events, os.fdopen(events_fd, "wb", buffering=0))
    line = await commands.readline()
    if not line:
        return ExitCode.INTERRUPTED
    request = ipc.parse_request(line)
    remember(request.token)
    _remember_streams(request.streams)
    ended = await _capture(request, commands, events)
    events.emit(ended)
    await events.drain()
    return ended.exit_code


async def _capture(
    request: ipc.CaptureRequest, commands: asyncio.StreamReader, events: EventWriter
) -> ipc.Ended:
    # The event loop must not wait for imports: a stop may come meanwhile.
    await asyncio.to_thread(_import_media)
    from egress_recorder.session import Session  # noqa: PLC0415
    from egress_recorder.sources.livekit import LiveKitSource  # noqa: PLC0415
    from egress_recorder.sources.selection import selection_for  # noqa: PLC0415

    try:
        session = Session(request, events.emit)
        _watch_panic(session.refused)
        session.start_media()
        source = LiveKitSource(
            url=request.url,
            token=request.token,
            selection=selection_for(request.source, pictures=session.pictures, sound=session.sound),
            partial=request.continuing,
            sink=session.pipeline,
            listener=session,
        )
        reader = asyncio.create_task(_obey(commands, session, source.renew))
        ended = await session.run(source)
        reader.cancel()
    except Exception as error:  # noqa: BLE001 - the supervisor must hear of it, whatever it is
        _log.exception("capture failed")
        return ipc.Ended(
            phase=Phase.INTERRUPTED,
            reason=EndReason.FAILURE,
            exit_code=ExitCode.SOFTWARE,
            error=redact(f"the capture failed: {type(error).__name__}: {error}"),
            error_code=RecorderError.error_code,
        )
    return ended


def _watch_panic(failed: Callable[[RecorderError], None]) -> None:
    """Tell `failed`, in the event loop, when this process sends itself a SIGTERM."""
    loop = asyncio.get_running_loop()

    def watch() -> None:
        while signal.sigwaitinfo(SIGNALS).si_pid != os.getpid():
            pass
        loop.call_soon_threadsafe(failed, RecorderError("the LiveKit SDK failed internally (panic)"))

    threading.Thread(target=watch, name="signals", daemon=True).start()


async def _obey(commands: asyncio.StreamReader, session: Session, renew: Callable[[str], None]) -> None:
    while line := await commands.readline():
        try:
            command = ipc.parse_command(line)
        except ValueError:
            # Not the text: a malformed line may hold a token.
            _log.error("a command could not be understood", extra={"bytes": len(line)})
            continue
        if isinstance(command, ipc.StopCommand):
            session.stop(command.reason)
        elif isinstance(command, ipc.StreamsCommand):
            _remember_streams(command.streams)
            session.want_streams(command.streams)
        else:
            remember(command.token)
            renew(command.token)
    session.stop(EndReason.INTERRUPTED)


def _remember_streams(targets: Iterable[StreamTarget]) -> None:
    for target in targets:
        for secret in secrets_of(target.url):
            remember(secret)


class EventWriter(asyncio.Protocol):
    """Writes events without ever blocking the event loop."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is ready."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - interface
        """Nobody reads any more; the command pipe ends as well and stops the capture."""
        self._closed = True

    def emit(self, event: ipc.Message) -> None:
        """Write one event."""
        if self._closed or self._transport is None:
            return
        behind = self._transport.get_write_buffer_size() > MAX_UNREAD_EVENTS
        if not (behind and isinstance(event, ipc.ProgressReport)):
            self._transport.write(event.line())

    async def drain(self) -> None:
        """Wait until all is written, at most `FLUSH_SECONDS`."""
        deadline = asyncio.get_running_loop().time() + FLUSH_SECONDS
        while not self._closed and self._transport is not None and self._transport.get_write_buffer_size():
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Not sys.exit: native threads of the SDK may hang or crash on the way out, and everything is written.
    os._exit(code)
