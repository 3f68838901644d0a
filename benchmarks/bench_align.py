"""Measures how well two recordings of one room run together after `egress-recorder align`.

Two participants publish the test pattern: flash and beep at the same seconds of the wall clock, one with VP8, one with H264. Each
is recorded by a recorder of its own, which start and stop at different times. The files are mixed by the offsets that `egress-recorder
align` prints, the mix is decoded, and the distance of the two flashes and of the two beeps of every second is the error.
With `--codec`, both publish the same. Also printed: how far `zeroAt` is from the wall clock of the pattern itself.

Target: every mean and 95 % of all distances within ±20 ms on an otherwise idle machine.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import describe_machine, finish, livekit, parser, publisher, recorder, workspace
from measured import MeasuredProcess

from devstack import mediacheck, mixcheck

LIMIT_MS = 20.0
LATER = 3.3
"""Seconds by which the second recorder starts and stops later; no whole number, so that nothing fits by chance."""


def aligned(directory: Path) -> tuple[dict[str, Any], list[Path]]:
    """Return what `align` prints for the two manifests of a directory, and the manifests."""
    manifests = sorted(directory.glob("*/EG_*.json"))
    command = [str(Path(sys.executable).with_name("egress-recorder")), "align", "--json"]
    answer = subprocess.run([*command, *map(str, manifests)], capture_output=True, text=True, check=True)
    return json.loads(answer.stdout), manifests


def run(directory: Path, seconds: float, codecs: Sequence[str]) -> dict[str, list[float]]:
    """Record, align, mix and measure once; return the distances in ms per kind."""
    with livekit(directory) as server, contextlib.ExitStack() as stack:
        recorders: list[MeasuredProcess] = []
        for name, codec in zip(("alice", "bob"), codecs, strict=True):
            stack.enter_context(publisher(server, "align", "--codec", codec, identity=name))
            (directory / name).mkdir(exist_ok=True)
            recorders.append(recorder(server, "align", directory / name / f"{name}.mp4", identity=name))
        time.sleep(5)  # the publishers' own start is not measured
        for number, one in enumerate(recorders):
            if number:
                time.sleep(LATER)
            one.start()
            stack.callback(one.kill)
        time.sleep(seconds)
        for number, one in enumerate(recorders):
            if number:
                time.sleep(LATER)
            one.interrupt()
            if one.wait() != 0:
                sys.exit(f"a recorder failed:\n{one.log_tail()}")
    alignment, manifests = aligned(directory)
    files = [
        mixcheck.MixedFile(
            Path(str(file["location"])),
            [path.stem for path in manifests].index(file["egressId"]),
            file["offset"],
        )
        for file in alignment["files"]
    ]
    media = [json.loads(path.read_text())["media"][0] for path in manifests]
    for file in files:
        print(
            f"{file.path.name}: delayed by {file.offset:.6f} s; {_absolute(file.path, media[file.recording])}"
        )
    print(
        "by the arrival of the first media instead of zeroAt, bob's would be"
        f" {(media[1]['receiveDelay'] - media[0]['receiveDelay']) * 1000:+.1f} ms later in the mix"
    )
    mixed = directory / "mix.mkv"
    mixcheck.mix(files, mixed)
    return mixcheck.measure(mixed, files).differences_ms()


def _absolute(path: Path, media: dict[str, Any]) -> str:
    """Say how far the UTC of what is seen and heard in a file is from the publisher's clock."""
    report = mediacheck.check(path)
    zero = np.datetime64(media["zeroAt"].rstrip("Z")).astype("datetime64[us]").astype(np.int64) / 1e6
    parts = []
    for name, times in (("flash", report.flashes), ("beep", report.beeps)):
        errors = [((zero + at + 0.5) % 1 - 0.5) * 1000 for at in times]
        parts.append(f"{name} {np.mean(errors):+.1f} ms late (sd {np.std(errors):.1f})")
    return f"by zeroAt {', '.join(parts)}; receiveDelay {media['receiveDelay'] * 1000:.1f} ms"


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=40, help="length of the recordings (40)")
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--codec", choices=("vp8", "h264"), help="of both (default: one each)")
    arguments = options.parse_args()
    describe_machine()
    codecs = (arguments.codec,) * 2 if arguments.codec else ("vp8", "h264")
    means: list[float] = []
    every: list[float] = []
    problems: list[str] = []
    with workspace(arguments.keep) as directory:
        for number in range(arguments.runs):
            (directory / f"run-{number}").mkdir()
            for kind, errors in run(directory / f"run-{number}", arguments.seconds, codecs).items():
                if len(errors) < 0.8 * arguments.seconds - 2:
                    problems.append(f"only {len(errors)} pairs of {kind} were found")
                    continue
                print(
                    f"run {number}: {kind} of bob {np.mean(errors):+.1f} ms after alice's, sd {np.std(errors):.1f},"
                    f" min {min(errors):+.1f}, max {max(errors):+.1f}, {len(errors)} pairs"
                )
                means.append(abs(float(np.mean(errors))))
                every += errors
    if not every:
        finish([*problems, "nothing was measured"])
    p95 = float(np.percentile(np.abs(every), 95))
    if max(means) > LIMIT_MS:
        problems.append(f"the largest mean distance is {max(means):.1f} ms, allowed are {LIMIT_MS:g} ms")
    if p95 > LIMIT_MS:
        problems.append(f"95 % of the distances are within {p95:.1f} ms, allowed are {LIMIT_MS:g} ms")
    finish(problems, worst_mean_ms=max(means), p95_ms=p95)


if __name__ == "__main__":
    main()
