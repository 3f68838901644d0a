"""Compares the recorder's CPU and picture with GStreamer at LiveKit Egress' settings, and measures its memory.

What is compared, per codec (VP8 and H264), at 720p30 and the preset H264_720P_30 (3000 kbit/s, AAC 128 kbit/s), MP4:

- A publisher sends camera-like pictures (`devstack/camera.py`: noise and motion, the number in 0.6 % of the picture) at 2 Mbit/s and
  sound through a real livekit-server, all the time, also beside GStreamer: both work on an equally busy machine.
- The stream as the server forwards it is tapped first (a browser's receiver, still encoded) and written to a file.
- In alternation: `egress-recorder record` joins the room and records; GStreamer decodes and encodes the tapped stream in real
  time with LiveKit Egress' elements. The recorder also pays for WebRTC, decryption and jitter buffers; GStreamer does not.
- CPU = user + system seconds of the whole process tree per second of the file: for the recorder from the capture of the first recorded
  picture to the end of the process (finalising included), for GStreamer all but the start of gst-launch.
- PSNR-Y of both files against the pictures before the publisher's encoder, each picture paired with its source by number. The
  publisher's encoder takes its share before: "as received" is the tapped stream itself, hardly exceeded by any recorder.

Figures are the worse codec's: ratio = recorder CPU / GStreamer CPU. rss_mb = RSS of all processes of the recorder,
summed, at the end of the longest recording; the figure with shared pages counted once, and PSS, are printed beside it.
Targets: ratio at most 0.7 at a PSNR not more than 1.5 dB below GStreamer's; RSS at most 180 MB after 10 minutes (--soak).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import av
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
from comparison import MAX_MISSING_PCT, Comparison, Side
from gstreamer import missing_gstreamer, start_cost, transcode
from quality import measure

from devstack import browser_publisher, streamtap
from devstack.livekit import LiveKitServer
from devstack.publisher import PublisherProcess

WIDTH, HEIGHT, FRAMERATE = 1280, 720, 30
BITRATE = 2000
"""kbit/s of the publisher's video."""
RAMP_UP = 12.0
"""Seconds until the publisher's bandwidth estimate lets it send at its bitrate."""
JOIN = 1.5
"""Seconds that a recorder needs before it records."""
MAX_RSS_MB = 180.0
SOAK_SECONDS = 600.0
TAP_ATTEMPTS = 3


def record_round(
    server: LiveKitServer, room: str, source: PublisherProcess, path: Path, seconds: float, side: Side
) -> None:
    """Let the recorder record once."""
    process = recorder(server, room, path)
    memory = record_for(process, JOIN + seconds)
    result = measure(path, WIDTH, HEIGHT, FRAMERATE)
    first_picture = source.start + result.first_number / FRAMERATE
    side.memory = max(side.memory, memory, key=lambda item: item.rss_mb)
    side.add(path, process.total_cpu - process.cpu_at(first_picture), result)


def gstreamer_round(tapped: Path, codec: str, path: Path, side: Side, own_start: float) -> None:
    """Let GStreamer transcode once."""
    process = transcode(tapped, codec, path)
    process.start()
    try:
        code = process.wait()
    finally:
        process.kill()
    if code != 0:
        sys.exit(f"GStreamer ended with exit code {code}:\n{process.log_tail()}")
    side.add(path, process.total_cpu - own_start, measure(path, WIDTH, HEIGHT, FRAMERATE))


def tap(server: LiveKitServer, room: str, codec: str, path: Path, seconds: float) -> Path:
    """Write the stream as the server forwards it; again when the browser, short of CPU, lost a part of it."""
    for _ in range(TAP_ATTEMPTS):
        frames = streamtap.record(server, room, "alice", seconds=seconds)
        duration = streamtap.write_matroska(path, frames, codec)
        sent = sum(len(frame.data) for frame in frames["video"]) * 8 / 1000 / duration
        try:
            received = measure(path, WIDTH, HEIGHT, FRAMERATE)
        except (av.FFmpegError, ValueError) as error:
            print(f"{codec}: the tapped stream is damaged ({error}), tapping again", flush=True)
            continue
        print(
            f"{codec}: tapped {duration:.1f} s, {len(frames['video'])} frames, {sent:.0f} kbit/s; as received"
            f" PSNR-Y {received.psnr:.2f} dB, {received.missing_pct:.2f} % missing",
            flush=True,
        )
        if received.missing_pct <= MAX_MISSING_PCT:
            return path
    sys.exit(f"{codec}: no undamaged stream in {TAP_ATTEMPTS} attempts: repeat on an idle machine")


