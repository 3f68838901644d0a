"""Measures how long a recording takes to begin and to end when media is already there.

Start: from the start of the process (`egress-recorder record`) to the moment at which the first recorded picture was captured by the
publisher (its number tells it). Stop: from SIGINT (Ctrl-C, a stop request) to the finished file under its final name *and* the
end of the process. Figures: median start, worst stop. Targets: 2.0 s and 1 s.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from common import (
    describe_machine,
    finish,
    livekit,
    parser,
    publisher,
    record_for,
    recorder,
    workspace,
)
from measured import MeasuredProcess

from devstack import mediacheck
from devstack.publisher import PublisherProcess

FRAMERATE = 30
START_LIMIT, STOP_LIMIT = 2.0, 1.0


def first_and_last(path: Path, source: PublisherProcess) -> tuple[float, float]:
    """Return the wall clock at which the first and the last recorded picture were captured. Raises ValueError."""
    numbers = mediacheck.check(path).counted()
    if not numbers:
        raise ValueError(f"{path} shows no frame number")
    return source.start + numbers[0] / FRAMERATE, source.start + numbers[-1] / FRAMERATE


def one_run(
    process: MeasuredProcess, path: Path, source: PublisherProcess, seconds: float
) -> tuple[float, float]:
    """Record once; return seconds from start to first picture and from stop to the finished file."""
    record_for(process, seconds)
    first, last = first_and_last(path, source)
    start, stop = first - process.started_at, process.ended_at - process.interrupted_at
    print(
        f"{path.stem}: first frame captured {start:.2f} s after the start of the process, finished {stop:.2f} s after the stop,"
        f" last frame captured {process.interrupted_at - last:+.2f} s before it",
        flush=True,
    )
    return start, stop


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=10)
    options.add_argument("--seconds", type=float, default=5, help="life of each recorder (5)")
    options.add_argument("--codec", default="vp8", choices=("vp8", "h264"))
    arguments = options.parse_args()
    describe_machine()
    starts, stops = [], []
    with (
        workspace(arguments.keep) as directory,
        livekit(directory) as server,
        publisher(server, "start", "--codec", arguments.codec) as source,
    ):
        time.sleep(5)  # the publisher's own start is not measured
        for number in range(arguments.runs):
            path = directory / f"run-{number}.mp4"
            start, stop = one_run(recorder(server, "start", path), path, source, arguments.seconds)
            starts.append(start)
            stops.append(stop)
    problems = []
    if statistics.median(starts) > START_LIMIT:
        problems.append(
            f"the median start takes {statistics.median(starts):.2f} s, allowed are {START_LIMIT} s"
        )
    if max(stops) > STOP_LIMIT:
        problems.append(f"the slowest stop took {max(stops):.2f} s, allowed is {STOP_LIMIT} s")
    print(f"median stop {statistics.median(stops):.2f} s, slowest start {max(starts):.2f} s")
    finish(problems, start_to_first_frame_s=statistics.median(starts), stop_to_file_s=max(stops))


if __name__ == "__main__":
    main()
