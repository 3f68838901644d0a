"""A participant is recorded as it is: picture, sound, absence, departure; checked by decoding the file."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from devstack.livekit import LiveKitServer
from devstack.mediacheck import check
from devstack.publisher import PublisherProcess
from egress_recorder import ipc
from egress_recorder.contract import EndReason, ExitCode, Limits, ParticipantSource, Phase
from support.capture_process import CaptureProcess, publisher
from support.realtime import MEASURES, REALTIME

pytestmark = [pytest.mark.integration, REALTIME, MEASURES]
ALICE = ParticipantSource(identity="alice")
FPS = 30


def tell(process: PublisherProcess, command: str) -> None:
    assert process._process.stdin is not None
    process._process.stdin.write(command + "\n")
    process._process.stdin.flush()


def test_camera_and_microphone_become_one_file_in_sync(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture:
        started = capture.wait(ipc.Started)
        time.sleep(7)
        stopped_at = time.time()
        capture.stop()
        ended = capture.ended()
        closing = next(at for at, event in capture.events if isinstance(event, ipc.Ended)) - stopped_at
    assert (ended.phase, ended.reason) == (Phase.COMPLETE, EndReason.STOP_REQUESTED)
    assert (ended.exit_code, ended.error) == (ExitCode.FINISHED, "")
    assert ended.files == started.files == ("media.mp4",)
    assert closing < 2.0
    report = check(capture.file)
    assert report.errors == []
    assert (report.width, report.height, report.channels) == (1280, 720, 2)
    assert report.duration == pytest.approx(stopped_at - started.started_at.timestamp(), abs=0.25)
    assert report.frames == pytest.approx(report.duration * FPS, abs=2)
    assert ended.progress.frames == report.frames
    # The first second may still be finding its synchronisation; the machine of a test is not idle.
    offsets = report.offsets_ms[2:]
    assert len(offsets) >= 4
    assert abs(float(np.median(offsets))) < 45
    assert report.missing_frames < 0.15 * report.frames
    kinds = [type(event) for _, event in capture.events]
    assert kinds[:3] == [ipc.Joined, ipc.TracksChanged, ipc.Started]
    assert kinds.count(ipc.ProgressReport) >= 5
    tracks = next(event for _, event in capture.events if isinstance(event, ipc.TracksChanged))
    assert {(track.kind, track.source) for track in tracks.tracks} == {
        ("video", "CAMERA"),
        ("audio", "MICROPHONE"),
    }
    assert tracks.publisher_identity == "alice"


def states(tracks: ipc.TracksChanged) -> dict[str, bool]:
    """Kind → muted."""
    return {track.kind: track.muted for track in tracks.tracks}


def test_muted_camera_is_black_and_muted_microphone_silent_and_both_come_back(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture:
        capture.wait(ipc.Started)
        capture.media_time(2)
        for command in ("mute_video", "mute_audio"):
            tell(alice, command)
        both = {"video": True, "audio": True}
        capture.wait(ipc.TracksChanged, where=lambda tracks: states(tracks) == both)
        capture.media_time(3)
        events = len(capture.events)
        for command in ("unmute_video", "unmute_audio"):
            tell(alice, command)
        none = {"video": False, "audio": False}
        capture.wait(ipc.TracksChanged, where=lambda tracks: states(tracks) == none, after=events)
        capture.media_time(4)
        capture.stop()
        ended = capture.ended()
    assert ended.phase is Phase.COMPLETE
    report = check(capture.file)
    black = [time for time, number in zip(report.frame_times, report.counters, strict=True) if number is None]
    assert len(black) / FPS > 2.0
    middle = black[len(black) // 2]
    assert report.counted(0, middle)
    assert report.counted(report.duration - 2)
    assert report.level(middle - 0.3, middle + 0.3) < 0.001
    assert report.level(0.3, 1.5) > 0.01
    assert report.level(report.duration - 1.7, report.duration - 0.5) > 0.01


def test_what_is_unpublished_is_filled_and_what_is_published_anew_is_recorded(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture:
        capture.wait(ipc.Started)
        capture.media_time(2)
        tell(alice, "unpublish_video")
        tell(alice, "unpublish_audio")
        capture.wait(ipc.TracksChanged, where=lambda tracks: not tracks.tracks)
        capture.media_time(3)
        events = len(capture.events)
        tell(alice, "publish_audio")
        tell(alice, "publish_video")
        capture.wait(ipc.TracksChanged, where=lambda tracks: len(tracks.tracks) == 2, after=events)
        capture.media_time(5)
        capture.stop()
        ended = capture.ended()
    assert ended.phase is Phase.COMPLETE
    report = check(capture.file)
    assert report.errors == []
    assert report.frames == pytest.approx(report.duration * FPS, abs=2)
    black = [time for time, number in zip(report.frame_times, report.counters, strict=True) if number is None]
    assert len(black) / FPS > 2.0
    assert report.counted(report.duration - 2)
    assert ended.progress.silence_inserted > 2.0
    assert abs(float(np.median(report.offsets_ms[-2:]))) < 90


def test_a_microphone_that_comes_late_begins_where_it_began(
    livekit_server: LiveKitServer, room: str, tmp_path: Path
) -> None:
    with (
        publisher(livekit_server, room, "--no-audio") as alice,
        CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture,
    ):
        capture.wait(ipc.Started)
        capture.media_time(3)
        tell(alice, "publish_audio")
        capture.wait(ipc.TracksChanged, where=lambda tracks: len(tracks.tracks) == 2)
        capture.media_time(5)
        capture.stop()
        capture.ended()
    report = check(capture.file)
    assert report.level(0.2, 1.7) < 0.001
    assert report.level(report.duration - 1.7, report.duration - 0.5) > 0.01
    assert abs(float(np.median(report.offsets_ms[-2:]))) < 90


def test_the_file_ends_with_the_participants_leave(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture:
        capture.wait(ipc.Started)
        time.sleep(2)
        tell(alice, "leave")
        left_at = time.time()
        ended = capture.ended(10)
    assert (ended.phase, ended.reason, ended.exit_code) == (
        Phase.COMPLETE,
        EndReason.SOURCE_CLOSED,
        ExitCode.FINISHED,
    )
    assert ended.ended_at is not None
    assert ended.ended_at.timestamp() == pytest.approx(left_at, abs=1.0)


def test_a_rejoin_within_the_timeout_continues_the_file(
    livekit_server: LiveKitServer, room: str, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, rejoin_timeout=10.0) as capture:
        with publisher(livekit_server, room) as alice:
            capture.wait(ipc.Started)
            time.sleep(2)
            tell(alice, "leave")
            alice.wait("left")
        with publisher(livekit_server, room) as again:
            time.sleep(3)
            tell(again, "leave")
            again.wait("left")
            left_at = time.time()
            time.sleep(1)
            capture.stop()
            ended = capture.ended()
    assert ended.phase is Phase.COMPLETE
    report = check(capture.file)
    assert report.errors == []
    assert report.frames == pytest.approx(report.duration * FPS, abs=2)
    # Absence at the end is not part of the file, absence in between is.
    assert ended.ended_at is not None
    assert ended.ended_at.timestamp() == pytest.approx(left_at, abs=1.0)
    black = [number for number in report.counters if number is None]
    assert len(black) > 0.5 * FPS
    assert report.counted(report.duration - 1.5)


def test_a_shared_screen_of_odd_size_is_recorded_and_the_camera_is_not(
    livekit_server: LiveKitServer, room: str, tmp_path: Path
) -> None:
    screen = ParticipantSource(identity="alice", screen_share=True)
    with (
        publisher(livekit_server, room, "--source", "screen", "--size", "800x450"),
        CaptureProcess(livekit_server, room, screen, tmp_path / "screen") as wanted,
        CaptureProcess(livekit_server, room, ALICE, tmp_path / "camera", identity="EG_b") as unwanted,
    ):
        wanted.wait(ipc.Started)
        time.sleep(3)
        wanted.stop()
        unwanted.stop()
        assert wanted.ended().phase is Phase.COMPLETE
        aborted = unwanted.ended()
    report = check(wanted.file)
    assert len(set(report.counted())) > FPS
    tracks = next(event for _, event in wanted.events if isinstance(event, ipc.TracksChanged))
    assert {track.source for track in tracks.tracks} == {"SCREEN_SHARE", "SCREEN_SHARE_AUDIO"}
    assert (aborted.phase, aborted.error_code, aborted.files) == (Phase.ABORTED, 412, ())
    assert aborted.error == "Start signal not received"


@pytest.mark.parametrize("codec", ["vp8", "h264"])
def test_a_killed_capture_loses_at_most_a_second(
    livekit_server: LiveKitServer, room: str, tmp_path: Path, codec: str
) -> None:
    with publisher(livekit_server, room, "--codec", codec) as alice:
        begin = alice.wait("started")["start"]
        with CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture:
            capture.wait(ipc.Started)
            time.sleep(3.1)
            last_sent = (time.time() - begin) * FPS
            capture.kill()
        target = tmp_path / "final.mp4"
        done = subprocess.run(
            [sys.executable, "-m", "egress_recorder.finalize", str(capture.file), str(target)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    report = check(target)
    assert report.errors == []
    assert (last_sent - report.counted()[-1]) / FPS <= 1.0


def test_a_supervisor_that_is_gone_interrupts_the_capture_and_the_file_is_complete(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture:
        capture.wait(ipc.Started)
        psutil.Process(capture.process.pid).terminate()  # ignored: the supervisor decides
        time.sleep(1)
        assert capture.process.poll() is None
        capture.hang_up()
        ended = capture.ended()
    assert (ended.phase, ended.exit_code) == (Phase.INTERRUPTED, ExitCode.INTERRUPTED)
    assert check(capture.file).errors == []


def test_a_limit_of_duration_counts_earlier_parts_and_is_exact(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(
        livekit_server, room, ALICE, tmp_path, recorded=7.0, limits=Limits(max_duration=10.0)
    ) as capture:
        ended = capture.ended()
    assert (ended.phase, ended.exit_code) == (Phase.LIMIT_REACHED, ExitCode.FINISHED)
    assert check(capture.file).duration == pytest.approx(3.0, abs=0.05)


def test_a_limit_of_size_is_not_exceeded(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, limits=Limits(max_size=1_500_000)) as capture:
        ended = capture.ended()
    assert ended.phase is Phase.LIMIT_REACHED
    assert 200_000 < capture.file.stat().st_size <= 1_500_000


def test_a_panic_of_the_sdk_closes_the_file_and_asks_for_a_next_part(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, panic_after=5.0) as capture:
        capture.wait(ipc.Started)
        ended = capture.ended()
    assert (ended.phase, ended.exit_code) == (Phase.INTERRUPTED, ExitCode.SOFTWARE)
    assert "panic" in ended.error
    assert check(capture.file).errors == []
