"""Measures what more outputs of one capture cost, and what a recording of sound alone costs beyond its reception.

A publisher sends camera-like 720p30 and sound through a real livekit-server all the time. In alternation, for some seconds each:

- `egress-recorder record -o a.mp4`, and the same with `-o a.mp3 -o a.ogg` beside it: one capture, one encoding of the pictures,
  three of the sound;
- `egress-recorder record -o a.ogg`, which does not receive the camera, and `benchmarks/reception.py`, which receives the same
  sound and throws it away.

CPU = user + system seconds of the whole process tree per second, from some seconds after its start (libraries, encoders and the
join are left out). Figures: ratio = three files / one, to the end of the processes (finalising and storing included), medians
of the rounds; audio_cpu = OGG less reception, while recording, CPU seconds per second. Target: audio_cpu at most 0.03.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import describe_machine, finish, livekit, parser, publisher, record_for, recorder, workspace
from measured import ROOT, MeasuredProcess

from devstack.livekit import LiveKitServer
from egress_recorder.supervisor.request import Server

RAMP_UP = 10.0
"""Seconds until the publisher sends at its bitrate."""
SETTLE = 5.0
"""Seconds after the start of a process that are not counted."""
MOST_AUDIO_CPU = 0.03
ROOM, IDENTITY = "bench-outputs", "alice"


def recording(server: LiveKitServer, directory: Path, name: str, *extensions: str) -> MeasuredProcess:
    """Return a recorder into one file per extension."""
    paths = [directory / f"{name}{extension}" for extension in extensions]
    for path in paths:
        path.unlink(missing_ok=True)
    more = [word for path in paths[1:] for word in ("-o", str(path))]
    return recorder(server, ROOM, paths[0], *more)


def receiving(server: LiveKitServer, directory: Path, name: str) -> MeasuredProcess:
    """Return a process that only receives the sound."""
    keys = Server(url=server.url, api_key=server.api_key, api_secret=server.api_secret)
    return MeasuredProcess(
        command=[sys.executable, str(ROOT / "benchmarks" / "reception.py"), IDENTITY],
        environment={"LIVEKIT_URL": server.url, "LIVEKIT_TOKEN": keys.token(room=ROOM, identity=name)},
        log=directory / f"{name}.log",
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds per second after a process has settled."""

    steady: float
    """While it runs."""
    whole: float
    """To its end."""


def cost(process: MeasuredProcess, seconds: float) -> Cost:
    """Run it; return what it costs, and print that with its memory."""
    memory = record_for(process, SETTLE + seconds)
    begin, end = process.started_at + SETTLE, process.interrupted_at
    before = process.cpu_at(begin)
    used = [(cpu - before) / (end - begin) for cpu in (process.cpu_at(end), process.total_cpu)]
    name = process.log.stem if process.log else ""
    print(f"{name}: {used[0]:.4f} CPU s/s, {used[1]:.4f} with its end, {memory}", flush=True)
    return Cost(*used)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=20, help="counted per process and round (20)")
    options.add_argument("--rounds", type=int, default=3, help="alternations (3)")
    arguments = options.parse_args()
    describe_machine()
    costs: dict[str, list[Cost]] = {}
    with workspace(arguments.keep) as directory, livekit(directory) as server:
        contestants: dict[str, Callable[[str], MeasuredProcess]] = {
            "mp4": lambda name: recording(server, directory, name, ".mp4"),
            "three": lambda name: recording(server, directory, name, ".mp4", ".mp3", ".ogg"),
            "ogg": lambda name: recording(server, directory, name, ".ogg"),
            "reception": lambda name: receiving(server, directory, name),
        }
        with publisher(server, ROOM, "--content", "camera", "--bitrate", "2000"):
            time.sleep(RAMP_UP)
            for number in range(1, arguments.rounds + 1):
                for name, make in contestants.items():
                    costs.setdefault(name, []).append(cost(make(f"{name}-{number}"), arguments.seconds))
    steady = {name: statistics.median(one.steady for one in values) for name, values in costs.items()}
    whole = {name: statistics.median(one.whole for one in values) for name, values in costs.items()}
    audio = steady["ogg"] - steady["reception"]
    print(", ".join(f"{name} {value:.4f}" for name, value in steady.items()) + " CPU s/s while recording")
    problems = []
    if audio > MOST_AUDIO_CPU:
        problems.append(
            f"sound alone costs {audio:.4f} CPU s/s beyond reception, allowed are {MOST_AUDIO_CPU}"
        )
    finish(problems, ratio=whole["three"] / whole["mp4"], mp4_cpu=whole["mp4"], audio_cpu=audio)


if __name__ == "__main__":
    main()
