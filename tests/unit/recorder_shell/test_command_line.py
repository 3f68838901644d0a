"""What `egress-recorder` accepts and how it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from egress_recorder import cli
from egress_recorder.contract import (
    Encoding,
    ParticipantSource,
    Phase,
    Progress,
    RecorderStatus,
    S3Destination,
    TrackCompositeSource,
    VolumeDestination,
)
from egress_recorder.progressline import clock, describe, size
from egress_recorder.supervisor.request import LocalRequest, Server, UsageError, read_request, read_server

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
SERVER = Server(url="ws://x", api_key="k", api_secret="s" * 32)


def request(*words: str, output: str) -> LocalRequest:
    options = cli.parse_arguments(["record", "--room", "r", "-o", output, *words])
    return read_request(options, SERVER, now=NOW)


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "alice.mp4")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["record", "-o", "a.mp4"], "--room"),
        (["record", "--room", "r"], "-o"),
        (["record", "--room", "r", "-o", "a.mp4", "--width", "wide"], "--width"),
        (["record", "--room", "r", "-o", "a.mp4", "--join-timeout", "soon"], "no number of seconds"),
        (["run", "--scratch", "/s"], "--config-dir"),
        (["run", "--scratch", "/s", "--config-dir", "/c", "--bind", "nowhere"], "no HOST:PORT"),
    ],
)
def test_a_wrong_command_line_is_answered_with_a_sentence_and_64(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def spawn() -> Any:
        raise AssertionError("nothing is started for a wrong command line")

    assert cli.main(words, spawn=spawn) == 64
    assert sentence in capsys.readouterr().err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["record", "--help"]) == 0
    assert "--room" in capsys.readouterr().out


def test_a_server_comes_from_options_or_environment() -> None:
    options = cli.parse_arguments(["record", "--room", "r", "-o", "a.mp4", "--url", "ws://given"])
    environment = {
        "LIVEKIT_URL": "ws://x",
        "LIVEKIT_API_KEY": "k",
        "LIVEKIT_API_SECRET": "secret-of-the-test",
    }
    assert read_server(options, environment).url == "ws://given"
    with pytest.raises(UsageError, match="--api-key is missing: give it, or set LIVEKIT_API_KEY"):
        read_server(options, {"LIVEKIT_API_SECRET": "secret-of-the-test"})
    with pytest.raises(UsageError, match="must begin with ws"):
        read_server(cli.parse_arguments(["record", "--room", "r", "-o", "a", "--url", "x"]), environment)


def test_a_participant_into_a_local_file(target: str, tmp_path: Path) -> None:
    made = request("--identity", "alice", output=target)
    assert made.config.source == ParticipantSource(identity="alice")
    assert made.config.outputs[0].filepath == "alice.mp4"
    assert made.config.outputs[0].destination == VolumeDestination(volume=tmp_path.name)
    assert (made.volumes_root, made.directory) == (tmp_path.parent, tmp_path)
    assert made.config.egress_id.startswith("EG_")
    assert made.config.join_timeout is None


def test_two_tracks_into_a_bucket() -> None:
    made = request(
        "--audio-track-id", "TR_a", "--video-track-id", "TR_v", "--s3-bucket", "b", "--s3-region", "eu-central-1",
        output="d/{room_name}",
    )  # fmt: skip
    assert made.config.source == TrackCompositeSource(audio_track_id="TR_a", video_track_id="TR_v")
    assert made.config.outputs[0].destination == S3Destination(bucket="b", region="eu-central-1")
    assert made.config.outputs[0].filepath == "d/r.mp4"
    assert made.directory is None


def test_single_values_overrule_the_preset(target: str) -> None:
    made = request("--identity", "a", "--preset", "H264_1080P_60", "--video-bitrate", "2000", output=target)
    assert made.config.encoding == Encoding(width=1920, height=1080, framerate=60, video_bitrate=2000)


def test_codecs_frequency_and_key_frames_are_options_too(target: str) -> None:
    words = ("--video-codec", "H264_HIGH", "--audio-codec", "OPUS", "--audio-frequency", "44100")
    made = request("--identity", "a", *words, "--key-frame-interval", "0.5", output=target)
    assert made.config.encoding == Encoding(
        video_codec="H264_HIGH", audio_codec="OPUS", audio_frequency=44_100, key_frame_interval=0.5
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "either --identity, or"),
        (["--identity", "a", "--audio-track-id", "TR_a"], "either --identity, or"),
        (["--audio-track-id", "TR_a", "--screen-share"], "--screen-share goes with --identity"),
        (["--identity", "a", "--preset", "H264_8K"], "H264_720P_30"),
        (["--identity", "a", "--width", "641"], "--width"),
        (["--identity", "a", "--framerate", "500"], "--framerate"),
        (["--identity", "a", "--video-codec", "VP8"], "--video-codec: .*H264_MAIN"),
        (["--identity", "a", "--audio-codec", "VORBIS"], "--audio-codec: .*OPUS"),
        (
            ["--identity", "a", "--audio-codec", "AC_MP3"],
            "--output: no output can hold AC_MP3: use one of MP3",
        ),
        (["--identity", "a", "--audio-frequency", "44000"], "--audio-frequency: .*44100"),
        (["--identity", "a", "--key-frame-interval", "0"], "--key-frame-interval"),
    ],
)
def test_options_that_cannot_work_are_refused(words: list[str], sentence: str, target: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        request(*words, output=target)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("there.mp4", "is not overwritten"),
        ("none/a.mp4", "does not exist"),
        ("a.ts", "the recorder writes .mp4"),
        ("{who}.mp4", "unknown token"),
        (".", "is a directory"),
    ],
)
def test_a_target_that_cannot_work_is_refused(name: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_text("precious")
    with pytest.raises(UsageError, match=sentence):
        request("--identity", "a", output=str(tmp_path / name))


def test_a_token_is_hidden_and_may_only_subscribe() -> None:
    import base64  # noqa: PLC0415
    import json  # noqa: PLC0415

    payload = SERVER.token(room="r", identity="EG_x").split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["sub"], claims["kind"], claims["iss"]) == ("EG_x", "egress", "k")
    grants = claims["video"]
    assert (grants["hidden"], grants["recorder"], grants["canSubscribe"], grants["canPublish"]) == (
        True, True, True, False,
    )  # fmt: skip


def test_numbers_are_readable() -> None:
    assert clock(3725.9) == "01:02:05"
    assert [size(count) for count in (12, 1500, 2_500_000, 3e9)] == ["12 B", "1.5 kB", "2.5 MB", "3.00 GB"]


def test_the_progress_line_says_what_is_going_on() -> None:
    status = RecorderStatus(egress_id="EG_x")
    assert describe(status) == "joining the room"
    assert "waiting" in describe(status.model_copy(update={"in_room": True}))
    progress = Progress(duration=61.0, bytes_written=1_000_000, frames=1830, frames_dropped=2)
    active = status.model_copy(update={"phase": Phase.ACTIVE, "recording": True, "progress": progress})
    assert describe(active) == "00:01:01  1.0 MB  1830 frames  2 dropped"
    behind = active.model_copy(update={"degraded": "Preset"})
    assert describe(behind) == "00:01:01  1.0 MB  1830 frames  2 dropped  the machine cannot keep up"
    assert "finishing" in describe(active.model_copy(update={"phase": Phase.ENDING}))
