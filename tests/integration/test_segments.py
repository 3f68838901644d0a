"""HLS of a real publisher through a real livekit-server, by the whole recorder: played while it grows, and decoded as one stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from devstack import browser
from devstack.livekit import LiveKitServer
from devstack.mediacheck import MediaReport, check
from devstack.playback import STALL, Followed, Truth, out_of_step
from devstack.publisher import PublisherProcess
from devstack.readings import heard_at, quiet_levels
from devstack.tones import HEARD
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


@pytest.fixture(scope="module")
def player() -> Iterator[browser.Player | None]:
    """None where no browser is installed. Started before anything is recorded: its start takes both cores."""
    if not browser.plays_hls():
        yield None
        return
    with browser.Player(hls=True) as running:
        yield running


@pytest.mark.parametrize(("container", "suffix"), [("TS", "INDEX"), ("FMP4", "TIMESTAMP")])
@MEASURES
async def test_segments_play_while_they_come_and_decode_as_one_stream_without_a_gap(
    player: browser.Player | None,
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
    await recording.until(lambda: recording.stored >= 3)
    undisturbed = recording.stored * DURATION
    followed: Followed | None = None
    if player is not None:
        live = recording.volume / "hls/live.m3u8"
        followed = await asyncio.to_thread(lambda: player.follow(live, seconds=6))
    still = recording.board.status.recording
    await recording.until(lambda: recording.stored >= 4)
    recording.supervisor.stop()
    result = await running
    assert still
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
    # A browser takes its part of the cores, and a publisher that misses them is late itself.
    beeps = [beep for beep in report.beeps if beep < undisturbed]
    assert np.diff(beeps) == pytest.approx(np.ones(len(beeps) - 1), abs=0.05)
    assert len(beeps) >= 5
    assert len(report.beeps) >= 6
    assert (recording.volume / "hls/all.m3u8").read_text().endswith("#EXT-X-ENDLIST\n")
    assert first <= DURATION + 2
    judge_longer(recording, entries, report)
    if followed is not None:
        assert_followed(followed, report, entries[0].at)


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


def assert_followed(followed: Followed, report: MediaReport, began: datetime) -> None:
    """The browser showed and sounded what the segments hold, at their wall clock, without waiting at the live edge."""
    assert (followed.error, followed.live) == ("", True)
    assert (followed.width, followed.height) == (640, 360)
    assert followed.run.stalled <= STALL, followed.notes
    assert followed.run.ticks[-1].media - followed.run.ticks[0].media > 5
    assert followed.frames > 100
    truth = Truth.of((0.0, report))
    assert len(followed.looks) == 5
    assert out_of_step(followed.looks, truth) <= 0.05
    for look in followed.looks:
        place = truth.time_of(look.number or 0)
        assert place is not None
        assert abs(look.at - began.timestamp() - place) < 0.15, "EXT-X-PROGRAM-DATE-TIME"
        heard = heard_at((followed.run,), look.time)
        assert truth.problem_heard(place, heard) == ""
        levels = quiet_levels(heard)
        assert levels is not None
        assert levels[:2].min() >= HEARD, "alice's two tones"
