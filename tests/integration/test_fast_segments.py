"""fMP4 segments of the whole recorder over files that are full, faster than real time: only room and clock are not the product's.

As `benchmarks/bench_long.py`: small pictures that show their numbers, so that one that is missing or twice is seen wherever it is.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.long_pattern import HEIGHT, LOUD, PERIOD, RATE, WIDTH, number_of
from egress_recorder import fmp4
from egress_recorder.contract import RecorderConfig, RecorderResult
from egress_recorder.playlist import Entry, entries_of
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.core import Supervisor
from egress_recorder.supervisor.process import spawn_capture
from egress_recorder.supervisor.settings import Settings

pytestmark = pytest.mark.integration

CAPTURE = Path(__file__).parents[2] / "benchmarks" / "long_capture.py"
SECONDS, SEGMENT = 119, 4
LENGTH = 35.2
"""Seconds of a file: a picture and a packet of AAC at 8 kHz begin together every 3.2 s. It ends within a segment."""
AUDIO_RATE, PACKET = 8000, 1024
VOLUME = {"kind": "pvc", "volume": "claim"}
FULL = "Max file duration reached"


async def record(directory: Path, **changes: Any) -> RecorderResult:
    """Record into `directory/volumes/claim`."""
    (directory / "volumes" / "claim").mkdir(parents=True)
    config = RecorderConfig.model_validate(
        {
            "egressId": "EG_fast",
            "url": "ws://127.0.0.1:1",
            "roomName": "fast",
            "source": {"kind": "participant", "identity": "alice"},
            "encoding": {
                "width": WIDTH,
                "height": HEIGHT,
                "framerate": RATE,
                "videoBitrate": 300,
                "audioBitrate": 24,
                "audioFrequency": AUDIO_RATE,
            },
            "segments": [
                {
                    "playlist": "all.m3u8",
                    "prefix": "seg",
                    "duration": SEGMENT,
                    "container": "FMP4",
                    "destination": VOLUME,
                }
            ],
            "maxFileDuration": LENGTH - 1,
            "requestedAt": datetime.now(UTC),
            **changes,
        }
    )
    spawn = partial(spawn_capture, [sys.executable, str(CAPTURE), str(SECONDS)])
    supervisor = Supervisor(
        config,
        "eyJhbGciOiJIUzI1NiJ9.eyJ2Ijoi",
        settings=Settings(scratch=directory / "scratch", volumes_root=directory / "volumes", spawn=spawn),
        board=StatusBoard("EG_fast"),
        child=spawn(),
    )
    async with asyncio.timeout(180):
        return await supervisor.run()


def numbers_in(path: Path) -> list[int]:
    """Decode the pictures of a file; return what they show."""
    numbers = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            luma = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            numbers.append(number_of(luma))
    return numbers


def packets_of(path: Path, kind: str) -> list[tuple[float, float, bool]]:
    """Return begin and end in seconds of each packet of a kind, and whether it is a key frame."""
    packets = []
    with av.open(str(path)) as container:
        [stream] = [one for one in container.streams if one.type == kind]
        for packet in container.demux(stream):
            if packet.pts is not None and packet.duration is not None and packet.size:
                unit = float(packet.time_base)
                packets.append((packet.pts * unit, (packet.pts + packet.duration) * unit, packet.is_keyframe))
    return packets


def beeps_in(path: Path) -> list[float]:
    """Decode the sound; return where a beep begins, seconds."""
    found, quiet = [], True
    with av.open(str(path)) as container:
        for sound in container.decode(audio=0):
            loud = np.abs(sound.to_ndarray()[0]) > LOUD / 32768
            if quiet and loud.any():
                found.append(float(sound.time or 0.0) + float(np.argmax(loud)) / AUDIO_RATE)
            quiet = not loud.any()
    return found


def assert_one_stream(volume: Path, entries: list[Entry], whole: Path) -> None:
    """The segments behind what initialises them are the recording: every picture and every packet of sound once."""
    init = (volume / "seg_init.mp4").read_bytes()
    assert fmp4.header_size(volume / "seg_init.mp4") == len(init) > 0, "ftyp and moov and nothing else"
    whole.write_bytes(init + b"".join((volume / entry.uri).read_bytes() for entry in entries))
    assert numbers_in(whole) == list(range(SECONDS * RATE))
    pictures, sound = packets_of(whole, "video"), packets_of(whole, "audio")
    for packets in (pictures, sound):
        assert packets[0][0] == 0.0
        assert all(one[1] == pytest.approx(other[0], abs=1e-6) for one, other in pairwise(packets))
    assert pictures[-1][1] == pytest.approx(SECONDS)
    assert sound[-1][1] == pytest.approx(SECONDS, abs=PACKET / AUDIO_RATE)
    beeps = [at for at in beeps_in(whole) if at > 0.5]
    assert beeps == pytest.approx([PERIOD * (n + 1) for n in range(len(beeps))], abs=0.02)
    assert len(beeps) == SECONDS // PERIOD


def assert_each_plays(volume: Path, entries: list[Entry], directory: Path) -> None:
    """A player that begins anywhere fetches `EXT-X-MAP` and the segment: it begins there with a key frame."""
    init = (volume / "seg_init.mp4").read_bytes()
    begins = accumulate((entry.duration for entry in entries), initial=0.0)
    for entry, begin in zip(entries, begins, strict=False):
        alone = directory / f"alone-{entry.uri}"
        assert fmp4.header_size(volume / entry.uri) == 0
        alone.write_bytes(init + (volume / entry.uri).read_bytes())
        first = round(begin * RATE)
        assert numbers_in(alone) == list(range(first, first + round(entry.duration * RATE))), entry.uri
        at, _, is_key = packets_of(alone, "video")[0]
        assert (at, is_key) == (pytest.approx(begin), True)


def assert_playlist(text: str) -> list[Entry]:
    entries = entries_of(text)
    assert [entry.duration for entry in entries] == [SEGMENT] * (SECONDS // SEGMENT) + [SECONDS % SEGMENT]
    assert [entry.uri for entry in entries] == [f"seg_{number:05d}.m4s" for number in range(len(entries))]
    lines = text.splitlines()
    assert lines.count('#EXT-X-MAP:URI="seg_init.mp4"') == 1
    assert "".join(lines).count("EXT-X-MAP") == 1
    assert lines.index('#EXT-X-MAP:URI="seg_init.mp4"') < lines.index(entries[0].uri)
    assert "#EXT-X-VERSION:6" in lines
    assert "#EXT-X-DISCONTINUITY" not in lines
    assert lines[-1] == "#EXT-X-ENDLIST"
    for one, other in pairwise(entries):
        assert (other.at - one.at).total_seconds() == pytest.approx(one.duration, abs=0.002)
    return entries


async def test_segments_go_on_over_files_that_are_full(tmp_path: Path) -> None:
    result = await record(tmp_path, outputs=[{"filepath": "a.mp4", "destination": VOLUME}])

    volume = tmp_path / "volumes" / "claim"
    assert (result.phase, result.error, result.gaps) == ("Complete", "", ())
    files = [part for part in result.parts if part.output == 0]
    assert [part.end_reason for part in files[:-1]] == [FULL] * 3
    entries = assert_playlist((volume / "all.m3u8").read_text())
    assert_one_stream(volume, entries, tmp_path / "whole.mp4")
    assert_each_plays(volume, entries, tmp_path)
    shown = [numbers_in(volume / part.filename) for part in files]
    assert [len(numbers) for numbers in shown[:-1]] == [round(LENGTH * RATE)] * 3
    assert [number for numbers in shown for number in numbers] == list(range(SECONDS * RATE))
    segments = [part for part in result.parts if part.output == 1]
    # Sound ends on whole packets: at each cut up to one of them counts in both parts.
    assert sum(part.duration for part in segments) == pytest.approx(
        SECONDS, abs=(len(segments) - 1) * PACKET / AUDIO_RATE
    )
    assert (
        sum(part.size for part in segments)
        == sum(path.stat().st_size for path in volume.glob("*.m4s"))
        == result.segment_results[0].size
    )


async def test_segments_alone_have_no_file_that_could_be_full(tmp_path: Path) -> None:
    result = await record(tmp_path, outputs=[])

    volume = tmp_path / "volumes" / "claim"
    assert (result.phase, result.error, result.gaps) == ("Complete", "", ())
    assert [(part.part, part.filename) for part in result.parts] == [(1, "all.m3u8")]
    entries = assert_playlist((volume / "all.m3u8").read_text())
    assert_one_stream(volume, entries, tmp_path / "whole.mp4")
    assert_each_plays(volume, entries, tmp_path)
