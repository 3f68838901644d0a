"""Measures the upload while recording: what is left to send after the stop of a long recording, and the recorder's memory.

`egress-recorder run` with the product's supervisor, storage code, session and muxer records into a real S3 server
(versitygw, a process of its own). Only the room and the encoders are replaced: an hour of encoded 720p30 and AAC, about
1 GB, made once by the recorder's encoders from camera-like pictures and repeated, is written 40 times as fast as in real
time and then, until the stop, in real time (`fed_capture.py`). Then, through the control endpoint, the stop.

Figures: tail_s = from the stop request to the completed object in the bucket (seen in the server's access log and by a
HEAD); rss_growth_mb = highest RSS of supervisor and capture process, added up, above the same recorder waiting in the
room; tail_mb = bytes of parts that reached the server after the stop, those under way and part 1's second copy included;
parts = of the object. Targets: 3 s; 40 MB + 25 MB per hour; fewer than 10 000 parts; the object has the bytes of the
local file (SHA-256 of both and of the manifest) and holds every frame and sound packet, and its end decodes.

What the fast feed proves: the storage kept up with 40 recordings' rate, so that what waits at the stop is no less than
it is in real time; the tables of the muxer and the parts of the upload are those of the whole length. What it does not:
leaks that grow with the clock (`bench_recorder.py --soak`), a network that is slower than a recording, and the encoders.
The server copies all parts into one file at the end, which S3 does not, and that time is in tail_s: its directory is in
memory where /dev/shm has the room (2.3 GB per hour), or else the speed of the local disk would be the figure.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from common import describe_machine, finish, parser, workspace
from measured import ROOT, MeasuredProcess
from pod_recorder import EGRESS_ID, PodRecorder
from s3_access_log import COMPLETED, AccessLog
from upload_check import check
from upload_loop import make_loop

from devstack.s3 import S3Server
from egress_recorder.contract import RecorderStatus
from egress_recorder.media.values import MediaSpec
from egress_recorder.partplan import GROWING, parts_of

SPEC = MediaSpec(width=1280, height=720, framerate=30, video_bitrate=2200, audio_bitrate=128)
MOST_TAIL, MEMORY, MEMORY_PER_HOUR = 3.0, 40.0, 25.0
"""Seconds; MB; MB."""
LEAST_BYTES_PER_HOUR = 1_000_000_000
SERVER_BYTES_PER_HOUR = 2_300_000_000
"""The parts, and at the end for a moment the object too."""
KEY = "bench/recording.mp4"
MB = 1_000_000
PATIENCE = 120.0
"""Seconds for the tail, and beyond five times of what the feed should take."""


@contextmanager
def s3_directory(directory: Path, hours: float) -> Iterator[Path]:
    """Give a directory for the server: in memory where there is room, else below `directory`."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < SERVER_BYTES_PER_HOUR * hours:
        print("/dev/shm is too small: the server's copying to the disk is part of tail_s", flush=True)
        yield directory / "s3"
        return
    with tempfile.TemporaryDirectory(prefix="egress-bench-", dir=memory) as temporary:
        yield Path(temporary)


@dataclass(slots=True)
class Run:
    """What one recording came to."""

    tail: float = 0.0
    last_part: float = 0.0
    """Seconds from the stop until the server had the last part."""
    tail_parts: list[int] = field(default_factory=list)
    """Numbers of the parts that the server had only after the stop."""
    waiting: int = 0
    """Bytes on disk at the stop that the server had not confirmed."""
    ended: float = 0.0
    """Seconds from the stop to the end of the recorder."""
    requests: int = 0
    idle: float = 0.0
    peak: float = 0.0
    frames: int = 0


def into(server: S3Server, directory: Path) -> PodRecorder:
    """Return a recorder into the server's bucket."""
    encoding = {
        "width": SPEC.width, "height": SPEC.height, "framerate": SPEC.framerate,
        "videoBitrate": SPEC.video_bitrate, "audioBitrate": SPEC.audio_bitrate,
    }  # fmt: skip
    destination = {
        "kind": "s3", "bucket": server.bucket, "region": server.region, "endpoint": server.endpoint,
        "forcePathStyle": True, "credentials": "keys",
    }  # fmt: skip
    return PodRecorder(
        directory,
        {
            "url": "ws://127.0.0.1:1",
            "roomName": "bench-upload",
            "source": {"kind": "participant", "identity": "alice"},
            "encoding": encoding,
            "outputs": [{"filepath": KEY, "destination": destination}],
        },
        token="eyJhbGciOiJIUzI1NiJ9.eyJ2aWRlbyI6e319.c2lnbmF0dXJlLW9mLXRva2Vu",
        secrets={"keys/access_key": server.access_key, "keys/secret": server.secret_key},
    )


