"""Owns what the recorder's benchmarks share: a room with a publisher, the recorder in it, the figure line."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from measured import ROOT, MeasuredProcess, Memory

# A script's own directory is on the path, the project's root with `devstack` is not: whoever needs both imports this
# module first (its name is the first one in the order of imports).
sys.path.insert(0, str(ROOT))

from devstack.livekit import LiveKitServer
from devstack.publisher import PublisherProcess


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
def livekit(directory: Path, *, relayed: bool = False) -> Iterator[LiveKitServer]:
    """A livekit-server on loopback; `relayed`: media goes through `devstack.netrelay`."""
    server = LiveKitServer(directory / "livekit", relayed=relayed, progress=lambda _: None)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def publisher(server: LiveKitServer, room: str, *arguments: str, identity: str = "alice") -> PublisherProcess:
    """Return a publisher of a room, to be used as a context manager."""
    return PublisherProcess(server.url, server.api_key, server.api_secret, room, identity, arguments)


def recorder(
    server: LiveKitServer, room: str, output: Path, *arguments: str, identity: str = "alice"
) -> MeasuredProcess:
    """Return `egress-recorder record` of one participant, not started yet."""
    for old in (output, output.with_suffix(".log")):  # left by an earlier run with --keep; never overwritten
        old.unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("egress-recorder")), "record"]
    return MeasuredProcess(
        command=[*command, "--room", room, "--identity", identity, "-o", str(output), *arguments],
        environment={
            "LIVEKIT_URL": server.url,
            "LIVEKIT_API_KEY": server.api_key,
            "LIVEKIT_API_SECRET": server.api_secret,
        },
        log=output.with_suffix(".log"),
        output=output,
    )


def record_for(process: MeasuredProcess, seconds: float, *, stop: Callable[[], None] | None = None) -> Memory:
    """Start a recorder, let it run, stop it as a user does; return its memory before the stop.

    `stop`: how it is asked to, absent: by Ctrl-C. Exits with the recorder's log when it fails.
    """
    memory = Memory()
    process.start()
    try:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.running:
            time.sleep(min(0.5, max(0.0, deadline - time.monotonic())))
        if process.running:
            memory = process.memory()
            if stop is None:
                process.interrupt()
            else:
                process.interrupted_at = time.time()
                stop()
        code = process.wait()
    finally:
        process.kill()
    if code != 0 or (process.output and not process.output.exists()):
        sys.exit(f"the recorder ended with exit code {code} or left no file:\n{process.log_tail()}")
    return memory


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
