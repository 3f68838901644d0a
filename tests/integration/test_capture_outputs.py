"""Several files from one capture, and files of sound alone, of a real publisher through a real livekit-server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from devstack.livekit import LiveKitServer
from devstack.mediacheck import check
from devstack.publisher import PublisherProcess
from egress_recorder import finalize, ipc
from egress_recorder.contract import ParticipantSource, Phase, TrackCompositeSource
from support.capture_process import CaptureProcess
from support.realtime import MEASURES, REALTIME

pytestmark = [pytest.mark.integration, REALTIME, MEASURES]
ALICE = ParticipantSource(identity="alice")


def test_one_capture_gives_pictures_and_two_files_of_the_same_sound(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, files=("MP4", "MP3", "OGG")) as capture:
        started = capture.wait(ipc.Started)
        capture.media_time(7)
        capture.stop()
        ended = capture.ended()
    assert (ended.phase, ended.error, ended.problems) == (Phase.COMPLETE, "", {})
    assert ended.files == started.files == ("media.mp4", "media.mp3", "media.ogg")
    reports = {name: check(tmp_path / name) for name in ended.files}
    assert [report.streams for report in reports.values()] == [
        "h264 1280x720@30 + aac 2ch",
        "mp3float 2ch",
        "opus 2ch",
    ]
    for report in reports.values():
        assert report.errors == []
        # A busy machine encodes on for a moment after the stop, and an encoder that delays more writes less of that.
        assert report.duration == pytest.approx(ended.progress.duration, abs=0.3)
        # Each file has the same sound at the same time.
        beeps = reports["media.mp4"].beeps[:6]
        assert len(beeps) >= 5
        assert report.beeps[: len(beeps)] == pytest.approx(beeps, abs=0.003)
    picture = reports["media.mp4"]
    assert picture.frames == ended.progress.frames
    assert abs(float(np.median(picture.offsets_ms[2:]))) < 45


def test_one_audio_track_becomes_an_ogg_of_just_its_sound(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    source = TrackCompositeSource(audio_track_id=str(alice.wait("published", kind="audio")["sid"]))
    with CaptureProcess(livekit_server, room, source, tmp_path, files=("OGG",)) as capture:
        capture.wait(ipc.Started)
        capture.media_time(4)
        capture.stop()
        ended = capture.ended()
    assert (ended.phase, ended.files, ended.progress.frames) == (Phase.COMPLETE, ("media.ogg",), 0)
    report = check(tmp_path / "media.ogg")
    assert (report.errors, report.streams) == ([], "opus 2ch")
    assert report.duration == pytest.approx(ended.progress.duration, abs=0.06)
    assert len(report.beeps) >= 3
    assert np.diff(report.beeps) == pytest.approx(np.ones(len(report.beeps) - 1), abs=0.03)


def test_a_participants_sound_alone_needs_no_picture_and_survives_a_kill(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, files=("OGG", "FLAC")) as capture:
        capture.wait(ipc.Started)
        capture.media_time(4)
        capture.kill()
    kinds = {
        track.kind
        for _, event in capture.events
        if isinstance(event, ipc.TracksChanged)
        for track in event.tracks
    }
    assert kinds == {"audio"}, "the camera is not received"
    for name in ("media.ogg", "media.flac"):
        target = tmp_path / f"clean-{name}"
        result = finalize.finalize(tmp_path / name, target)
        report = check(target)
        assert report.errors == []
        assert result.duration == pytest.approx(report.duration, abs=0.01)
        # The last report is up to a second old; what was then written is there.
        assert report.duration > 3.5
