"""Track pairs, and the ways in which a capture ends or is refused."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from livekit import api, rtc

from devstack.livekit import LiveKitServer
from devstack.mediacheck import check
from devstack.process import free_port
from devstack.publisher import PublisherProcess
from egress_recorder import ipc
from egress_recorder.contract import EndReason, ExitCode, ParticipantSource, Phase, TrackCompositeSource
from support.capture_process import CaptureProcess, recorder_token
from support.realtime import MEASURES, REALTIME

pytestmark = [pytest.mark.integration, REALTIME, MEASURES]
ALICE = ParticipantSource(identity="alice")


def sid(process: PublisherProcess, kind: str) -> str:
    return str(process.wait("published", kind=kind)["sid"])


def tell(process: PublisherProcess, command: str) -> None:
    assert process._process.stdin is not None
    process._process.stdin.write(command + "\n")
    process._process.stdin.flush()


@pytest.mark.parametrize(
    ("kinds", "streams"),
    [(("audio", "video"), "h264+aac"), (("audio",), "+aac"), (("video",), "h264+")],
)
def test_tracks_become_a_file_of_just_their_kinds(
    livekit_server: LiveKitServer,
    room: str,
    alice: PublisherProcess,
    tmp_path: Path,
    kinds: tuple[str, ...],
    streams: str,
) -> None:
    source = TrackCompositeSource(
        audio_track_id=sid(alice, "audio") if "audio" in kinds else "",
        video_track_id=sid(alice, "video") if "video" in kinds else "",
    )
    with CaptureProcess(livekit_server, room, source, tmp_path) as capture:
        capture.wait(ipc.Started)
        time.sleep(3)
        capture.stop()
        ended = capture.ended()
    assert ended.phase is Phase.COMPLETE
    report = check(capture.file)
    assert report.errors == []
    assert f"{report.video_codec}+{report.audio_codec}" == streams
    assert report.duration == pytest.approx(3.2, abs=0.6)
    if "audio" in kinds:
        assert report.level(1.0, 2.5) > 0.01


def test_a_track_pair_ends_when_its_last_track_ends(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    source = TrackCompositeSource(audio_track_id=sid(alice, "audio"), video_track_id=sid(alice, "video"))
    with CaptureProcess(livekit_server, room, source, tmp_path) as capture:
        capture.wait(ipc.Started)
        time.sleep(1.5)
        tell(alice, "unpublish_video")
        time.sleep(1)
        assert capture.process.poll() is None
        tell(alice, "unpublish_audio")
        ended_at = time.time()
        ended = capture.ended(10)
    assert (ended.phase, ended.reason) == (Phase.COMPLETE, EndReason.SOURCE_CLOSED)
    assert ended.ended_at is not None
    assert ended.ended_at.timestamp() == pytest.approx(ended_at, abs=0.8)


def test_an_audio_id_that_names_a_video_track_is_refused_with_the_way_out(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    video = sid(alice, "video")
    with CaptureProcess(
        livekit_server, room, TrackCompositeSource(audio_track_id=video), tmp_path
    ) as capture:
        ended = capture.ended()
    assert (ended.phase, ended.exit_code, ended.error_code) == (Phase.FAILED, ExitCode.DATA, 400)
    assert ended.error == f"audioTrackId {video} names a video track: put it into videoTrackId"


def test_an_unknown_track_is_named_after_the_timeout(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    source = TrackCompositeSource(audio_track_id=sid(alice, "audio"), video_track_id="TR_nowhere")
    with CaptureProcess(livekit_server, room, source, tmp_path, track_timeout=2.0) as capture:
        ended = capture.ended()
    assert (ended.phase, ended.exit_code, ended.error_code) == (Phase.FAILED, ExitCode.DATA, 404)
    assert ended.error.startswith(f"track TR_nowhere not found in room {room} within 2 s")
    assert ended.files == ()


def test_an_absent_participant_is_named_after_the_join_timeout(
    livekit_server: LiveKitServer, room: str, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, join_timeout=1.0) as capture:
        ended = capture.ended()
    assert (ended.phase, ended.exit_code, ended.error_code) == (Phase.FAILED, ExitCode.DATA, 404)
    assert "participant alice did not join" in ended.error


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("secret", ExitCode.AUTHORIZATION, "livekit credentials"),
        ("path", ExitCode.CONFIGURATION, "livekit.url"),
        ("port", ExitCode.UNREACHABLE, "cannot be reached"),
        ("host", ExitCode.UNREACHABLE, "unknown"),
        ("scheme", ExitCode.CONFIGURATION, "use ws:// or wss://"),
    ],
)
def test_a_server_that_cannot_be_joined_is_explained_without_the_token(
    livekit_server: LiveKitServer, room: str, tmp_path: Path, change: str, code: ExitCode, words: str
) -> None:
    secret = "x" * 40 if change == "secret" else ""
    url = {
        "path": f"{livekit_server.url}/nope",
        "port": f"ws://127.0.0.1:{free_port()}",
        "host": "ws://no-such-host.invalid:7880",
        "scheme": "ftp://127.0.0.1",
    }.get(change, livekit_server.url)
    token = recorder_token(livekit_server, room, "EG_x", secret=secret)
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, token=token, url=url) as capture:
        ended = capture.ended()
    assert ended.exit_code is code
    assert words in ended.error
    assert "eyJ" not in ended.error
    assert "eyJ" not in capture.stderr_path.read_text()


def test_a_deleted_room_completes_the_recording(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    async def delete() -> None:
        async with api.LiveKitAPI(
            livekit_server.http_url, livekit_server.api_key, livekit_server.api_secret
        ) as client:
            await client.room.delete_room(api.DeleteRoomRequest(room=room))

    with CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture:
        capture.wait(ipc.Started)
        time.sleep(1.5)
        asyncio.run(delete())
        ended = capture.ended(10)
    assert (ended.phase, ended.reason) == (Phase.COMPLETE, EndReason.SOURCE_CLOSED)
    assert check(capture.file).duration > 1.0


def test_a_second_recorder_with_the_same_identity_supersedes_the_first(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path / "one") as first:
        first.wait(ipc.Started)
        with CaptureProcess(livekit_server, room, ALICE, tmp_path / "two") as second:
            ended = first.ended(10)
            second.wait(ipc.Started)
            second.stop()
            assert second.ended().phase is Phase.COMPLETE
    assert (ended.phase, ended.reason) == (Phase.INTERRUPTED, EndReason.SUPERSEDED)
    assert ended.exit_code is ExitCode.INTERRUPTED
    assert check(first.file).errors == []


def test_absence_completes_a_later_part_instead_of_failing_it(
    livekit_server: LiveKitServer, room: str, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, continuing=True) as capture:
        capture.wait(ipc.Joined)
        capture.stop()
        ended = capture.ended()
    assert (ended.phase, ended.files, ended.error) == (Phase.COMPLETE, (), "")


@pytest.mark.slow
def test_a_restarted_server_leaves_one_continuous_file(tmp_path: Path) -> None:
    server = LiveKitServer(tmp_path / "server")
    server.start()
    try:
        with (
            PublisherProcess(
                server.url, server.api_key, server.api_secret, "room", "alice", ("--size", "640x360")
            ),
            CaptureProcess(server, "room", ALICE, tmp_path / "media") as capture,
        ):
            started = capture.wait(ipc.Started)
            time.sleep(2)
            server.restart()
            time.sleep(14)
            stopped_at = time.time()
            capture.stop()
            ended = capture.ended()
    finally:
        server.stop()
    assert ended.phase is Phase.COMPLETE
    report = check(capture.file)
    assert report.errors == []
    assert report.duration == pytest.approx(stopped_at - started.started_at.timestamp(), abs=0.3)
    assert report.counted(report.duration - 2)


async def test_an_encrypted_track_is_refused_before_it_is_subscribed(
    livekit_server: LiveKitServer, room: str, tmp_path: Path
) -> None:
    token = (
        api.AccessToken(livekit_server.api_key, livekit_server.api_secret)
        .with_identity("alice")
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .to_jwt()
    )
    encryption = rtc.E2EEOptions(key_provider_options=rtc.KeyProviderOptions(shared_key=b"secret key"))
    publisher = rtc.Room()
    await publisher.connect(
        livekit_server.url, token, rtc.RoomOptions(auto_subscribe=False, encryption=encryption)
    )
    try:
        track = rtc.LocalAudioTrack.create_audio_track("audio", rtc.AudioSource(48_000, 1))
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await publisher.local_participant.publish_track(track, options)
        with CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture:
            ended = await asyncio.to_thread(capture.ended)
    finally:
        await publisher.disconnect()
    assert (ended.phase, ended.exit_code, ended.files) == (Phase.FAILED, ExitCode.DATA, ())
    assert ended.error.startswith(f"track {publication.sid} of alice is end-to-end encrypted")
