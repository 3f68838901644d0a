"""Owns child processes: how they are started, what they inherit, how they are waited for. Standard library only.

This module is imported before anything slow: the capture process loads its native libraries (about 0.9 s) while
the supervisor is still importing its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

CAPTURE_COMMAND = (sys.executable, "-m", "egress_recorder.capture")
FINALIZE_COMMAND = (sys.executable, "-m", "egress_recorder.finalize")

OWN_CHILDREN: set[int] = set()
"""Process ids that somebody here waits for; everything else that ends below PID 1 is an orphan."""

_SECRET_PREFIXES = ("AWS_", "LIVEKIT_")


@dataclass(frozen=True, slots=True)
class CaptureChild:
    """A started capture process and the supervisor's ends of its pipes."""

    process: subprocess.Popen[bytes]
    commands: BinaryIO
    """Written by us; its end of file tells the child that the supervisor is gone."""
    events: BinaryIO
    logs: BinaryIO

    def kill(self) -> None:
        """End it now, without a chance to finish; no error when it is gone."""
        with suppress(ProcessLookupError):
            self.process.kill()

    def wait(self) -> int:
        """Block until it is gone; return its exit code, negative for a signal."""
        returncode = self.process.wait()
        OWN_CHILDREN.discard(self.process.pid)
        return returncode

    def discard(self) -> None:
        """Kill and reap a child that was never used."""
        self.kill()
        self.wait()
        for pipe in (self.commands, self.events, self.logs):
            pipe.close()


Spawn = Callable[[], CaptureChild]


def spawn_capture(command: Sequence[str] = CAPTURE_COMMAND) -> CaptureChild:
    """Start a capture process; it waits for its first command.

    It gets its own session, so that Ctrl-C on a terminal reaches the supervisor alone.
    """
    command_read, command_write = os.pipe()
    event_read, event_write = os.pipe()
    try:
        process = subprocess.Popen(
            [*command, "--commands-fd", str(command_read), "--events-fd", str(event_write)],
            pass_fds=(command_read, event_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=child_environment(os.environ),
        )
    finally:
        os.close(command_read)
        os.close(event_write)
    OWN_CHILDREN.add(process.pid)
    assert process.stdout is not None
    return CaptureChild(
        process=process,
        commands=os.fdopen(command_write, "wb", buffering=0),
        events=os.fdopen(event_read, "rb", buffering=0),
        logs=process.stdout,  # type: ignore[arg-type]  # IO[bytes] of a pipe is a BufferedReader
    )


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without credentials: the process with the native code must not hold any."""
    return {name: value for name, value in environment.items() if not name.startswith(_SECRET_PREFIXES)}


def reap_orphans() -> bool:
    """Reap ended processes that were handed to us as PID 1; return False when one of our own is in the way.

    Our own children are left to those who wait for them, or their exit codes would be lost; look again soon then.
    """
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        if ended is None:
            return True
        if ended.si_pid in OWN_CHILDREN:
            return False
        with suppress(ChildProcessError):
            os.waitpid(ended.si_pid, os.WNOHANG)


class SignalLatch:
    """Keeps a SIGTERM or SIGINT that arrives before the event loop runs (PID 1 would ignore it otherwise)."""

    def __init__(self) -> None:
        self.received: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda caught, _frame: self.received.append(caught))
