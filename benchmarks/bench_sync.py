"""Measures A/V offset and missing frames of a recording, as a viewer of the file would.

A publisher sends a white flash and a beep at the same moment of every second and a frame number in each picture; the recorder
records it through a real livekit-server; the file is decoded wholly. Offset = time of the first white picture minus time of the
first loud sample, all pairs from the first second on. Missing = frame numbers between the first and the last recorded one that are
in no picture of the file: whether the publisher's encoder, the server or the recorder dropped such a frame cannot be told
from the file, all count here. The publisher has sent for 5 s when the recorder starts.

Targets: on an idle machine the mean within ±10 ms, 95 % within ±30 ms, at most 1 % of the frames missing. `--impaired` (2 % loss and
50 ± 10 ms delay by a relay, packets in order unless `--reorder`): 95 % within ±60 ms. `--load` (as many endless loops as
there are CPUs, which share with the recorder what publisher and server leave: these are on other machines in reality, and
a publisher that starves sends sound late by seconds): 95 % within ±100 ms. From 600 s on also no drift: first and last quarter differ by less than 20 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from common import describe_machine, finish, livekit, parser, publisher, record_for, recorder, workspace

from devstack import mediacheck
from devstack.netrelay import Impairment, NetRelay

FRAMERATE = 30
WARM_UP = 5.0
"""Seconds in which the publisher's bandwidth estimate rises and its own encoder may leave frames out."""
BAD_NETWORK = {"loss": 0.02, "delay": 0.050, "jitter": 0.010}
LAST = ("nice", "-n", "10")
"""Before a command that has its turn after publisher and server."""
DRIFT_SECONDS, DRIFT_LIMIT_MS = 600, 20.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What is allowed; None: reported only."""

    p95_ms: float
    mean_ms: float | None = None
    missing_pct: float | None = None


IDLE, IMPAIRED, LOADED = Limits(30, 10, 1), Limits(60), Limits(100)


def holes(numbers: list[int]) -> list[str]:
    """Return where frames are missing, as `count@seconds`."""
    return [
        f"{after - before - 1}@{(before - numbers[0]) / FRAMERATE:.1f}s"
        for before, after in itertools.pairwise(numbers)
        if after - before > 1
    ]


def drift(offsets: list[float]) -> float:
    """Return the median of the last quarter minus that of the first, ms."""
    quarter = max(1, len(offsets) // 4)
    return float(np.median(offsets[-quarter:]) - np.median(offsets[:quarter]))


def judge(offsets: list[float], seconds: float, missing_pct: float, limits: Limits) -> list[str]:
    """Return which targets are not met."""
    problems = []
    mean, p95 = float(np.mean(offsets)), float(np.percentile(np.abs(offsets), 95))
    if len(offsets) < 0.9 * seconds - 2:
        problems.append(f"only {len(offsets)} pairs of flash and beep were found in {seconds:.0f} s")
    if limits.mean_ms is not None and abs(mean) > limits.mean_ms:
        problems.append(f"the mean A/V offset is {mean:+.1f} ms, allowed are ±{limits.mean_ms:g} ms")
    if p95 > limits.p95_ms:
        problems.append(f"95 % of the offsets are within ±{p95:.0f} ms, not ±{limits.p95_ms:g} ms")
    if limits.missing_pct is not None and missing_pct > limits.missing_pct:
        problems.append(f"{missing_pct:.2f} % of the frames are missing, allowed is {limits.missing_pct:g} %")
    if seconds >= DRIFT_SECONDS and abs(drift(offsets)) > DRIFT_LIMIT_MS:
        problems.append(f"the offset drifted by {drift(offsets):+.1f} ms, allowed are ±{DRIFT_LIMIT_MS:g} ms")
    return problems


@contextlib.contextmanager
def other_work(wanted: bool) -> Iterator[None]:
    """Keep every CPU busy with something else."""
    loop = [*LAST, sys.executable, "-c", "while True: pass"]
    burners = [subprocess.Popen(loop) for _ in range((os.cpu_count() or 1) if wanted else 0)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextlib.contextmanager
def bad_network(port: int, options: argparse.Namespace) -> Iterator[None]:
    """Let the publisher's or the recorder's packets pass a bad network."""
    if not options.impaired:
        yield
        return
    with NetRelay(port) as relay:
        relay.impair(options.impaired, Impairment(**BAD_NETWORK, reorder=options.reorder))
        yield


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=120, help="length of the recording (120)")
    options.add_argument("--codec", default="vp8", choices=("vp8", "h264"))
    options.add_argument(
        "--impaired",
        nargs="?",
        const="publisher",
        choices=("publisher", "recorder", "both"),
        help="a bad network before the publisher (default), the recorder or both",
    )
    options.add_argument("--reorder", action="store_true", help="packets may overtake each other")
    options.add_argument("--load", action="store_true", help="all CPUs are busy with other work")
    return options.parse_args()


def main() -> None:
    """Run the benchmark."""
    options = _options()
    describe_machine()
    limits = LOADED if options.load else IMPAIRED if options.impaired else IDLE
    with workspace(options.keep) as directory, livekit(directory, relayed=bool(options.impaired)) as server:
        path = directory / f"sync-{options.codec}.mp4"
        with (
            bad_network(server.media_port, options),
            publisher(server, "sync", "--codec", options.codec),
            other_work(options.load),
        ):
            time.sleep(WARM_UP)
            process = recorder(server, "sync", path)
            if options.load:
                process.command = [*LAST, *process.command]
            record_for(process, options.seconds)
        report = mediacheck.check(path)
    offsets = report.offsets_ms
    if not offsets:
        finish([f"the file has no pair of flash and beep ({report.summary()})"])
    numbers = report.counted()
    expected = report.missing_frames + len(set(numbers))
    missing_pct = 100 * report.missing_frames / expected
    print(report.summary())
    print(
        f"{options.codec}: offset mean {np.mean(offsets):+.1f} ms, sd {np.std(offsets):.1f},"
        f" min {min(offsets):+.1f}, max {max(offsets):+.1f}, first five"
        f" {' '.join(f'{offset:+.0f}' for offset in offsets[:5])}; {report.missing_frames} of {expected} frames missing,"
        f" {len(numbers) - len(set(numbers))} pictures repeated"
    )
    minutes = [offsets[at : at + 60] for at in range(0, len(offsets), 60)]
    print("mean of each minute, ms:", " ".join(f"{np.mean(minute):+.1f}" for minute in minutes))
    if places := holes(numbers):
        print(
            f"missing (frames@second of the file): {' '.join(places[:40])}{' …' if len(places) > 40 else ''}"
        )
    figures = {
        "abs_mean_ms": abs(float(np.mean(offsets))),
        "p95_ms": float(np.percentile(np.abs(offsets), 95)),
        "frames_missing_pct": missing_pct,
    }
    if options.seconds >= DRIFT_SECONDS:
        figures["drift_ms"] = drift(offsets)
    finish(judge(offsets, options.seconds, missing_pct, limits), **figures)


if __name__ == "__main__":
    main()
