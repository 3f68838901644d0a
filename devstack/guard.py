"""Owns the promise that nothing survives a killed devstack: waits for the end of its input, then kills what is left.

Run as ``python -I -S guard.py DIRECTORY`` with a pipe as input that only the devstack holds. The kernel closes the pipe
however the devstack ends; then every process that has a path below DIRECTORY in its environment is killed: containers
of the pod runner have their TMPDIR there, and so has whatever they started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path


def processes_with(marker: str) -> list[int]:
    """Return the PIDs, other than our own, in whose environment ``marker`` stands."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # ended meanwhile, or another user's
            continue
        if marker.encode() in environment:
            found.append(int(entry.name))
    return found


def kill_processes_with(marker: str, *, timeout: float = 5.0) -> bool:
    """Kill those processes, and those which they start meanwhile; True when all were gone within the time."""
    deadline = time.monotonic() + timeout
    while found := processes_with(marker):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def main() -> None:
    """Wait for the end of input."""
    # Ctrl-C and kill are for the devstack: this process must outlive it by a moment.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    kill_processes_with(f"{sys.argv[1]}/")


if __name__ == "__main__":
    main()
