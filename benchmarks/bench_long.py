"""Measures a recording of 12 hours with `limits.maxFileDuration` 6 h, in some minutes.

The whole supervisor runs, and in its capture process timeline, mixer, encoders, muxers and session (`long_capture.py`); only the room is
missing, and the clock goes on as fast as they work. Every small picture shows its number, every tenth second begins with a beep.

Then both files are decoded whole. Figures: files; frames missing and twice over both files; drift_ms = the largest distance of a beep
from its place, the files' times joined by nothing but their lengths; length_ms = by how much the lengths of sound and pictures differ
from 6 h; growth_mb = the capture process' largest memory while it writes the second file less that of the first; speed = times real
time. Targets: two files, 0 and 0, at most 30, at most 1 packet of sound, at most 10 MB, the first file in the storage before the end.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import av
import numpy as np
import psutil
from common import describe_machine, finish, parser, workspace
from long_pattern import HEIGHT, LOUD, PERIOD, RATE, WIDTH, number_of
from measured import ROOT

from egress_recorder.contract import EndReason, Part, RecorderConfig, RecorderResult
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.core import Supervisor
from egress_recorder.supervisor.process import CaptureChild, spawn_capture
from egress_recorder.supervisor.settings import Settings

AUDIO_RATE = 8000
"""Hz; the AAC encoder is by far the slowest."""
MOST_DRIFT_MS, MOST_GROWTH_MB = 30.0, 10.0
PACKET_MS = 1024 / AUDIO_RATE * 1000
MIB = 1 << 20


def configuration(limit: float) -> RecorderConfig:
    """Return the recording."""
    return RecorderConfig.model_validate(
        {
            "egressId": "EG_long",
            "url": "ws://127.0.0.1:1",
            "roomName": "long",
            "source": {"kind": "participant", "identity": "alice"},
            "encoding": {
                "width": WIDTH,
                "height": HEIGHT,
                "framerate": RATE,
                "videoBitrate": 300,
                "audioBitrate": 24,
                "audioFrequency": AUDIO_RATE,
            },
            "outputs": [{"filepath": "long.mp4", "destination": {"kind": "pvc", "volume": "claim"}}],
            "maxFileDuration": limit,
            "requestedAt": datetime.now(UTC).isoformat(),
        }
    )


@dataclass
class Run:
    """What was seen while it was recorded."""

    result: RecorderResult
    seconds: float
    early: bool
    """The first file was in the storage while the second one grew."""
    peaks: dict[int, float] = field(default_factory=dict)
    """MB of the capture process by the number of parts."""


async def record(directory: Path, seconds: float, limit: float) -> Run:
    """Record; return when everything is uploaded."""
    (directory / "volumes" / "claim").mkdir(parents=True)
    capture = [sys.executable, str(ROOT / "benchmarks" / "long_capture.py"), str(seconds)]
    spawn = partial(spawn_capture, capture)
    board, child = StatusBoard("EG_long"), spawn()
    settings = Settings(scratch=directory / "scratch", volumes_root=directory / "volumes", spawn=spawn)
    supervisor = Supervisor(
        configuration(limit), "eyJhbGciOiJIUzI1NiJ9.eyJ2Ijoi", settings=settings, board=board, child=child
    )
    began, peaks, early = time.monotonic(), dict[int, float](), False
    running = asyncio.create_task(supervisor.run())
    while not running.done():
        await asyncio.wait({running}, timeout=0.5)
        status = board.status
        early = early or (status.recording and any(part.location for part in status.parts))
        if status.recording and (memory := _memory(child)):
            peaks[len(status.parts)] = max(peaks.get(len(status.parts), 0.0), memory)
    return Run(await running, time.monotonic() - began, early, peaks)


def _memory(child: CaptureChild) -> float:
    try:
        return float(psutil.Process(child.process.pid).memory_info().rss) / MIB
    except psutil.Error:
        return 0.0


@dataclass
class Decoded:
    """One file: numbers of its pictures in order, and beeps and lengths in seconds of its own time."""

    numbers: list[int]
    pictures: float
    sound: float
    beeps: list[float]


def decode(path: Path) -> Decoded:
    """Decode all of a file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        numbers, last = [], 0.0
        for frame in container.decode(stream):
            plane = frame.planes[0]
            luma = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            numbers.append(number_of(luma))
            last = float(frame.time or 0.0)
    beeps, end, quiet = list[float](), 0.0, True
    with av.open(str(path)) as container:
        for sound in container.decode(container.streams.audio[0]):
            loud = np.abs(sound.to_ndarray()[0]) > LOUD / 32768
            at = float(sound.time or 0.0)
            if quiet and loud.any():
                beeps.append(at + float(np.argmax(loud)) / AUDIO_RATE)
            quiet = not loud.any()
            end = at + sound.samples / AUDIO_RATE
    return Decoded(numbers, last + 1 / RATE, end, beeps)


