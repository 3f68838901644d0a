"""Compares the recorder's CPU and picture with GStreamer at LiveKit Egress' settings, and measures its memory.

What is compared, per codec (VP8 and H264), at 720p30 and the preset H264_720P_30 (3000 kbit/s, AAC 128 kbit/s), MP4:

- A publisher sends camera-like pictures (`devstack/camera.py`: noise and motion, the number in 0.6 % of the picture) at 2 Mbit/s and
  sound through a real livekit-server, all the time, also beside GStreamer: both work on an equally busy machine.
- The stream as the server forwards it is tapped first (a browser's receiver, still encoded) and written to a file.
- In alternation: `egress-recorder record` joins the room and records; GStreamer decodes and encodes the tapped stream in real
  time with LiveKit Egress' elements. The recorder also pays for WebRTC, decryption and jitter buffers; GStreamer does not.
- CPU = user + system seconds of the whole process tree per second of the file: for the recorder from the capture of the first recorded
  picture to the end of the process (finalising included), for GStreamer all but the start of gst-launch.
- PSNR-Y of both files against the pictures before the publisher's encoder, each picture paired with its source by number.

Figures are the worse codec's: ratio = recorder CPU / GStreamer CPU. rss_mb = resident memory of all processes of the recorder,
summed (shared pages counted in each), at the end of the longest recording; PSS is printed beside it.
Targets: ratio at most 0.7 at a PSNR not more than 1.5 dB below GStreamer's; RSS at most 180 MB after 10 minutes (--soak).
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import gstreamer
import quality
from common import (
    MeasuredProcess,
    describe_machine,
    finish,
    livekit,
    parser,
    publisher,
    record_for,
    recorder,
    workspace,
)

from devstack import browser_publisher, streamtap
from devstack.livekit import LiveKitServer
from devstack.publisher import PublisherProcess

WIDTH, HEIGHT, FRAMERATE = 1280, 720, 30
BITRATE = 2000
"""kbit/s of the publisher's video."""
RAMP_UP = 12.0
"""Seconds until the publisher's bandwidth estimate lets it send at its bitrate."""
MAX_RATIO, MAX_PSNR_LOSS, MAX_RSS_MB, MAX_MISSING_PCT = 0.7, 1.5, 180.0, 3.0
SOAK_SECONDS = 600.0


