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
The server on the same two cores copies all parts into one file at the end, which S3 does not; that time is in tail_s.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
from common import describe_machine, finish, parser, workspace
from measured import ROOT, MeasuredProcess
from pod_recorder import EGRESS_ID, PodRecorder
from upload_loop import LOOP_SECONDS, make_loop

from devstack.s3 import S3Server
from egress_recorder.contract import Manifest, RecorderStatus
from egress_recorder.media.values import MediaSpec
from egress_recorder.partplan import MAX_PARTS

SPEC = MediaSpec(width=1280, height=720, framerate=30, video_bitrate=2200, audio_bitrate=128)
MOST_TAIL, MEMORY, MEMORY_PER_HOUR = 3.0, 40.0, 25.0
"""Seconds; MB; MB."""
LEAST_BYTES_PER_HOUR = 1_000_000_000
KEY = "bench/recording.mp4"
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the upload that the server has answered."""

    part: int
    """0: it completes the upload."""
    size: int


class AccessLog:
    """What the S3 server says of the object's upload; each look returns what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def look(self) -> list[Request]:
        """Return the successful PUTs of parts and the completion since the last look."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._position += len(whole)
        lines = (line.split() for line in whole.decode().splitlines())
        return [request for words in lines if (request := _request(words)) is not None]


def _request(words: list[str]) -> Request | None:
    """Return what a line tells; fields by their places in S3's format, the time takes two words."""
    if len(words) < 15 or words[8] != KEY or words[10] != "200" or "uploadId=" not in words[9]:
        return None
    query = dict(pair.partition("=")[::2] for pair in words[9].partition("?")[2].split("&"))
    if "partNumber" in query:
        return Request(int(query["partNumber"]), int(words[13]))
    return Request(0, 0) if "CompleteMultipartUpload" in words[7] else None


@dataclass(slots=True)
class Run:
    """What one recording came to."""

    tail: float = 0.0
    last_part: float = 0.0
    """Seconds from the stop until the server had the last part."""
    tail_bytes: int = 0
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
    recorder: PodRecorder, process: MeasuredProcess, log: AccessLog, *, seconds: float, local: Path
) -> Run:
    """Record until there are `seconds` of media, stop, wait for the object and for the recorder's end."""
    run, told, started = Run(), time.monotonic(), 0.0
    status = recorder.status(process)
    while status.progress.duration < seconds:
        time.sleep(0.3)
        status = recorder.status(process)
        if status.started_at and not started:
            started = status.started_at.timestamp()
            # The recorder removes its file when it is uploaded.
            os.link(next(recorder.scratch.glob("part-*/media.mp4")), local)
        run.requests += len(log.look())
        if time.monotonic() > told + 10:
            told = time.monotonic()
            print(_line(status, process), flush=True)
    print(_line(status, process), flush=True)
    stopped = time.monotonic()
    recorder.stop()
    run.waiting = status.progress.bytes_written - status.progress.bytes_uploaded
    while not run.tail and process.running and time.monotonic() < stopped + 120:
        for request in log.look():
            passed = time.monotonic() - stopped
            run.requests += 1
            run.tail_bytes += request.size
            if request.part:
                run.last_part = passed
            else:
                run.tail = passed
        time.sleep(0.01)
    code = process.wait()
    run.ended = time.monotonic() - stopped
    if code != 0 or not run.tail:
        sys.exit(
            f"the recorder ended with exit code {code}, the upload was not completed:\n{process.log_tail()}"
        )
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