def drift_of(files: list[Decoded], length: float) -> float:
    """Return the largest distance in ms of a beep from its place. One at a file's first moment has no beginning there."""
    joined = [at + index * length for index, one in enumerate(files) for at in one.beeps if at > 0.5]
    wanted = np.round(np.array(joined) / PERIOD) * PERIOD
    return float(np.max(np.abs(np.array(joined) - wanted))) * 1000 if joined else math.inf


def lengths_of(files: list[Decoded], length: float) -> float:
    """Return by how much any length differs from what it should be, ms."""
    return max(abs(seconds - length) for one in files for seconds in (one.pictures, one.sound)) * 1000


def reasons_of(parts: tuple[Part, ...]) -> list[str]:
    """Return why each file ended."""
    return [part.end_reason for part in parts]


def main() -> None:
    """Record, decode, judge."""
    options = parser(__doc__)
    options.add_argument("--hours", type=float, default=12.0, help="of the recording; a file has half of it")
    arguments = options.parse_args()
    describe_machine()
    seconds, length = arguments.hours * 3600, arguments.hours * 1800
    with workspace(arguments.keep) as directory:
        run = asyncio.run(record(directory, seconds, length))
        print(
            f"{arguments.hours:g} h recorded in {run.seconds:.0f} s; capture process, MB by file: {run.peaks}",
            flush=True,
        )
        claim = directory / "volumes" / "claim"
        files = [decode(claim / part.filename) for part in run.result.parts]
    numbers = [number for one in files for number in one.numbers]
    missing = round(seconds * RATE) - len(set(numbers))
    twice = len(numbers) - len(set(numbers))
    drift, lengths = drift_of(files, length), lengths_of(files, length)
    growth = run.peaks.get(2, math.inf) - run.peaks.get(1, 0.0)
    beeps = sum(len(one.beeps) for one in files)
    print(f"{len(files)} files, {[len(one.numbers) for one in files]} pictures, {beeps} beeps")
    ends = [EndReason.MAX_FILE_DURATION.value, EndReason.SOURCE_CLOSED.value]
    checks = {
        f"the recording is {run.result.phase} {run.result.error}": run.result.phase == "Complete",
        f"files end with {reasons_of(run.result.parts)}": reasons_of(run.result.parts) == ends,
        f"there are gaps: {run.result.gaps}": not run.result.gaps,
        "pictures are not in their order": numbers == sorted(numbers),
        f"{missing} pictures are missing": missing == 0,
        f"{twice} pictures are there twice": twice == 0,
        f"beeps are off by {drift:.0f} ms": drift <= MOST_DRIFT_MS,
        f"{beeps} beeps are less than one per period": beeps >= seconds / PERIOD - 2,
        f"lengths are off by {lengths:.0f} ms": lengths <= PACKET_MS,
        f"the second file takes {growth:.0f} MB more than the first": growth <= MOST_GROWTH_MB,
        "the first file was not in the storage before the end": run.early,
    }
    finish(
        [sentence for sentence, met in checks.items() if not met],
        files=len(files),
        missing=missing,
        twice=twice,
        drift_ms=drift,
        length_ms=lengths,
        growth_mb=growth,
        speed=seconds / run.seconds,
    )


if __name__ == "__main__":
    main()
