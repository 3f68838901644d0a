"""Owns what the recorder's benchmarks share: a room with a publisher, the recorder as a measured process tree, the figure line.

CPU is user + system time of the whole tree (supervisor, capture process and whatever they start): while it runs from /proc,
for all of it from wait4 when it has ended.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import psutil

ROOT = Path(__file__).resolve().parents[1]
# A script's own directory is on the path, the project's root with `devstack` is not.
sys.path.insert(0, str(ROOT))

from devstack.livekit import LiveKitServer  # noqa: E402 - needs the line above
from devstack.publisher import PublisherProcess  # noqa: E402 - needs the line above

SAMPLE_INTERVAL = 0.2
"""Seconds between two looks at the process tree; looking costs about 1 ms."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The process tree at one moment (wall clock): CPU seconds so far, resident and proportional memory in MB."""

    at: float
    cpu: float
    rss_mb: float


@dataclass
class MeasuredProcess:
    """A command whose process tree is sampled while it runs."""

    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    log: Path | None = None
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
        """True while the command runs."""
        status = psutil.Process(self._process.pid).status() if psutil.pid_exists(self._process.pid) else ""
        return status not in {"", psutil.STATUS_ZOMBIE}

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

    def memory_mb(self) -> tuple[float, float]:
        """Sum over the tree now: resident (shared pages counted in each process) and proportional MB."""
        rss = pss = 0
        for process in self._tree():
            with contextlib.suppress(psutil.Error):
                full = process.memory_full_info()
                rss, pss = rss + full.rss, pss + full.pss
        return rss / 1e6, pss / 1e6

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
                self.samples.append(Sample(time.time(), cpu, rss / 1e6))


@contextlib.contextmanager
def workspace(keep: Path | None) -> Iterator[Path]:
    """A directory for the files of one run; removed at the end unless `keep` names it."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="egress-bench-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def livekit(directory: Path) -> Iterator[LiveKitServer]:
    """A livekit-server on loopback."""
    server = LiveKitServer(directory / "livekit", progress=lambda _: None)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def publisher(server: LiveKitServer, room: str, *arguments: str) -> PublisherProcess:
    """Return the publisher `alice` of a room, to be used as a context manager."""
    return PublisherProcess(server.url, server.api_key, server.api_secret, room, "alice", arguments)


def recorder(server: LiveKitServer, room: str, output: Path, *arguments: str) -> MeasuredProcess:
    """Return `egress-recorder record` of `alice`, not started yet."""
    for old in (output, output.with_suffix(".log")):  # left by an earlier run with --keep; never overwritten
        old.unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("egress-recorder")), "record"]
    return MeasuredProcess(
        command=[*command, "--room", room, "--identity", "alice", "-o", str(output), *arguments],
        environment={
            "LIVEKIT_URL": server.url,
            "LIVEKIT_API_KEY": server.api_key,
            "LIVEKIT_API_SECRET": server.api_secret,
        },
        log=output.with_suffix(".log"),
    )


def record_for(
    process: MeasuredProcess, seconds: float, *, before_stop: Callable[[], None] = lambda: None
) -> None:
    """Start a recorder, let it run, stop it as a user does. Exits with its log when it fails."""
    process.start()
    try:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.running:
            time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))
        if process.running:
            before_stop()
            process.interrupt()
        code = process.wait()
    finally:
        process.kill()
    if code != 0:
        sys.exit(f"the recorder ended with exit code {code}:\n{process.log_tail()}")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with what every benchmark understands."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--keep", type=Path, metavar="DIR", help="keep recordings and logs there")
    return result


def describe_machine() -> None:
    """Say where the figures were made, and whether something else was running."""
    load = os.getloadavg()[0]
    note = " (NOT IDLE: figures are disturbed)" if load > 0.5 else ""
    print(f"machine: {os.cpu_count()} CPUs, load {load:.2f}{note}", flush=True)


def finish(problems: Sequence[str], **figures: float) -> NoReturn:
    """Print the problems and, last, the figure line; exit code 1 when there is a problem."""
    for problem in problems:
        print(f"NOT MET: {problem}")
    print("figure: " + " ".join(f"{name}={value:.3g}" for name, value in figures.items()), flush=True)
    sys.exit(1 if problems else 0)
