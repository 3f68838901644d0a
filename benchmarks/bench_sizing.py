"""Measures what a recorder needs of a node, preset by preset, and holds it against what the operator requests.

One after the other, for each preset: a publisher sends camera-like pictures of the preset's own size and frame rate (VP8, sound) through a
real livekit-server, `egress-recorder record` records it into a file. CPU is user + system seconds of the recorder's process tree
per second of recording, after the start and the publisher's ramp-up; "busiest second" is the highest of that stretch. Memory is
that of the tree with shared pages counted once, as a container's account does, before the stop. All in a table of Markdown, the one
of docs/sizing.md.

Where publisher and recorder together want more than the machine has, pictures come late or smaller: the columns "new
pictures" and "received" say so, and the CPU is then a lower bound.

NOT MET: a preset whose requests (as the operator renders them) are below what was measured, or whose memory limit is within
a quarter of it. Figures: CPU and memory of 720p30, and the smallest ratio of request to use of all presets.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import describe_machine, finish, livekit, parser, record_for, recorder, workspace
from livekit import api, rtc
from measured import MeasuredProcess, Memory

from devstack.livekit import LiveKitServer
from devstack.publisher import PublisherProcess
from egress_operator.api import parse_spec
from egress_operator.names import PARTICIPANT_KIND
from egress_operator.resources import of_recorder
from egress_operator.settings import Settings
from egress_operator.units import exact_quantity, parse_quantity
from egress_recorder.contract import PRESETS, Encoding

RAMP_UP = 11.0
"""Seconds from the start of the recorder until both it and the publisher's bandwidth estimate have settled."""
SMALL = "360p (`advanced`)"
LIMIT_MARGIN = 1.25
_OF_PIXELS = ((640 * 360, 600), (1280 * 720, 2000), (1920 * 1080, 3500))
"""kbit/s of the publisher's video at 30 frames per second; half as much again at 60."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table."""

    name: str
    encoding: Encoding

    @property
    def spec(self) -> dict[str, Any]:
        """What a user writes for it."""
        if self.name in PRESETS:
            return {"preset": self.name}
        size = {"width": self.encoding.width, "height": self.encoding.height}
        return {"advanced": {**size, "videoBitrate": self.encoding.video_bitrate}}

    @property
    def arguments(self) -> tuple[str, ...]:
        """The same for `egress-recorder record`."""
        if self.name in PRESETS:
            return ("--preset", self.name)
        width, height, bitrate = self.encoding.width, self.encoding.height, self.encoding.video_bitrate
        return ("--width", str(width), "--height", str(height), "--video-bitrate", str(bitrate))

    @property
    def publisher(self) -> tuple[str, ...]:
        """A camera that delivers what the preset can hold."""
        encoding = self.encoding
        pixels = encoding.width * encoding.height
        bitrate = next(kbps for most, kbps in _OF_PIXELS if pixels <= most)
        if encoding.framerate > 30:
            bitrate = bitrate * 3 // 2
        size = f"{encoding.width}x{encoding.height}"
        return (
            "--content", "camera", "--size", size, "--framerate", str(encoding.framerate), "--bitrate", str(bitrate),
        )  # fmt: skip

    def resources(self) -> tuple[float, float, float]:
        """Return what the operator asks for: cores, MiB requested, MiB allowed."""
        output = {"filepath": "x", "pvc": {"claimName": "x"}}
        body = {"roomName": "x", "identity": "x", "fileOutputs": [output], **self.spec}
        resources = of_recorder(parse_spec(PARTICIPANT_KIND, body), Settings(), {})
        requests, limits = resources["requests"], resources["limits"]
        mib = 1 << 20
        return (
            float(exact_quantity(requests["cpu"])),
            parse_quantity(requests["memory"]) / mib,
            parse_quantity(limits["memory"]) / mib,
        )


@dataclass(frozen=True, slots=True)
class Use:
    """What one case was seen to use."""

    case: Case
    cpu: float
    """Cores, mean."""
    busiest: float
    """Cores, in the busiest second."""
    memory: Memory
    mbit: float
    """Mbit/s of the file."""
    fresh_pct: float
    """Part of the file's pictures that are no repetition of the one before."""
    received: str

    def row(self) -> str:
        """Return the line of the table."""
        cpu, memory, limit = self.case.resources()
        encoding = self.case.encoding
        return (
            f"| {self.case.name} | {encoding.width}x{encoding.height}, {encoding.framerate} | {self.cpu:.2f} | {self.busiest:.2f}"
            f" | {self.memory.once_mb:.0f} MiB | {cpu:g} / {memory:.0f} MiB / {limit:.0f} MiB | {self.mbit:.1f}"
            f" | {self.fresh_pct:.0f} % | {self.received} |"
        )

    def problems(self) -> list[str]:
        """Return where the requests are too small."""
        cpu, memory, limit = self.case.resources()
        found = []
        if cpu < self.cpu:
            found.append(f"{self.case.name}: {cpu:g} cores are requested, {self.cpu:.2f} are used")
        if memory < self.memory.once_mb:
            found.append(
                f"{self.case.name}: {memory:.0f} MiB are requested, {self.memory.once_mb:.0f} are used"
            )
        if limit < LIMIT_MARGIN * self.memory.once_mb:
            found.append(
                f"{self.case.name}: the limit of {limit:.0f} MiB is near to {self.memory.once_mb:.0f} MiB"
            )
        return found

    def margin(self) -> float:
        """Return the smaller of the two ratios of request to use."""
        cpu, memory, _ = self.case.resources()
        return min(cpu / self.cpu, memory / self.memory.once_mb)


