"""Owns a command as a measured process tree.

CPU is user + system time of the whole tree (supervisor, capture process, what they start): from /proc while it runs, from
wait4 when it has ended.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_INTERVAL = 0.2
"""Seconds between two looks at the process tree; looking costs about 1 ms."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The process tree at one moment (wall clock): CPU seconds so far, resident memory in MB."""

    at: float
    cpu: float
    rss_mb: float


MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process tree in MiB, which the measured baselines call MB (VmRSS / 1024)."""

    rss_mb: float = 0.0
    """RSS of the processes added up: what the limit is held against."""
    once_mb: float = 0.0
    """The same with a page that several processes map counted once, as a container's account does."""
    pss_mb: float = 0.0
    """Proportional: a page that strangers share (the publisher runs the same Python) counts only in part."""
    each_rss_mb: tuple[float, ...] = ()

    def __str__(self) -> str:
        each = " + ".join(f"{value:.0f}" for value in self.each_rss_mb)
        return (
            f"RSS {self.rss_mb:.0f} MB ({each}; shared pages once {self.once_mb:.0f}, PSS {self.pss_mb:.0f})"
        )


@dataclass
class MeasuredProcess:
    """A command whose process tree is sampled while it runs."""

    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
    output: Path | None = None
    """The file that must exist at the end."""
    samples: list[Sample] = field(default_factory=list)
    total_cpu: float = 0.0
    """CPU seconds of the whole tree from its start to its end; known after `wait`."""
    started_at: float = 0.0
    interrupted_at: float = 0.0
    ended_at: float = 0.0
    """Wall clock."""

    def start(self) -> None:
        """Start the command and its sampling."""
        with open(self.log or os.devnull, "ab") as log:  # noqa: PTH123 - os.devnull is no Path
            self.started_at = time.time()
            self._process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )
        self._over = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="sampler", daemon=True)
        self._sampler.start()

    @property
    def running(self) -> bool:
        """True while the command runs; not by poll(), which would take the exit code away from wait4."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self._process.pid).status() != psutil.STATUS_ZOMBIE
        return False

    def interrupt(self) -> None:
        """Send SIGINT (Ctrl-C)."""
        self.interrupted_at = time.time()
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait for the end; return the exit code."""
        _, status, usage = os.wait4(self._process.pid, 0)
        self.ended_at = time.time()
        self._over.set()
        self._sampler.join()
        self.total_cpu = usage.ru_utime + usage.ru_stime
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return self._process.returncode

    def kill(self) -> None:
        """End what is left; harmless when nothing is."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self.wait()

    def cpu_at(self, wall: float) -> float:
        """CPU seconds used until a moment (interpolated)."""
        index = bisect.bisect(self.samples, wall, key=lambda sample: sample.at)
        if index == 0 or index == len(self.samples):
            return self.samples[max(index - 1, 0)].cpu
        before, after = self.samples[index - 1], self.samples[index]
        part = (wall - before.at) / (after.at - before.at)
        return before.cpu + part * (after.cpu - before.cpu)

    def memory(self) -> Memory:
        """Return the memory of the tree now."""
        each: list[float] = []
        anonymous, proportional = 0.0, 0.0
        files: dict[str, float] = {}
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                maps = process.memory_maps(grouped=True)
                each.append(sum(mapping.rss for mapping in maps) / MIB)
                anonymous += sum(mapping.anonymous for mapping in maps) / MIB
                proportional += sum(mapping.pss for mapping in maps) / MIB
                for mapping in maps:
                    pages = (mapping.rss - mapping.anonymous) / MIB
                    files[mapping.path] = max(files.get(mapping.path, 0.0), pages)
        return Memory(sum(each), anonymous + sum(files.values()), proportional, tuple(each))

    def log_tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text(errors="replace")[-1500:] if self.log and self.log.exists() else ""

    def _tree(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_INTERVAL):
            cpu, rss = 0.0, 0
            for process in self._tree():
                with contextlib.suppress(psutil.Error), process.oneshot():
                    times = process.cpu_times()
                    # Children that were waited for are in their parent's account.
                    cpu += times.user + times.system + times.children_user + times.children_system
                    rss += process.memory_info().rss
            if rss and (not self.samples or cpu >= self.samples[-1].cpu):
                self.samples.append(Sample(time.time(), cpu, rss / MIB))