def record(
    recorder: PodRecorder,
    process: MeasuredProcess,
    log: AccessLog,
    *,
    seconds: float,
    speed: float,
    local: Path,
) -> Run:
    """Record until there are `seconds` of media, stop, wait for the object and for the recorder's end."""
    run, told, started = Run(), time.monotonic(), 0.0
    deadline = time.monotonic() + 5 * seconds / speed + PATIENCE
    status = recorder.status(process)
    while status.progress.duration < seconds:
        time.sleep(0.3)
        status = recorder.status(process)
        if status.started_at and not started:
            started = status.started_at.timestamp()
            # The recorder removes its file when it is uploaded.
            os.link(next(recorder.scratch.glob("part-*/media.mp4")), local)
        run.requests += len(log.look())
        if time.monotonic() > deadline:
            sys.exit(f"the machine is too slow for --speed {speed:g}: {_line(status, process)}")
        if time.monotonic() > told + 10:
            told = time.monotonic()
            print(_line(status, process), flush=True)
    print(_line(status, process), flush=True)
    stopped = time.monotonic()
    recorder.stop()
    run.waiting = local.stat().st_size - status.progress.bytes_uploaded
    alive = True
    while alive and not run.tail and time.monotonic() < stopped + PATIENCE:
        alive = process.running
        for number in log.look():
            run.requests += 1
            passed = time.monotonic() - stopped
            if number == COMPLETED:
                run.tail = passed
            else:
                run.tail_parts.append(number)
                run.last_part = passed
        time.sleep(0.01)
    if not run.tail:
        sys.exit(f"the upload was not completed within {PATIENCE:g} s of the stop:\n{process.log_tail()}")
    if code := process.wait():
        sys.exit(f"the recorder ended with exit code {code}:\n{process.log_tail()}")
    run.ended = time.monotonic() - stopped
    run.idle = max(sample.rss_mb for sample in process.samples if started - 4 < sample.at < started - 0.5)
    run.peak = max(sample.rss_mb for sample in process.samples)
    run.frames = recorder.result().progress.frames
    return run


def _line(status: RecorderStatus, process: MeasuredProcess) -> str:
    numbers = status.progress
    return (
        f"{numbers.duration / 60:.1f} min recorded, {numbers.bytes_written / MB:.0f} MB written,"
        f" {numbers.bytes_uploaded / MB:.0f} MB uploaded, RSS {process.samples[-1].rss_mb:.0f} MB"
    )


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--hours", type=float, default=1.0, help="of media (1)")
    options.add_argument(
        "--speed", type=float, default=40.0, help="how many times faster than real time (40)"
    )
    arguments = options.parse_args()
    describe_machine()
    seconds = arguments.hours * 3600
    with workspace(arguments.keep) as directory, s3_directory(directory, arguments.hours) as of_server:
        loop, local, access_log = (directory / name for name in ("loop.pickle", "local.mp4", "access.log"))
        for path in (local, access_log):
            path.unlink(missing_ok=True)
        make_loop(SPEC, loop)
        server = S3Server(of_server, progress=lambda _: None, access_log=access_log)
        server.start()
        try:
            recorder = into(server, directory)
            script = str(ROOT / "benchmarks" / "fed_process.py")
            process = recorder.process(
                [sys.executable, script, str(loop), str(arguments.speed), str(seconds)]
            )
            process.start()
            try:
                run = record(
                    recorder,
                    process,
                    AccessLog(access_log, KEY),
                    seconds=seconds,
                    speed=arguments.speed,
                    local=local,
                )
            finally:
                process.kill()
            problems, parts = check(
                server,
                KEY,
                local,
                manifest=f"bench/{EGRESS_ID}.json",
                frames=run.frames,
                framerate=SPEC.framerate,
            )
            size = local.stat().st_size
        finally:
            server.stop()
    tail_bytes = sum(min(GROWING.length(n), size - GROWING.offset(n)) for n in run.tail_parts)
    if parts != parts_of(size, GROWING):
        problems.append(f"the object has {parts} parts, its plan has {parts_of(size, GROWING)}")
    growth, allowed = run.peak - run.idle, MEMORY + MEMORY_PER_HOUR * arguments.hours
    print(
        f"at the stop {run.waiting / MB:.1f} MB waited; after it {tail_bytes / MB:.1f} MB were stored, the last part"
        f" {run.last_part:.2f} s and the object {run.tail:.2f} s after the stop, the recorder's end {run.ended:.2f} s after it;"
        f" {run.requests} requests of the upload; RSS idle {run.idle:.0f} MB, at most {run.peak:.0f} MB"
    )
    if run.tail > MOST_TAIL:
        problems.append(f"the object was complete {run.tail:.2f} s after the stop, allowed are {MOST_TAIL}")
    if growth > allowed:
        problems.append(f"memory grew by {growth:.0f} MB, allowed are {allowed:.0f}")
    if size < LEAST_BYTES_PER_HOUR * arguments.hours:
        problems.append(f"the recording has {size / MB:.0f} MB only, its figures are no proof")
    finish(problems, tail_s=run.tail, rss_growth_mb=growth, tail_mb=tail_bytes / MB, parts=float(parts))


if __name__ == "__main__":
    main()
