"""Owns `egress-recorder record`: the same supervisor on a laptop, with a progress line and Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from egress_recorder.contract import RecorderResult
from egress_recorder.errors import RecorderError
from egress_recorder.progressline import CLEAR_LINE, conclude, show
from egress_recorder.redact import configure_logging, redact
from egress_recorder.retry import RetryPolicy
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.core import Supervisor
from egress_recorder.supervisor.process import CaptureChild, SignalLatch, Spawn
from egress_recorder.supervisor.request import LocalRequest, UsageError, read_request, read_server
from egress_recorder.supervisor.settings import Settings, utc_now
from egress_recorder.supervisor.termination import failure_result

__all__ = ["UsageError", "record"]


def record(
    options: Namespace,
    *,
    child: CaptureChild,
    latch: SignalLatch,
    spawn: Spawn,
    finalize_command: Sequence[str],
) -> int:
    """Record until the end or Ctrl-C; return the exit code. Raises UsageError for options that cannot work."""
    terminal = sys.stderr.isatty()
    configure_logging(
        human=True,
        level=logging.INFO if options.verbose else logging.WARNING,
        prefix=CLEAR_LINE if terminal else "",
    )
    server = read_server(options, os.environ)
    request = read_request(options, server, now=utc_now())
    try:
        token = server.token(room=options.room, identity=request.config.egress_id)
    except ValueError as error:
        raise UsageError(f"--api-key and --api-secret give no token: {redact(str(error))}") from None
    scratch = _scratch(options.scratch, request)
    settings = Settings(
        scratch=scratch,
        volumes_root=request.volumes_root,
        retry=RetryPolicy(total=options.upload_timeout),
        spawn=spawn,
        finalize_command=finalize_command,
    )
    try:
        result = asyncio.run(_record(request, token, settings=settings, child=child, latch=latch))
    except RecorderError as error:
        child.discard()
        result = failure_result(error, egress_id=request.config.egress_id)
    left = _clean(scratch)
    if request.directory is not None and not result.parts:
        # The manifest of a recording that never began says nothing that the last line does not.
        (request.directory / f"{request.config.egress_id}.json").unlink(missing_ok=True)
    stream = sys.stdout if result.exit_code == 0 else sys.stderr
    if terminal:
        sys.stderr.write(CLEAR_LINE)
    stream.write(conclude(result) + "\n")
    for path in left:
        sys.stderr.write(f"kept: {path}\n")
    assert result.exit_code is not None
    return result.exit_code


async def _record(
    request: LocalRequest, token: str, *, settings: Settings, child: CaptureChild, latch: SignalLatch
) -> RecorderResult:
    board = StatusBoard(request.config.egress_id)
    supervisor = Supervisor(request.config, token, settings=settings, board=board, child=child)
    loop = asyncio.get_running_loop()
    interrupts = 0

    def on_interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            supervisor.stop()
        elif interrupts == 2:
            supervisor.abort()
        else:
            # Not even the file matters any more to whoever presses it a third time.
            loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    loop.add_signal_handler(signal.SIGTERM, supervisor.interrupt)
    if latch.received:
        supervisor.stop()
    line = asyncio.create_task(show(board, sys.stderr), name="progress-line")
    try:
        return await supervisor.run()
    finally:
        line.cancel()


def _scratch(wanted: Path | None, request: LocalRequest) -> Path:
    """Make a directory beside the file, so that what a crash leaves is found and is on a disk with room."""
    parent = wanted or request.directory
    try:
        if wanted is not None:
            wanted.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".egress-recorder-", dir=parent))
    except OSError as error:
        raise UsageError(
            f"--scratch {parent} cannot be written ({error.strerror}): name another directory"
        ) from None


def _clean(scratch: Path) -> list[Path]:
    """Remove the empty directories; return the files that were not stored."""
    left = [path for path in scratch.rglob("*") if path.is_file()]
    for directory in sorted((path for path in scratch.rglob("*") if path.is_dir()), reverse=True):
        with suppress(OSError):
            directory.rmdir()
    with suppress(OSError):
        scratch.rmdir()
    return left
