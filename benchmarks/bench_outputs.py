"""Measures what more outputs of one capture cost, and what a recording of sound alone costs beyond its reception.

A publisher sends camera-like 720p30 and sound through a real livekit-server all the time. In alternation, for some seconds
each, `egress-recorder run` as in a pod, into a volume:

- mp4: one MP4; every_kind: the same with HLS (4 s), a stream to a real nginx-rtmp and an image in the size of the source every
  10 s (LiveKit's default) beside it; three: the MP4 with MP3 and OGG beside it. Each is one capture and one encoding of the
  pictures;
- ogg: an OGG alone, which does not receive the camera, and `benchmarks/reception.py`, which receives the same sound and
  throws it away.

CPU = user + system seconds of the recorder's whole process tree (the stream's own process too, not nginx) per second, from
some seconds after its start (libraries, encoders and the join are left out). Figures: ratio = every_kind / mp4, files_ratio =
three / mp4, to the end of the processes (finalising and storing included); audio_cpu = ogg less reception, while recording,
CPU seconds per second; medians of the rounds. Targets: ratio at most 1.15, audio_cpu at most 0.03.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import describe_machine, finish, livekit, parser, publisher, record_for, workspace
from measured import ROOT, MeasuredProcess
from pod_recorder import EGRESS_ID, VOLUME, PodRecorder

from devstack.livekit import LiveKitServer
from devstack.streamservers import MISSING_RTMP, RtmpReceiver, free_port, has_rtmp
from egress_recorder.supervisor.request import Server

RAMP_UP = 10.0
"""Seconds until the publisher sends at its bitrate."""
SETTLE = 10.0
"""Seconds after the start of a process that are not counted; with five endless loops beside it on two cores a start takes 4.5."""
MOST_RATIO, MOST_AUDIO_CPU = 1.15, 0.03
CONTESTANTS = ("mp4", "every_kind", "three", "ogg", "reception")
ROOM, IDENTITY = "bench-outputs", "alice"
SEGMENT_SECONDS = 4
HLS = {
    "playlist": "hls/all.m3u8",
    "livePlaylist": "hls/live.m3u8",
    "prefix": "hls/seg",
    "duration": SEGMENT_SECONDS,
}
IMAGE_SECONDS = 10
IMAGES = {"prefix": "stills/a", "interval": IMAGE_SECONDS}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The outputs of one recording."""

    files: Sequence[str] = (".mp4",)
    segments: bool = False
    images: bool = False
    stream: str = ""
    """URL of a stream."""

    def config(self) -> Mapping[str, Any]:
        """Return the fields of the recorder's configuration."""
        types = {".mp4": "MP4", ".mp3": "MP3", ".ogg": "OGG"}
        files = [
            {"filepath": f"a{extension}", "fileType": types[extension], "destination": VOLUME}
            for extension in self.files
        ]
        segments = [{**HLS, "destination": VOLUME}] if self.segments else []
        images = [{**IMAGES, "destination": VOLUME}] if self.images else []
        return {"outputs": files, "segments": segments, "images": images, "streaming": bool(self.stream)}


class Recording:
    """One contestant's turn."""

    def __init__(self, server: LiveKitServer, directory: Path, wanted: Wanted) -> None:
        keys = Server(url=server.url, api_key=server.api_key, api_secret=server.api_secret)
        self._wanted = wanted
        self._pod = PodRecorder(
            directory,
            {
                "url": server.url,
                "roomName": ROOM,
                "source": {"kind": "participant", "identity": IDENTITY},
                **wanted.config(),
            },
            token=keys.token(room=ROOM, identity=EGRESS_ID),
            streams=[{"key": "bench", "protocol": "rtmp", "url": wanted.stream}] if wanted.stream else [],
        )
        self.process = self._pod.process()

    def run(self, seconds: float) -> str:
        """Record; return its memory before the stop. Exits when an output has not what it should have."""
        memory = record_for(self.process, seconds, stop=self._pod.stop)
        result = self._pod.result()
        recorded = result.parts[0].duration
        stored = sum(one.segment_count for one in result.segment_results)
        problems = [one.error for one in result.stream_results if one.error or one.retries]
        if self._wanted.segments and stored < int(recorded / SEGMENT_SECONDS):
            problems.append(f"{stored} segments of {recorded:.1f} s")
        pictures = sum(one.image_count for one in result.image_results)
        if self._wanted.images and pictures < max(1, int(recorded / IMAGE_SECONDS)):
            problems.append(f"{pictures} images of {recorded:.1f} s")
        if problems or not all((self._pod.volume / f"a{one}").exists() for one in self._wanted.files):
            sys.exit(f"an output is not as it should be {problems}:\n{self.process.log_tail()}")
        return str(memory)


