"""Measures A/V offset and missing frames of a recording, as a viewer of the file would.

A publisher sends a white flash and a beep at the same moment of every second and a frame number in each picture; the recorder
records it through a real livekit-server; the file is decoded wholly. Offset = time of the first white picture minus time of the
first loud sample, all pairs from the first second on. Missing = frame numbers between the first and the last recorded one that are
in no picture of the file: whether the publisher's encoder, the server or the recorder dropped such a frame cannot be told
from the file, all count here. The publisher has sent for 5 s when the recorder starts.

Targets: mean within ±25 ms, 95 % within ±50 ms of zero, at most 1 % missing, on an otherwise idle machine.
"""

from __future__ import annotations

import itertools
import time

import numpy as np
from common import describe_machine, finish, livekit, parser, publisher, record_for, recorder, workspace

from devstack import mediacheck

FRAMERATE = 30
WARM_UP = 5.0
"""Seconds in which the publisher's bandwidth estimate rises and its own encoder may leave frames out."""


def holes(numbers: list[int]) -> list[str]:
    """Return where frames are missing, as `count@seconds`."""
    return [
        f"{after - before - 1}@{(before - numbers[0]) / FRAMERATE:.1f}s"
        for before, after in itertools.pairwise(numbers)
        if after - before > 1
    ]


def judge(offsets: list[float], seconds: float, missing_pct: float) -> list[str]:
    """Return which targets are not met."""
    problems = []
    if len(offsets) < 0.9 * seconds - 2:
        problems.append(f"only {len(offsets)} pairs of flash and beep were found in {seconds:.0f} s")
    if abs(np.mean(offsets)) > 25:
        problems.append(f"the mean A/V offset is {np.mean(offsets):+.1f} ms, allowed are ±25 ms")
    if np.percentile(np.abs(offsets), 95) > 50:
        problems.append(
            f"95 % of the offsets are within ±{np.percentile(np.abs(offsets), 95):.0f} ms, not ±50 ms"
        )
    if missing_pct > 1:
        problems.append(f"{missing_pct:.2f} % of the frames are missing, allowed is 1 %")
    return problems


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=120, help="length of the recording (120)")
    options.add_argument("--codec", default="vp8", choices=("vp8", "h264"))
    arguments = options.parse_args()
    describe_machine()
    with workspace(arguments.keep) as directory, livekit(directory) as server:
        path = directory / f"sync-{arguments.codec}.mp4"
        with publisher(server, "sync", "--codec", arguments.codec):
            time.sleep(WARM_UP)
            record_for(recorder(server, "sync", path), arguments.seconds)
        report = mediacheck.check(path)
    offsets = report.offsets_ms
    if not offsets:
        finish([f"the file has no pair of flash and beep ({report.summary()})"])
    numbers = report.counted()
    expected = report.missing_frames + len(set(numbers))
    missing_pct = 100 * report.missing_frames / expected
    print(report.summary())
    print(
        f"{arguments.codec}: offset mean {np.mean(offsets):+.1f} ms, sd {np.std(offsets):.1f},"
        f" min {min(offsets):+.1f}, max {max(offsets):+.1f}, first five"
        f" {' '.join(f'{offset:+.0f}' for offset in offsets[:5])}; {report.missing_frames} of {expected} frames missing,"
        f" {len(numbers) - len(set(numbers))} pictures repeated"
    )
    if places := holes(numbers):
        print(
            f"missing (frames@second of the file): {' '.join(places[:40])}{' …' if len(places) > 40 else ''}"
        )
    finish(
        judge(offsets, arguments.seconds, missing_pct),
        abs_mean_ms=abs(float(np.mean(offsets))),
        p95_ms=float(np.percentile(np.abs(offsets), 95)),
        frames_missing_pct=missing_pct,
    )


if __name__ == "__main__":
    main()