TABLE_HEAD = """\
| preset | size, frames/s | CPU, mean | busiest second | memory | requested CPU / memory / limit | file Mbit/s | new pictures | received |
|---|---|---|---|---|---|---|---|---|"""


class PatientPublisher(PublisherProcess):
    """Painting two seconds of 1080p60 before it begins takes the publisher half a minute."""

    def wait(self, event: str, *, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
        """Wait longer than tests do."""
        return super().wait(event, timeout=max(timeout, 180.0), **fields)


def measure(server: LiveKitServer, case: Case, directory: Path, seconds: float) -> Use:
    """Record one case. Raises SystemExit with the recorder's log when it fails."""
    room = f"sizing-{case.encoding.width}-{case.encoding.height}-{case.encoding.framerate}"
    path = directory / f"{case.name.split()[0]}.mp4"
    arguments = (server.url, server.api_key, server.api_secret, room, "alice", case.publisher)
    with PatientPublisher(*arguments):
        process = recorder(server, room, path, *case.arguments)
        memory = record_for(process, RAMP_UP + seconds)
        received = asyncio.run(_received(server, room))
    begin, end = process.started_at + RAMP_UP, process.interrupted_at
    manifest = json.loads(next(directory.glob("EG_*.json")).read_text())
    next(directory.glob("EG_*.json")).unlink()
    progress = manifest["progress"]
    return Use(
        case,
        cpu=(process.cpu_at(end) - process.cpu_at(begin)) / (end - begin),
        busiest=_busiest(process, begin, end),
        memory=memory,
        mbit=path.stat().st_size * 8 / 1e6 / progress["duration"],
        fresh_pct=100 * (1 - progress["framesDuplicated"] / progress["frames"]),
        received=received,
    )


def _busiest(process: MeasuredProcess, begin: float, end: float) -> float:
    steps = int((end - begin - 1) / 0.2)
    return max(
        process.cpu_at(begin + 0.2 * step + 1) - process.cpu_at(begin + 0.2 * step) for step in range(steps)
    )


async def _received(server: LiveKitServer, room_name: str) -> str:
    """Return the size of the pictures that a subscriber gets now: WebRTC sends smaller ones when it cannot keep up."""
    token = (
        api.AccessToken(server.api_key, server.api_secret)
        .with_identity("size")
        .with_grants(api.VideoGrants(room_join=True, room=room_name, hidden=True))
        .to_jwt()
    )
    room = rtc.Room()
    tracks: asyncio.Queue[rtc.Track] = asyncio.Queue()
    room.on("track_subscribed", lambda track, *_: tracks.put_nowait(track))
    await room.connect(server.url, token)
    try:
        async with asyncio.timeout(15):
            while (track := await tracks.get()).kind != rtc.TrackKind.KIND_VIDEO:
                pass
            stream = rtc.VideoStream(track)
            async for event in stream:
                return f"{event.frame.width}x{event.frame.height}"
    except TimeoutError:
        pass
    finally:
        await room.disconnect()
    return "nothing"


def cases(wanted: Sequence[str]) -> list[Case]:
    """Return the lines of the table, all of them or those whose names begin with one of the words."""
    every = [Case(SMALL, Encoding(width=640, height=360, video_bitrate=800))]
    every += [Case(name, encoding) for name, encoding in PRESETS.items()]
    return [case for case in every if not wanted or case.name.startswith(tuple(wanted))]


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=14, help="measured per preset, after 11 s (14)")
    options.add_argument("--only", action="append", metavar="WORD", help="presets whose names begin so")
    arguments: argparse.Namespace = options.parse_args()
    describe_machine()
    used = []
    started = time.monotonic()
    with workspace(arguments.keep) as directory, livekit(directory) as server:
        print(TABLE_HEAD)
        for case in cases(arguments.only or ()):
            used.append(measure(server, case, directory, arguments.seconds))
            print(used[-1].row(), flush=True)
    print(f"measured in {time.monotonic() - started:.0f} s")
    plain = next((use for use in used if use.case.name == "H264_720P_30"), used[0])
    finish(
        [problem for use in used for problem in use.problems()],
        cpu=plain.cpu,
        memory_mib=plain.memory.once_mb,
        request_to_use=min(use.margin() for use in used),
    )


if __name__ == "__main__":
    main()