def check(server: S3Server, local: Path, *, run: Run, directory: Path) -> tuple[list[str], int]:
    """Compare the object with the local file and read it to its end; return problems and the number of parts."""
    problems: list[str] = []
    head = server.client().head_object(Bucket=server.bucket, Key=KEY)
    parts = int(head["ETag"].strip('"').partition("-")[2])
    copy = server.download(KEY, directory / "object.mp4")
    manifest = Manifest.parse(server.read(f"bench/{EGRESS_ID}.json"))
    hashes = {_sha256(copy), _sha256(local), manifest.media[0].sha256}
    sizes = {head["ContentLength"], local.stat().st_size, manifest.parts[0].size}
    print(
        f"object: {head['ContentLength']} bytes in {parts} parts, SHA-256 {' / '.join(sorted(hashes))}",
        flush=True,
    )
    if len(hashes) != 1 or len(sizes) != 1:
        problems.append(f"object, local file and manifest differ: sizes {sizes}, hashes {hashes}")
    problems += _media_problems(copy, run.frames)
    left = server.client().list_multipart_uploads(Bucket=server.bucket).get("Uploads", ())
    if left:
        problems.append(f"{len(left)} uploads were left")
    if parts >= MAX_PARTS:
        problems.append(f"the object has {parts} parts, fewer than {MAX_PARTS} are allowed")
    return problems, parts


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _media_problems(path: Path, frames: int) -> list[str]:
    """Read all packets of the file and decode its last loop."""
    times: dict[str, list[float]] = {"video": [], "audio": []}
    with av.open(str(path)) as file:
        for packet in file.demux():
            if packet.dts is not None:
                times[packet.stream.type].append(float(packet.dts * packet.time_base))
    pictures, sound = times["video"], times["audio"]
    end = pictures[-1]
    with av.open(str(path)) as file:
        file.seek(int((end - LOOP_SECONDS) * av.time_base))
        last = [frame.time for frame in file.decode(video=0)]
    print(
        f"media: {len(pictures)} frames, {len(sound)} sound packets, {len(last)} last frames decode, end {end:.2f} s"
    )
    problems = []
    if len(pictures) != frames:
        problems.append(f"the object has {len(pictures)} frames, written were {frames}")
    for kind, step in (("video", 1 / SPEC.framerate), ("audio", 1024 / 48_000)):
        wrong = sum(abs(after - before - step) > 1e-3 for before, after in pairwise(times[kind]))
        if wrong:
            problems.append(f"{wrong} steps between {kind} packets are not {step:.4f} s")
    if abs(sound[-1] - end) > 0.1 or len(last) < LOOP_SECONDS * SPEC.framerate or abs(last[-1] - end) > 1e-3:
        problems.append(
            f"the end at {end:.2f} s does not decode: {len(last)} frames, sound until {sound[-1]:.2f} s"
        )
    return problems


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
    with workspace(arguments.keep) as directory:
        loop, local, access_log = (directory / name for name in ("loop.pickle", "local.mp4", "access.log"))
        for path in (local, access_log):
            path.unlink(missing_ok=True)
        make_loop(SPEC, loop)
        server = S3Server(directory / "s3", progress=lambda _: None, access_log=access_log)
        server.start()
        try:
            recorder = into(server, directory)
            script = str(ROOT / "benchmarks" / "fed_process.py")
            process = recorder.process(
                [sys.executable, script, str(loop), str(arguments.speed), str(seconds)]
            )
            process.start()
            try:
                run = record(recorder, process, AccessLog(access_log), seconds=seconds, local=local)
            finally:
                process.kill()
            problems, parts = check(server, local, run=run, directory=directory)
            size = local.stat().st_size
        finally:
            server.stop()
    growth, allowed = run.peak - run.idle, MEMORY + MEMORY_PER_HOUR * arguments.hours
    print(
        f"at the stop {run.waiting / MB:.1f} MB waited; after it {run.tail_bytes / MB:.1f} MB were stored, the last part"
        f" {run.last_part:.2f} s and the object {run.tail:.2f} s after the stop, the recorder's end {run.ended:.2f} s after it;"
        f" {run.requests} requests of the upload; RSS idle {run.idle:.0f} MB, at most {run.peak:.0f} MB"
    )
    if run.tail > MOST_TAIL:
        problems.append(f"the object was complete {run.tail:.2f} s after the stop, allowed are {MOST_TAIL}")
    if growth > allowed:
        problems.append(f"memory grew by {growth:.0f} MB, allowed are {allowed:.0f}")
    if size < LEAST_BYTES_PER_HOUR * arguments.hours:
        problems.append(f"the recording has {size / MB:.0f} MB only, its figures are no proof")
    finish(problems, tail_s=run.tail, rss_growth_mb=growth, tail_mb=run.tail_bytes / MB, parts=float(parts))


if __name__ == "__main__":
    main()