class Reception:
    """A process that only receives the sound."""

    def __init__(self, server: LiveKitServer, directory: Path) -> None:
        keys = Server(url=server.url, api_key=server.api_key, api_secret=server.api_secret)
        directory.mkdir(parents=True)
        self.process = MeasuredProcess(
            command=[sys.executable, str(ROOT / "benchmarks" / "reception.py"), IDENTITY],
            environment={
                "LIVEKIT_URL": server.url,
                "LIVEKIT_TOKEN": keys.token(room=ROOM, identity="listener"),
            },
            log=directory / "reception.log",
        )

    def run(self, seconds: float) -> str:
        """Receive; return the memory before the end."""
        return str(record_for(self.process, seconds))


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds per second after a process has settled."""

    steady: float
    """While it runs."""
    whole: float
    """To its end."""


def cost(name: str, turn: Recording | Reception, seconds: float) -> Cost:
    """Run it; return what it costs, and print that with its memory."""
    memory = turn.run(SETTLE + seconds)
    process = turn.process
    begin, end = process.started_at + SETTLE, process.interrupted_at
    before = process.cpu_at(begin)
    used = [(cpu - before) / (end - begin) for cpu in (process.cpu_at(end), process.total_cpu)]
    print(f"{name}: {used[0]:.4f} CPU s/s, {used[1]:.4f} with its end, {memory}", flush=True)
    return Cost(*used)


def receiver(directory: Path) -> RtmpReceiver | None:
    """Return a started nginx, None where it is not installed."""
    if not has_rtmp():
        return None
    directory.mkdir(parents=True, exist_ok=True)
    nginx = RtmpReceiver(directory, free_port())
    nginx.start()
    return nginx


def measure(
    directory: Path, names: Sequence[str], *, rounds: int, seconds: float, nginx: RtmpReceiver | None
) -> dict[str, list[Cost]]:
    """Let the contestants of these names run in turns."""
    costs: dict[str, list[Cost]] = {}
    stream = nginx.url("bench") if nginx else ""
    with livekit(directory) as server, publisher(server, ROOM, "--content", "camera", "--bitrate", "2000"):
        contestants: dict[str, Callable[[Path], Recording | Reception]] = {
            "mp4": lambda turn: Recording(server, turn, Wanted()),
            "every_kind": lambda turn: Recording(
                server, turn, Wanted(segments=True, images=True, stream=stream)
            ),
            "three": lambda turn: Recording(server, turn, Wanted((".mp4", ".mp3", ".ogg"))),
            "ogg": lambda turn: Recording(server, turn, Wanted((".ogg",))),
            "reception": lambda turn: Reception(server, turn),
        }
        time.sleep(RAMP_UP)
        for number in range(1, rounds + 1):
            for name in names:
                turn = f"{name}-{number}"
                costs.setdefault(name, []).append(cost(turn, contestants[name](directory / turn), seconds))
    return costs


def figures(costs: Mapping[str, Sequence[Cost]]) -> tuple[dict[str, float], list[str]]:
    """Return what the medians of those that ran say, and which targets are missed."""
    steady = {name: statistics.median(one.steady for one in values) for name, values in costs.items()}
    whole = {name: statistics.median(one.whole for one in values) for name, values in costs.items()}
    print(", ".join(f"{name} {value:.4f}" for name, value in steady.items()) + " CPU s/s while recording")
    found, missed = {}, []
    if {"mp4", "every_kind"} <= whole.keys():
        ratio = found["ratio"] = whole["every_kind"] / whole["mp4"]
        if ratio > MOST_RATIO:
            missed.append(
                f"MP4, HLS, a stream and images cost {ratio:.3f} of the MP4, allowed are {MOST_RATIO}"
            )
    if {"mp4", "three"} <= whole.keys():
        found["files_ratio"] = whole["three"] / whole["mp4"]
    if "mp4" in whole:
        found["mp4_cpu"] = whole["mp4"]
    if {"ogg", "reception"} <= steady.keys():
        audio = found["audio_cpu"] = steady["ogg"] - steady["reception"]
        if audio > MOST_AUDIO_CPU:
            missed.append(
                f"sound alone costs {audio:.4f} CPU s/s beyond reception, allowed are {MOST_AUDIO_CPU}"
            )
    return found, missed


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=20, help="counted per process and round (20)")
    options.add_argument("--rounds", type=int, default=3, help="alternations (3)")
    options.add_argument(
        "--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS, help="leave out the others"
    )
    arguments = options.parse_args()
    describe_machine()
    problems = []
    streams = "every_kind" in arguments.only
    with workspace(arguments.keep) as directory:
        nginx = receiver(directory / "rtmp") if streams else None
        try:
            costs = measure(
                directory, arguments.only, rounds=arguments.rounds, seconds=arguments.seconds, nginx=nginx
            )
            if streams and nginx is None:
                problems.append(f"the stream is left out: {MISSING_RTMP}")
            elif nginx is not None and len(nginx.recordings()) < arguments.rounds:
                problems.append(f"nginx has {len(nginx.recordings())} streams of {arguments.rounds}")
        finally:
            if nginx is not None:
                nginx.kill()
    found, missed = figures(costs)
    finish([*problems, *missed], **found)


if __name__ == "__main__":
    main()
