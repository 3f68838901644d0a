"""HLS of a real publisher through a real livekit-server, by the whole recorder: decoded as one stream, and played while it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from devstack import browser, npm
from devstack.chromium import Page
from devstack.livekit import LiveKitServer
from devstack.mediacheck import MediaReport, check
from devstack.publisher import PublisherProcess
from egress_recorder.contract import RecorderConfig
from egress_recorder.playlist import Entry, entries_of
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.core import Supervisor
from egress_recorder.supervisor.process import spawn_capture
from egress_recorder.supervisor.settings import Settings
from support.capture_process import recorder_token
from support.realtime import MEASURES, REALTIME

pytestmark = [pytest.mark.integration, REALTIME]
DURATION = 2


class Recording:
    """A recorder of alice with one HLS output to a volume, in this process; `longer`: with a second one, in that container."""

    def __init__(
        self,
        server: LiveKitServer,
        room: str,
        directory: Path,
        container: str,
        *,
        suffix: str = "INDEX",
        longer: str = "",
    ) -> None:
        self.volume = directory / "volumes" / "claim"
        self.volume.mkdir(parents=True)
        output = {
            "playlist": "hls/all.m3u8",
            "live_playlist": "hls/live.m3u8",
            "prefix": "hls/seg",
            "duration": DURATION,
            "container": container,
            "suffix": suffix,
            "destination": {"kind": "pvc", "volume": "claim"},
        }
        second = {
            "playlist": "long/all.m3u8",
            "prefix": "long/seg",
            "duration": 2 * DURATION,
            "container": longer,
            "destination": output["destination"],
        }
        config = RecorderConfig.model_validate(
            {
                "egress_id": "EG_segments",
                "url": server.url,
                "room_name": room,
                "source": {"kind": "participant", "identity": "alice"},
                "encoding": {"width": 640, "height": 360},
                "segments": [output, second] if longer else [output],
                "requested_at": datetime.now(UTC),
            }
        )
        self.board = StatusBoard("EG_segments")
        self.supervisor = Supervisor(
            config,
            recorder_token(server, room, "EG_segments"),
            settings=Settings(scratch=directory / "scratch", volumes_root=directory / "volumes"),
            board=self.board,
            child=spawn_capture(),
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                await self.board.after(self.board.status.sequence, 5)

    @property
    def stored(self) -> int:
        results = self.board.status.segment_results
        return sum(one.segment_count for one in results if one.playlist_name == "hls/all.m3u8")

    def entries(self, output: str = "hls") -> list[Entry]:
        return entries_of((self.volume / output / "all.m3u8").read_text())

    def decoded(self, output: str = "hls") -> MediaReport:
        """Decode all segments one after the other, after what initialises them."""
        entries = self.entries(output)
        [init] = {entry.init for entry in entries}
        header = (self.volume / output / init).read_bytes() if init else b""
        whole = self.volume / f"{output}{'.mp4' if init else '.ts'}"
        whole.write_bytes(
            header + b"".join((self.volume / output / entry.uri).read_bytes() for entry in entries)
        )
        return check(whole)


def named_at(entry: Entry) -> datetime:
    """Return the time that a segment's name says."""
    digits = entry.uri.rpartition("_")[2].partition(".")[0]
    return datetime.strptime(f"{digits}000+0000", "%Y%m%d%H%M%S%f%z")


