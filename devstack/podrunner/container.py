"""Owns the processes of one container: start, signals, exit, memory, everything that PID 1 left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from devstack import guard
from devstack.podrunner.podstatus import MESSAGE_LIMIT, Ended
from devstack.process import spawn

_INHERITED = ("LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")


class ContainerStartError(Exception):
    """The command cannot be run (kubelet's StartError / RunContainerError)."""


class ContainerProcess:
    """One started container. ``ended`` is called from a waiting thread when PID 1 is gone and all it left is killed."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        log: Path,
        environment: Mapping[str, str],
        working_directory: Path | None = None,
        ended: Callable[[], None],
    ) -> None:
        self._ended = ended
        # Some path below it stands in the environment of every process of the container (TMPDIR, HOME or PWD).
        self._marker = f"{directory}/"
        home = working_directory or directory / "home"
        full = {**_base_environment(directory), **environment, "PWD": str(home)}
        if shutil.which(command[0], path=full["PATH"]) is None:
            raise ContainerStartError(f'exec: "{command[0]}": executable file not found in $PATH')
        for name in ("tmp", "home"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self._process = spawn(command, log=log, env=full, cwd=home)
        self.oom_killed = False
        threading.Thread(target=self._wait, name=f"wait-{directory.name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """PID of the container's first process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code as Kubernetes counts (128 + signal), None while PID 1 runs."""
        code = self._process.poll()
        if code is None:
            return None
        return 128 - code if code < 0 else code

    def pids(self) -> list[int]:
        """Return the PIDs of all processes of the container, also of those whose parent is gone."""
        return guard.processes_with(self._marker)

    def terminate(self) -> None:
        """Send SIGTERM to PID 1 only, as a container runtime does."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill every process of the container; they are gone when this returns."""
        self._signal(signal.SIGKILL)
        guard.kill_processes_with(self._marker)

    def memory(self) -> int:
        """Return the bytes that a cgroup would count as unreclaimable: anonymous and shared pages of the tree."""
        return sum(_resident(pid) for pid in _tree(self.pid))

    def result(self, termination_log: Path) -> Ended:
        """Return how it ended, with at most 4096 bytes of the termination message. Only after the end."""
        code = self.code
        assert code is not None
        try:
            # A symbolic link must not show us a file of the host.
            with os.fdopen(os.open(termination_log, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                message = file.read(MESSAGE_LIMIT).decode(errors="replace")
        except OSError:
            message = ""
        if self.oom_killed:
            return Ended(code, "OOMKilled", message)
        return Ended(code, "Error" if code else "Completed", message)

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:  # else the PID may belong to somebody else by now
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _wait(self) -> None:
        self._process.wait()
        # The end of PID 1 ends its PID namespace: nothing of the container goes on.
        guard.kill_processes_with(self._marker)
        self._ended()


def _base_environment(directory: Path) -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    return {**inherited, "PATH": path, "HOME": str(directory / "home"), "TMPDIR": str(directory / "tmp")}


def _tree(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                queue += [int(child) for child in (task / "children").read_text().split()]
    return found


def _resident(pid: int) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total
