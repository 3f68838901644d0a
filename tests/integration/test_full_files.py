"""Files that are full and followed by the next one, of a real publisher by the whole recorder; the last one is killed.

What is judged is decoded, and beside it the segments of the same encoding, which nothing cuts: so a picture that is missing or twice is
seen also where the machine was too busy to receive them all.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devstack.livekit import LiveKitServer
from devstack.mediacheck import check
from devstack.publisher import PublisherProcess
from egress_recorder.contract import Manifest, RecorderConfig
from egress_recorder.playlist import entries_of
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.core import Supervisor
from egress_recorder.supervisor.process import spawn_capture
from egress_recorder.supervisor.settings import Settings
from support.capture_process import recorder_token
from support.realtime import REALTIME

pytestmark = [pytest.mark.integration, REALTIME]
LENGTH = 4.8
"""Seconds; pictures, packets of AAC and packets of MP3 begin together every 4.8 s."""
FULL = "Max file duration reached"
VOLUME = {"kind": "pvc", "volume": "claim"}


def configuration(server: LiveKitServer, room: str) -> RecorderConfig:
    return RecorderConfig.model_validate(
        {
            "egress_id": "EG_full",
            "url": server.url,
            "room_name": room,
            "source": {"kind": "participant", "identity": "alice"},
            "encoding": {"width": 640, "height": 360},
            "outputs": [
                {"filepath": "a.mp4", "destination": VOLUME},
                {"filepath": "a.mp3", "file_type": "MP3", "destination": VOLUME},
            ],
            "segments": [{"playlist": "all.m3u8", "prefix": "seg", "duration": 2, "destination": VOLUME}],
            "max_file_duration": LENGTH,
            "requested_at": datetime.now(UTC),
        }
    )


async def test_files_follow_each_other_without_a_gap_and_the_last_one_survives_a_kill(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    volume = tmp_path / "volumes" / "claim"
    volume.mkdir(parents=True)
    board, child = StatusBoard("EG_full"), spawn_capture()
    supervisor = Supervisor(
        configuration(livekit_server, room),
        recorder_token(livekit_server, room, "EG_full"),
        settings=Settings(scratch=tmp_path / "scratch", volumes_root=tmp_path / "volumes"),
        board=board,
        child=child,
    )

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await board.after(board.status.sequence, 5)

    running = asyncio.create_task(supervisor.run())
    await until(lambda: any(part.location and part.part == 1 for part in board.status.parts))
    assert board.status.phase == "Active", "the first file is there while the next one is recorded"
    await until(lambda: any(part.part == 3 and part.duration >= 1 for part in board.status.parts))
    os.kill(child.process.pid, signal.SIGKILL)
    await until(lambda: any(part.part == 4 and part.duration >= 1 for part in board.status.parts))
    supervisor.stop()
    result = await running

    assert (result.phase, result.error) == ("Complete", "")
    reasons = {part.part: part.end_reason for part in result.parts}
    assert reasons == {1: FULL, 2: FULL, 3: "Process killed", 4: "StopEgress API"}
    assert [part.filename for part in result.parts if part.output == 0] == [
        "a.mp4",
        "a-p2.mp4",
        "a-p3.mp4",
        "a-p4.mp4",
    ]
    assert len(result.gaps) == 1, "around the kill alone"
    seconds = sum(entry.duration for entry in entries_of((volume / "all.m3u8").read_text()))
    assert result.segment_results[0].duration == pytest.approx(seconds, abs=0.05)
    assert result.parts[-1].duration < LENGTH
    judge(volume)
    manifest = Manifest.parse((volume / "EG_full.json").read_text())
    tracks = {one.part: {track.kind: track for track in one.tracks} for one in manifest.media}
    assert (tracks[2]["video"].start, tracks[2]["video"].end) == (0.0, LENGTH)
    assert (tracks[2]["audio"].start, tracks[2]["audio"].end) == (0.0, LENGTH)


def judge(volume: Path) -> None:
    names = ["a.mp4", "a-p2.mp4", "a-p3.mp4"]
    files = [check(volume / name) for name in names]
    sounds = [check(volume / name.replace("mp4", "mp3")) for name in names]
    entries = entries_of((volume / "all.m3u8").read_text())
    assert [entry.discontinuity for entry in entries].count(True) == 1, "segments notice the kill alone"
    whole = volume / "whole.ts"
    uncut = [entry.uri for entry in entries if "-p4" not in entry.uri]
    whole.write_bytes(b"".join((volume / uri).read_bytes() for uri in uncut))
    stream = check(whole)
    assert [error for report in (*files, *sounds) for error in report.errors] == []

    assert [len(report.counters) for report in files[:2]] == [round(LENGTH * 30)] * 2
    counters = [counter for report in files for counter in report.counters]
    common = min(len(counters), len(stream.counters))
    assert common > 2 * LENGTH * 30 + 15, "also of the file that was killed"
    assert counters[:common] == stream.counters[:common]
    for reports in (files, sounds):
        assert [report.audio.shape[1] for report in reports[:2]] == [round(LENGTH * 48_000)] * 2
        assert reports[2].audio.shape[1] > 0.5 * 48_000
    # Flash and beep are where they are in the stream, so in each file as far apart as there, whatever the machine was busy with.
    end = (
        stream.audio.shape[1] / 48_000 - 0.1
    )  # of the file that was killed more may be left than of the segment
    flashes = joined([report.flashes for report in files], end)
    assert len(flashes) >= 7
    assert all(nearest(flash, stream.flashes) < 0.005 for flash in flashes)
    for reports in (files, sounds):
        beeps = joined([report.beeps for report in reports], end)
        assert len(beeps) >= 7
        assert all(nearest(beep, stream.beeps) < 0.03 for beep in beeps)


def joined(times: list[list[float]], end: float) -> list[float]:
    found = [at + number * LENGTH for number, of_file in enumerate(times) for at in of_file]
    return [at for at in found if at < end]


def nearest(at: float, others: list[float]) -> float:
    return min(abs(at - other) for other in others)