@pytest.mark.parametrize(("container", "suffix"), [("TS", "INDEX"), ("FMP4", "TIMESTAMP")])
@MEASURES
async def test_segments_of_a_recording_decode_as_one_stream_without_a_gap(
    livekit_server: LiveKitServer,
    room: str,
    alice: PublisherProcess,
    tmp_path: Path,
    container: str,
    suffix: str,
) -> None:
    other = "FMP4" if container == "TS" else "TS"
    recording = Recording(livekit_server, room, tmp_path, container, suffix=suffix, longer=other)
    running = asyncio.create_task(recording.supervisor.run())
    await recording.until(lambda: recording.board.status.phase == "Active")
    active = time.monotonic()
    await recording.until(lambda: recording.stored >= 1)
    first = time.monotonic() - active
    print(f"figure: first_segment_s={first:.2f} segment_duration_s={DURATION}")
    await recording.until(lambda: recording.stored >= 4)
    recording.supervisor.stop()
    result = await running
    assert (result.phase, result.error) == ("Complete", "")
    entries = recording.entries()
    assert [entry.duration for entry in entries[:-1]] == [DURATION] * (len(entries) - 1)
    # The wall clock and the media go on together.
    steps = [(b.at - a.at).total_seconds() for a, b in pairwise(entries)]
    assert steps == pytest.approx([DURATION] * len(steps), abs=0.15)
    assert result.parts[0].started_at is not None
    assert abs((entries[0].at - result.parts[0].started_at).total_seconds()) < 0.6
    extension = "ts" if container == "TS" else "m4s"
    if suffix == "INDEX":
        assert [entry.uri for entry in entries] == [f"seg_{n:05d}.{extension}" for n in range(len(entries))]
    else:
        apart = [abs((named_at(entry) - entry.at).total_seconds()) for entry in entries]
        assert max(apart) <= 0.001, "a segment's name is its EXT-X-PROGRAM-DATE-TIME"
        assert {entry.uri.rpartition(".")[2] for entry in entries} == {extension}
    report = recording.decoded()
    assert (report.errors, report.streams) == ([], "h264 640x360@30 + aac 2ch")
    assert report.frames == result.progress.frames
    assert np.diff(report.frame_times) == pytest.approx(1 / 30, abs=0.002)
    numbers = report.counted()
    assert np.all(np.diff(numbers) >= 0)
    assert np.diff(report.beeps) == pytest.approx(np.ones(len(report.beeps) - 1), abs=0.05)
    assert len(report.beeps) >= 6
    assert (recording.volume / "hls/all.m3u8").read_text().endswith("#EXT-X-ENDLIST\n")
    assert first <= DURATION + 2
    judge_longer(recording, entries, report)


def judge_longer(recording: Recording, entries: list[Entry], report: MediaReport) -> None:
    """The output of the longer duration is the same encoding, cut at every second boundary."""
    longer = recording.entries("long")
    assert len(longer) >= 2
    assert [entry.duration for entry in longer[:-1]] == [2 * DURATION] * (len(longer) - 1)
    apart = [
        abs((long.at - short.at).total_seconds()) for long, short in zip(longer, entries[::2], strict=True)
    ]
    assert max(apart) < 0.1
    same = recording.decoded("long")
    assert (same.errors, same.streams) == ([], report.streams)
    assert same.counters == report.counters
    assert same.beeps == pytest.approx(report.beeps, abs=0.003)


@pytest.mark.skipif(not (browser.available() and npm.available()), reason="chromium or npm is not installed")
@pytest.mark.parametrize(("container", "extension"), [("TS", "ts"), ("FMP4", "m4s")])
@MEASURES
async def test_a_browser_follows_the_live_playlist_while_the_recording_goes_on(
    livekit_server: LiveKitServer,
    room: str,
    alice: PublisherProcess,
    tmp_path: Path,
    container: str,
    extension: str,
) -> None:
    recording = Recording(livekit_server, room, tmp_path, container)
    running = asyncio.create_task(recording.supervisor.run())
    await recording.until(lambda: recording.stored >= 3)
    objects = recording.volume / "hls"
    segments = (f"seg_{number:05d}.{extension}" for number in range(60))
    names = ["live.m3u8", "all.m3u8", "seg_init.mp4", *segments]
    files = {"hls.js": await asyncio.to_thread(npm.hls_js), **{name: objects / name for name in names}}

    def follow() -> dict[str, float]:
        with Page("hls.html", settings={}, files=files) as page:
            page.wait("ready", 30)
            report: dict[str, float] = page.evaluate("follow('/files/live.m3u8', 6)", timeout=60)
            return report

    seen = await asyncio.to_thread(follow)
    still = recording.board.status.recording
    recording.supervisor.stop()
    await running
    assert still
    assert seen["errors"] == []
    assert seen["live"]
    assert (seen["width"], seen["height"]) == (640, 360)
    # 6 s were watched; a segment that is waited for at the live edge may stop it for a moment.
    assert seen["position"] - seen["began"] > 4.5
    assert seen["frames"] > 100
    assert seen["audioBytes"] > 0