@dataclass
class Side:
    """The results of one contestant with one codec."""

    name: str
    cpu_seconds: float = 0.0
    media_seconds: float = 0.0
    rss_mb: float = 0.0
    pss_mb: float = 0.0
    qualities: list[quality.Quality] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        """CPU seconds per second of the file."""
        return self.cpu_seconds / self.media_seconds

    @property
    def psnr(self) -> float:
        """Mean of the rounds, dB."""
        return sum(item.psnr for item in self.qualities) / len(self.qualities)

    @property
    def missing_pct(self) -> float:
        """Mean of the rounds."""
        return sum(item.missing_pct for item in self.qualities) / len(self.qualities)

    def add(self, path: Path, cpu_seconds: float, result: quality.Quality) -> None:
        """Add one round."""
        self.qualities.append(result)
        self.cpu_seconds += cpu_seconds
        self.media_seconds += result.duration
        print(
            f"  {self.name:9} {path.stem}: {cpu_seconds / result.duration:.3f} CPU s/s, PSNR-Y {result.psnr:.2f} dB,"
            f" {result.duration:.1f} s, {result.kbps:.0f} kbit/s, {result.missing_pct:.2f} % missing",
            flush=True,
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both contestants with one codec."""

    codec: str
    ours: Side
    baseline: Side

    @property
    def ratio(self) -> float:
        """Recorder's CPU over GStreamer's."""
        return self.ours.cpu / self.baseline.cpu

    def summary(self) -> str:
        """One line for people."""
        return (
            f"{self.codec}: recorder {self.ours.cpu:.3f} CPU s/s, GStreamer {self.baseline.cpu:.3f}, ratio {self.ratio:.2f};"
            f" PSNR-Y {self.ours.psnr:.2f} and {self.baseline.psnr:.2f} dB ({self.ours.psnr - self.baseline.psnr:+.2f});"
            f" RSS {self.ours.rss_mb:.0f} MB, PSS {self.ours.pss_mb:.0f} MB"
        )

    def problems(self) -> list[str]:
        """Return which targets are not met."""
        found = []
        if self.ratio > MAX_RATIO:
            found.append(
                f"{self.codec}: the CPU ratio to GStreamer is {self.ratio:.2f}, allowed is {MAX_RATIO}"
            )
        if self.ours.psnr < self.baseline.psnr - MAX_PSNR_LOSS:
            loss = self.baseline.psnr - self.ours.psnr
            found.append(
                f"{self.codec}: PSNR is {loss:.2f} dB below GStreamer's, allowed are {MAX_PSNR_LOSS} dB"
            )
        found.extend(
            f"{self.codec}: {side.missing_pct:.1f} % of the frames are missing at {side.name}, which flatters its CPU figure:"
            " repeat on an idle machine"
            for side in (self.ours, self.baseline)
            if side.missing_pct > MAX_MISSING_PCT
        )
        return found


def record_round(
    server: LiveKitServer, room: str, source: PublisherProcess, path: Path, seconds: float, side: Side
) -> None:
    """Let the recorder record once."""
    process = recorder(server, room, path)
    memory = _MemoryAtEnd(process)
    record_for(process, seconds, before_stop=memory)
    result = quality.measure(path, WIDTH, HEIGHT, FRAMERATE)
    first_picture = source.start + result.first_number / FRAMERATE
    side.rss_mb, side.pss_mb = max((side.rss_mb, side.pss_mb), memory.result)
    side.add(path, process.total_cpu - process.cpu_at(first_picture), result)


class _MemoryAtEnd:
    """Reads the memory just before the stop."""

    def __init__(self, process: MeasuredProcess) -> None:
        self._process = process
        self.result = (0.0, 0.0)

    def __call__(self) -> None:
        self.result = self._process.memory_mb()


def gstreamer_round(tapped: Path, codec: str, path: Path, side: Side, start_cost: float) -> None:
    """Let GStreamer transcode once."""
    process = gstreamer.transcode(tapped, codec, path)
    process.start()
    try:
        code = process.wait()
    finally:
        process.kill()
    if code != 0:
        sys.exit(f"GStreamer ended with exit code {code}:\n{process.log_tail()}")
    side.add(path, process.total_cpu - start_cost, quality.measure(path, WIDTH, HEIGHT, FRAMERATE))


def compare(server: LiveKitServer, codec: str, directory: Path, arguments: argparse.Namespace) -> Comparison:
    """Measure both with one codec."""
    ours, baseline = Side("recorder"), Side("GStreamer")
    room, seconds = f"bench-{codec}", arguments.seconds / arguments.rounds
    start_cost = gstreamer.start_cost()
    content = ("--content", "camera", "--codec", codec, "--bitrate", str(BITRATE))
    with publisher(server, room, *content) as source:
        time.sleep(RAMP_UP)
        frames = streamtap.record(server, room, "alice", seconds=seconds)
        tapped = directory / f"{codec}-tapped.mkv"
        duration = streamtap.write_matroska(tapped, frames, codec)
        sent = sum(len(frame.data) for frame in frames["video"]) * 8 / 1000 / duration
        print(
            f"{codec}: tapped {duration:.1f} s, {len(frames['video'])} frames, {sent:.0f} kbit/s", flush=True
        )
        for number in range(1, arguments.rounds + 1):
            record_round(server, room, source, directory / f"{codec}-recorder-{number}.mp4", seconds, ours)
            gstreamer_round(
                tapped, codec, directory / f"{codec}-gstreamer-{number}.mp4", baseline, start_cost
            )
    result = Comparison(codec, ours, baseline)
    print(result.summary(), flush=True)
    return result


def soak(server: LiveKitServer, directory: Path, seconds: float) -> float:
    """Record for ten minutes; return the RSS at the end in MB."""
    path = directory / "soak.mp4"
    with publisher(server, "soak", "--content", "camera", "--bitrate", str(BITRATE)):
        process = recorder(server, "soak", path)
        memory = _MemoryAtEnd(process)
        record_for(process, seconds, before_stop=memory)
    begin = process.started_at
    for minute in range(1, int(seconds / 60) + 1):
        nearest = min(process.samples, key=lambda sample: abs(sample.at - begin - 60 * minute))
        print(f"soak: minute {minute}: RSS {nearest.rss_mb:.0f} MB")
    rss, pss = memory.result
    print(
        f"soak: after {seconds:.0f} s RSS {rss:.0f} MB, PSS {pss:.0f} MB, file {path.stat().st_size / 1e6:.0f} MB"
    )
    return rss


def check_tools() -> None:
    """Exit with a sentence when something is not installed."""
    reasons = [reason for reason in (gstreamer.missing(), browser_publisher.unavailable()) if reason]
    if reasons:
        sys.exit("\n".join((*reasons, "The browser taps the stream: apt-get install chromium npm")))


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=60, help="recorded per codec and contestant (60)")
    options.add_argument("--rounds", type=int, default=2, help="alternations these are divided into (2)")
    options.add_argument("--codec", action="append", choices=("vp8", "h264"), help="default: both")
    options.add_argument("--soak", action="store_true", help="measure RSS after 10 minutes as well")
    options.add_argument("--soak-seconds", type=float, default=SOAK_SECONDS)
    arguments = options.parse_args()
    check_tools()
    describe_machine()
    with workspace(arguments.keep) as directory, livekit(directory) as server:
        results = [
            compare(server, codec, directory, arguments) for codec in arguments.codec or ("vp8", "h264")
        ]
        rss = max(result.ours.rss_mb for result in results)
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
