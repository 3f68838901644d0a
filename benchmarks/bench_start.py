"""Measures how long a recording takes to begin and to end when media is already there.

Start: from the start of the process (`egress-recorder record`) to the moment at which the first recorded picture was captured by the
publisher (its number tells it). Stop: from SIGINT (Ctrl-C, a stop request) to the finished file under its final name *and* the
end of the process. Figures: median start, worst stop. Targets: 2.0 s and 1 s.

`--waiting`: the recorder waits in the room and the participant publishes camera and microphone; from the moment at which the
recorder sees the camera's track to the capture of the first recorded picture. Target: 0.7 s in every run, and no frame missing after it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import NoReturn

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
from measured import ROOT, MeasuredProcess

from devstack import mediacheck
from devstack.livekit import LiveKitServer
from devstack.publisher import PublisherProcess
from egress_recorder import ipc
from egress_recorder.vocabulary import ParticipantSource

sys.path.insert(0, str(ROOT / "tests"))
from support.capture_process import CaptureProcess

FRAMERATE = 30
START_LIMIT, STOP_LIMIT = 2.0, 1.0
WAITING_LIMIT = 0.7


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


def one_waiting_run(server: LiveKitServer, directory: Path, number: int, codec: str) -> tuple[float, int]:
    """Publish to a waiting recorder; return seconds from the seen track to the first picture, and frames missing."""
    room, subject = f"waiting-{number}", ParticipantSource(identity="alice")
    with (
        CaptureProcess(server, room, subject, directory / room) as capture,
        publisher(server, room, "--codec", codec, "--no-video", "--no-audio") as source,
    ):
        capture.wait(ipc.Joined)
        # Frames flow at the moment of the publication, as a camera's do.
        time.sleep(max(0.0, source.start + 0.3 - time.time()))
        source.command("publish_video")
        source.command("publish_audio")
        capture.wait(ipc.Started)
        time.sleep(3)
        capture.stop()
        capture.ended()
        seen = next(
            at
            for at, event in capture.events
            if isinstance(event, ipc.TracksChanged) and any(track.kind == "video" for track in event.tracks)
        )
    first, _ = first_and_last(capture.file, source)
    missing = mediacheck.check(capture.file).missing_frames
    print(
        f"run {number}: first frame captured {first - seen:.2f} s after the track was seen, {missing} missing"
    )
    return first - seen, missing


def waiting(arguments: argparse.Namespace) -> NoReturn:
    """Measure recorders that wait in the room."""
    with workspace(arguments.keep) as directory, livekit(directory) as server:
        runs = [
            one_waiting_run(server, directory, number, arguments.codec) for number in range(arguments.runs)
        ]
    problems = []
    if max(late for late, _ in runs) > WAITING_LIMIT:
        problems.append(
            f"the slowest first frame came after {max(late for late, _ in runs):.2f} s, allowed are {WAITING_LIMIT} s"
        )
    if any(missing for _, missing in runs):
        problems.append(f"{sum(missing for _, missing in runs)} frames are missing after the first one")
    finish(
        problems,
        track_to_first_frame_s=max(late for late, _ in runs),
        median_s=statistics.median(late for late, _ in runs),
    )


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=10)
    options.add_argument("--seconds", type=float, default=5, help="life of each recorder (5)")
    options.add_argument("--codec", default="vp8", choices=("vp8", "h264"))
    options.add_argument(
        "--waiting", action="store_true", help="the recorder is in the room before the media"
    )
    arguments = options.parse_args()
    describe_machine()
    if arguments.waiting:
        waiting(arguments)
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
