"""Owns child processes: start, wait until ready, stop by PID; knows nothing of what they are.

Every child has its own session (Ctrl-C reaches only us, and we end the children in order), its own log file, and
dies with us (`launch.py`). All ports are free ones of the loopback interface.

Ports lie below the kernel's ephemeral range: a server that is restarted on its port must not find it taken by an
outgoing connection of somebody else.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from devstack import launch

T = TypeVar("T")

LOOPBACK = "127.0.0.1"


class ProcessError(RuntimeError):
    """A server did not start or ended by itself; the message holds the end of its log."""


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(text, flush=True)


# ---- ports ---------------------------------------------------------------------------------------------------

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT = 15000
_given: set[tuple[int, int]] = set()
_given_lock = threading.Lock()


def free_port(*, udp: bool = False, address: str = LOOPBACK) -> int:
    """Return a free port; the same one is never given twice in this process."""
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    for _ in range(1000):
        port = random.randrange(_LOWEST_PORT, _ephemeral_start())
        with _given_lock:
            if (kind, port) in _given:
                continue
            _given.add((kind, port))
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            return port
    raise ProcessError("no free port was found in 1000 attempts")


def _ephemeral_start() -> int:
    try:
        return max(int(_EPHEMERAL.read_text().split()[0]), _LOWEST_PORT + 2000)
    except OSError:
        return 32768


# ---- starting ------------------------------------------------------------------------------------------------

_requests: queue.SimpleQueue[
    tuple[Future[subprocess.Popen[bytes]], Callable[[], subprocess.Popen[bytes]]]
] = queue.SimpleQueue()
"""Unbounded on purpose: each caller waits for its own entry, so it holds at most one per thread."""
_spawner_lock = threading.Lock()
_spawner: threading.Thread | None = None


def _spawn_forever() -> None:
    while True:
        future, start = _requests.get()
        try:
            future.set_result(start())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            future.set_exception(error)


def spawn(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str], cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in its own session; its output is appended to ``log``.

    All are started by one thread that never ends: the kernel kills a child when the *thread* that started it
    ends, and callers may be pod workers or executor threads.
    """
    global _spawner  # noqa: PLW0603 - one spawner per process is the point
    with _spawner_lock:
        if _spawner is None:
            _spawner = threading.Thread(target=_spawn_forever, name="devstack-spawner", daemon=True)
            _spawner.start()
    arguments = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *map(str, command)]

    def start() -> subprocess.Popen[bytes]:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )

    future: Future[subprocess.Popen[bytes]] = Future()
    _requests.put((future, start))
    return future.result()


# ---- servers -------------------------------------------------------------------------------------------------


class ServerProcess:
    """One server: the same command can be started again after it was stopped or killed."""

    def __init__(
        self, name: str, command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = tuple(map(str, command))
        self.log = log
        self._env = dict(os.environ if env is None else env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """PID of the running process. Raises ProcessError when it was never started."""
        if self._process is None:
            raise ProcessError(f"{self.name} is not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit code of the last run (negative: the signal); None while it runs or before it was started."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start the process; does not wait until it is ready. Raises ProcessError when it runs already."""
        if self.running:
            raise ProcessError(f"{self.name} runs already")
        self._process = spawn(self.command, log=self.log, env=self._env)

    def wait_ready(self, check: Callable[[], bool], timeout: float) -> None:
        """Wait until ``check`` is true (an OSError counts as false).

        Raises ProcessError with the end of the log when the process ends or ``timeout`` seconds pass.
        """
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(OSError):
                if check():
                    return
            if not self.running:
                raise ProcessError(f"{self.name} ended with {self.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} is not ready after {timeout:.0f} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def stop(self, grace: float = 5.0) -> None:
        """SIGTERM, after ``grace`` seconds SIGKILL; returns when the process is gone. Harmless when it is already."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self.kill()

    def kill(self) -> None:
        """SIGKILL for the process and what is left of its group; returns when the process is gone."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        try:
            text = self.log.read_text(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])


def port_answers(port: int, address: str = LOOPBACK) -> bool:
    """True when something accepts TCP connections there. Raises OSError when not."""
    with socket.create_connection((address, port), timeout=1):
        return True


def wait_for(what: str, check: Callable[[], T | None], timeout: float = 20.0) -> T:
    """Return the first true value of ``check``. Raises TimeoutError that names ``what``."""
    deadline = time.monotonic() + timeout
    while not (value := check()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:.0f} s")
        time.sleep(0.05)
    return value
