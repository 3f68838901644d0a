"""The whole path on real parts: every phase of the status is reached, for both kinds, and the media is decoded."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from support.realtime import MEASURES, REALTIME
from support.scene import ORDER, Recording, Scene

pytestmark = [pytest.mark.integration, REALTIME, MEASURES]


def assert_forward_only(recording: Recording) -> None:
    """After the first Active the phase only moves on."""
    positions = [ORDER.index(phase) for phase in recording.phases if phase in ORDER]
    assert positions == sorted(positions), recording.phases


def assert_in_step(report: Any) -> None:
    """Both ears hear the tones, picture and sound belong together."""
    for channel in (0, 1):
        assert report.tone(channel, 440, 1.2, 1.9) + report.tone(channel, 660, 1.2, 1.9) > 0.002
    offsets = report.offsets_ms
    assert len(offsets) >= 2
    # The machine of a test run is busy: the benchmark measures the sync, this finds what is broken.
    assert abs(sorted(offsets)[len(offsets) // 2]) < 150, offsets
    assert len(set(report.counted())) > 0.5 * report.duration * report.framerate


def test_a_participant_is_recorded_from_waiting_for_the_room_to_a_playable_file(
    scene: Scene, tmp_path: Path
) -> None:
    recording = scene.participant(rejoinTimeout="0s")
    waiting = recording.until_reason("WaitingForRoom")
    assert waiting["phase"] == "Pending"
    assert recording.pods() == []

    with scene.publisher() as publisher:
        recording.until_phase("Active")
        active = recording.until(
            lambda s: float(s.get("progress", {}).get("frames", 0)) > 30, 30, "progress while recording"
        )
        assert {track["kind"] for track in active["tracks"]} == {"audio", "video"}
        assert recording.condition("Recording")["status"] == "True"
        assert recording.condition("Ready")["status"] == "True"
        time.sleep(6)
        recording.stop()
        status = recording.until_phase("Complete")
        assert publisher.pid

    assert_forward_only(recording)
    assert recording.phases[0] == "Pending"
    assert recording.condition("Finished")["status"] == "True"
    assert recording.condition("Finished")["reason"] == "Complete"
    assert status["details"] == "End reason: StopEgress API"
    assert status["fileResults"][0]["filename"] == f"recordings/{scene.room}-alice.mp4"
    [report] = recording.files(tmp_path)
    assert report.errors == []
    assert (report.video_codec, report.audio_codec, report.channels) == ("h264", "aac", 2)
    assert (report.width, report.height, report.framerate) == (1280, 720, 30)
    assert abs(report.duration - float(status["fileResults"][0]["duration"].removesuffix("s"))) < 0.5
    assert_in_step(report)
    manifest = scene.stack.runner.claim_directory(scene.namespace, "recordings") / (
        f"recordings/{status['egressId']}.json"
    )
    assert '"phase":"Complete"' in manifest.read_text().replace(" ", "")


@pytest.mark.parametrize("kind", ["ParticipantEgress", "TrackCompositeEgress"])
def test_each_kind_passes_every_phase_in_order(scene: Scene, kind: str) -> None:
    with scene.publisher("--no-audio") as publisher:
        publisher.command("hold_video")
        recording = (
            scene.participant(fileOutputs=[scene.s3_output()])
            if kind == "ParticipantEgress"
            else scene.composite(videoTrackId=publisher.sid("video"), fileOutputs=[scene.s3_output()])
        )
        recording.until_phase("Starting")
        assert recording.condition("Ready")["status"] == "True"
        assert recording.condition("Recording")["status"] == "False"
        publisher.command("resume_video")
        recording.until_phase("Active")
        time.sleep(1)
        recording.stop()
        recording.until_phase("Complete")

    assert recording.phases == ["Pending", "Starting", "Active", "Ending", "Complete"]


def test_two_tracks_are_recorded_to_s3_and_end_with_their_participant(scene: Scene, tmp_path: Path) -> None:
    with scene.publisher("--codec", "h264") as publisher:
        recording = scene.composite(
            audioTrackId=publisher.sid("audio"),
            videoTrackId=publisher.sid("video"),
            advanced={"width": 640, "height": 360, "framerate": 15, "videoBitrate": 600},
            fileOutputs=[scene.s3_output()],
        )
        recording.until_phase("Active")
        time.sleep(6)
        publisher.command("leave")
    status = recording.until_phase("Complete")

    assert status["details"] == "End reason: Source closed"
    assert_forward_only(recording)
    [report] = recording.files(tmp_path)
    assert (report.width, report.height, report.framerate) == (640, 360, 15)
    assert report.errors == []
    assert_in_step(report)


def test_one_track_alone_makes_a_file_with_one_stream(scene: Scene, tmp_path: Path) -> None:
    with scene.publisher() as publisher:
        sound = scene.composite("sound", audioTrackId=publisher.sid("audio"), fileOutputs=[scene.s3_output()])
        picture = scene.composite(
            "picture",
            videoTrackId=publisher.sid("video"),
            fileOutputs=[{**scene.s3_output(), "filepath": f"{scene.namespace}/picture"}],
        )
        for recording in (sound, picture):
            recording.until_phase("Active")
        time.sleep(3)
        for recording in (sound, picture):
            recording.stop()
        for recording in (sound, picture):
            recording.until_phase("Complete")

    # LiveKit's choice where no type is said: an Ogg for an audio track alone.
    assert [report.streams for report in sound.files(tmp_path)] == ["opus 2ch"]
    assert sound.status()["resolved"]["fileTypes"] == ["OGG"]
    assert sound.status()["fileResults"][0]["filename"].endswith(".ogg")
    assert [report.streams for report in picture.files(tmp_path)] == ["h264 1280x720@30"]


def test_three_types_at_two_destinations_come_from_one_capture(scene: Scene, tmp_path: Path) -> None:
    name = f"{scene.namespace}/alice"
    with scene.publisher():
        recording = scene.participant(
            fileOutputs=[
                scene.pvc_output(),
                {**scene.s3_output(), "fileType": "MP3", "filepath": name},
                {**scene.s3_output(), "fileType": "OGG", "filepath": name},
            ]
        )
        recording.until_phase("Active")
        time.sleep(4)
        recording.stop()
        status = recording.until_phase("Complete")

    assert status["resolved"]["fileTypes"] == ["MP4", "MP3", "OGG"]
    names = [Path(result["filename"]).suffix for result in status["fileResults"]]
    assert names == [".mp4", ".mp3", ".ogg"]
    assert len({result["size"] for result in status["fileResults"]}) == 3
    reports = recording.files(tmp_path)
    assert [(report.video_codec, report.audio_codec) for report in reports] == [
        ("h264", "aac"),
        ("", "mp3float"),
        ("", "opus"),
    ]
    for report in reports:
        assert report.errors == []
        beeps = min(len(report.beeps), len(reports[0].beeps))
        assert beeps >= 3
        assert report.beeps[:beeps] == pytest.approx(reports[0].beeps[:beeps], abs=0.003)


def test_a_screen_share_is_recorded_instead_of_the_camera(scene: Scene, tmp_path: Path) -> None:
    with scene.publisher("--source", "screen"):
        shared = scene.participant("screen", screenShare=True)
        camera = scene.participant(
            "camera", fileOutputs=[{"filepath": "camera", "pvc": {"claimName": "recordings"}}]
        )
        status = shared.until_phase("Active")
        shared.until(lambda s: len(s.get("tracks", [])) == 2, 20, "both tracks")
        status = shared.status()
        assert {track["source"] for track in status["tracks"]} == {"SCREEN_SHARE", "SCREEN_SHARE_AUDIO"}
        camera.until_phase("Starting")
        time.sleep(3)
        shared.stop()
        camera.stop()
        shared.until_phase("Complete")
        ended = camera.until_phase("Aborted")

    assert ended["errorCode"] == 412
    [report] = shared.files(tmp_path)
    assert report.counted()


@pytest.mark.parametrize("kind", ["participant", "composite"])
def test_a_stop_before_the_room_exists_aborts_without_a_pod(scene: Scene, kind: str) -> None:
    recording = scene.participant() if kind == "participant" else scene.composite(audioTrackId="TR_AMxxxx")
    recording.until_reason("WaitingForRoom")

    recording.stop()
    recording.until_phase("Aborted")

    assert recording.pods() == []


def test_a_limit_ends_a_recording_with_a_complete_file(scene: Scene, tmp_path: Path) -> None:
    with scene.publisher() as publisher:
        participant = scene.participant(limits={"maxDuration": "4s"})
        composite = scene.composite(
            videoTrackId=publisher.sid("video"), limits={"maxSize": "2M"}, fileOutputs=[scene.s3_output()]
        )
        by_duration = participant.until_phase("LimitReached", timeout=60)
        by_size = composite.until_phase("LimitReached", timeout=60)

    assert by_duration["errorCode"] == by_size["errorCode"] == 413
    [report] = participant.files(tmp_path)
    assert 3.5 < report.duration < 5
    [report] = composite.files(tmp_path)
    assert report.errors == []
    assert 500_000 < report.path.stat().st_size <= 2_000_000


def test_mute_unpublish_and_late_tracks_become_black_and_silence(scene: Scene, tmp_path: Path) -> None:
    with scene.publisher("--no-video") as publisher:
        recording = scene.participant()
        recording.until_phase("Active")
        begin = time.time()
        time.sleep(2.5)
        publisher.command("publish_video")
        video_at = time.time() - begin
        time.sleep(3)
        publisher.command("mute_audio")
        muted_at = time.time() - begin
        time.sleep(3)
        publisher.command("unmute_audio")
        publisher.command("unpublish_video")
        black_at = time.time() - begin
        time.sleep(3)
        recording.stop()
        status = recording.until_phase("Complete")

    [report] = recording.files(tmp_path)
    # `begin` is when the test saw Active; the file began up to a few seconds earlier.
    early = report.duration - (time.time() - begin)
    assert report.duration > 11
    first_picture = next(t for t, n in zip(report.frame_times, report.counters, strict=True) if n is not None)
    last_picture = [t for t, n in zip(report.frame_times, report.counters, strict=True) if n is not None][-1]
    assert first_picture > 2
    assert last_picture < report.duration - 1.5
    assert last_picture - first_picture == pytest.approx(black_at - video_at, abs=1.5), early
    silence = [t / 2 for t in range(int(report.duration * 2)) if report.level(t / 2, t / 2 + 0.5) < 0.0005]
    assert 1.5 <= len(silence) / 2 <= 4.5, (silence, muted_at)
    assert status["progress"]["frames"] > 0


def test_a_recording_that_is_deleted_is_finished_before_the_object_goes(scene: Scene, tmp_path: Path) -> None:
    with scene.publisher():
        recording = scene.participant(fileOutputs=[scene.s3_output()])
        recording.until_phase("Active")
        time.sleep(3)
        scene.stack.api.delete(recording.plural, scene.namespace, recording.name)
        deadline = time.monotonic() + 40
        last: dict[str, Any] = {}
        while (item := recording.get()) is not None:
            last = item.get("status") or last
            assert time.monotonic() < deadline, last
            time.sleep(0.1)

    keys = [key for key in scene.stack.s3.keys(f"{scene.namespace}/") if key.endswith(".mp4")]
    assert len(keys) == 1
    assert scene.stack.s3.download(keys[0], tmp_path / "a.mp4").stat().st_size > 100_000
    assert recording.phases[-1] in {"Ending", "Complete"}


def test_a_finished_recording_is_deleted_at_once_even_without_the_operator(scene: Scene) -> None:
    recording = scene.participant()
    recording.until_reason("WaitingForRoom")
    recording.stop()
    recording.until_phase("Aborted")
    recording.until(lambda _: not (recording.get() or {})["metadata"].get("finalizers"), 10, "no finalizer")

    scene.stack.api.delete(recording.plural, scene.namespace, recording.name)

    assert recording.get() is None


def test_kubectl_answers_the_question_one_has(scene: Scene) -> None:
    recording = scene.participant()
    recording.until_reason("WaitingForRoom")

    def kubectl(*arguments: str) -> str:
        command = [str(scene.stack.tools / "kubectl"), "--kubeconfig", str(scene.stack.plane.kubeconfig)]
        done = subprocess.run(
            [*command, "-n", scene.namespace, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout

    short, wide = kubectl("get", "egress"), kubectl("get", "pegress", "-o", "wide")
    assert "Pending" in short
    assert scene.room in short
    assert "alice" in short
    assert recording.status()["egressId"] in wide
    assert "room" in wide.splitlines()[1].split(scene.room)[1].lower()  # the message says what it waits for
    recording.stop()
    waited = kubectl("wait", "participantegress/alice", "--for=condition=Finished", "--timeout=30s")
    assert "condition met" in waited
    assert "Aborted" in kubectl("describe", "pegress", "alice")