def compare(server: LiveKitServer, codec: str, directory: Path, arguments: argparse.Namespace) -> Comparison:
    """Measure both with one codec."""
    ours, baseline = Side("recorder"), Side("GStreamer")
    room, seconds = f"bench-{codec}", arguments.seconds / arguments.rounds
    own_start = start_cost()
    content = ("--content", "camera", "--codec", codec, "--bitrate", str(arguments.bitrate))
    with publisher(server, room, *content) as source:
        time.sleep(RAMP_UP)
        tapped = tap(server, room, codec, directory / f"{codec}-tapped.mkv", seconds)
        for number in range(1, arguments.rounds + 1):
            record_round(server, room, source, directory / f"{codec}-recorder-{number}.mp4", seconds, ours)
            gstreamer_round(tapped, codec, directory / f"{codec}-gstreamer-{number}.mp4", baseline, own_start)
    result = Comparison(codec, ours, baseline)
    print(result.summary(), flush=True)
    return result


def soak(server: LiveKitServer, directory: Path, seconds: float) -> float:
    """Record for ten minutes; return the RSS at the end in MB."""
    path = directory / "soak.mp4"
    with publisher(server, "soak", "--content", "camera", "--bitrate", str(BITRATE)):
        process = recorder(server, "soak", path)
        memory = record_for(process, seconds)
    begin = process.started_at
    for minute in range(1, int(seconds / 60) + 1):
        nearest = min(process.samples, key=lambda sample: abs(sample.at - begin - 60 * minute))
        print(f"soak: minute {minute}: RSS {nearest.rss_mb:.0f} MB")
    print(f"soak: after {seconds:.0f} s {memory}, file {path.stat().st_size / 1e6:.0f} MB")
    return memory.rss_mb


def check_tools() -> None:
    """Exit with a sentence when something is not installed."""
    reasons = [reason for reason in (missing_gstreamer(), browser_publisher.unavailable()) if reason]
    if reasons:
        sys.exit("\n".join((*reasons, "The browser taps the stream: apt-get install chromium npm")))


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=60, help="recorded per codec and contestant (60)")
    options.add_argument("--rounds", type=int, default=2, help="alternations these are divided into (2)")
    options.add_argument("--codec", action="append", choices=("vp8", "h264"), help="default: both")
    options.add_argument(
        "--bitrate", type=int, default=BITRATE, help="of the publisher's video, kbit/s (2000)"
    )
    options.add_argument("--soak", action="store_true", help="measure RSS after 10 minutes as well")
    options.add_argument("--soak-seconds", type=float, default=SOAK_SECONDS)
    arguments = options.parse_args()
    check_tools()
    describe_machine()
    with workspace(arguments.keep) as directory, livekit(directory) as server:
        results = [
            compare(server, codec, directory, arguments) for codec in arguments.codec or ("vp8", "h264")
        ]
        rss = max(result.ours.memory.rss_mb for result in results)
        if arguments.soak:
            rss = soak(server, directory, arguments.soak_seconds)
    problems = [problem for result in results for problem in result.problems()]
    if rss > MAX_RSS_MB:
        problems.append(f"the recorder holds {rss:.0f} MB, allowed are {MAX_RSS_MB:.0f} MB")
    finish(
        problems,
        ratio=max(result.ratio for result in results),
        cpu=max(result.ours.cpu for result in results),
        rss_mb=rss,
    )


if __name__ == "__main__":
    main()
