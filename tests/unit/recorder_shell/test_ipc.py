"""The messages between supervisor and capture process: both ends read what the other writes, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from egress_recorder import ipc
from egress_recorder.spans import MediaGap, SizeChange, Span, TrackSpan
from egress_recorder.supervisor.events import parse_event
from egress_recorder.vocabulary import (
    Corrections,
    Encoding,
    EndReason,
    ExitCode,
    Limits,
    ParticipantSource,
    Phase,
    Progress,
    Track,
    TrackCompositeSource,
)

pytestmark = pytest.mark.unit
NOW = datetime(2026, 11, 22, 21, 0, 0, 123000, tzinfo=UTC)


@pytest.mark.parametrize(
    "source",
    [
        ParticipantSource(identity="alice", screen_share=True),
        TrackCompositeSource(audio_track_id="TR_a", video_track_id="TR_v"),
    ],
)
def test_a_request_arrives_as_it_was_sent(source: ParticipantSource | TrackCompositeSource) -> None:
    sent = ipc.CaptureRequest(
        url="ws://livekit",
        token="secret-token",
        room_name="r",
        source=source,
        encoding=Encoding(width=720, height=1280, framerate=60),
        join_timeout=12.5,
        limits=Limits(max_duration=3.5, max_size=10),
        directory="/scratch/part-001",
        continuing=True,
        recorded=7.25,
        recorded_bytes=4096,
    )
    assert ipc.parse_request(sent.line()) == sent
    assert "secret-token" not in repr(sent)


@pytest.mark.parametrize(
    "command",
    [ipc.StopCommand(reason=EndReason.SUPERSEDED), ipc.TokenCommand(token="renewed")],
)
def test_a_command_arrives_as_it_was_sent(command: ipc.StopCommand | ipc.TokenCommand) -> None:
    assert ipc.parse_command(command.line()) == command
    assert "renewed" not in repr(command)


@pytest.mark.parametrize(
    "event",
    [
        ipc.Joined(room_id="RM_1"),
        ipc.TracksChanged(
            tracks=(Track(sid="TR_1", kind="video", source="CAMERA", width=640, height=360, muted=True),),
            publisher_identity="alice",
        ),
        ipc.Started(started_at=NOW, files=("media.mp4", "media.ogg")),
        ipc.ProgressReport(progress=Progress(duration=1.5, frames=45, silence_inserted=0.25), recording=True),
        ipc.ProgressReport(
            progress=Progress(), recording=True, sizes=(5, 7), problems={"media.ogg": "it is full"}
        ),
        ipc.SpansChanged(
            spans=(
                TrackSpan(
                    number=3,
                    sid="TR_1",
                    kind="video",
                    start=1.5,
                    muted=(Span(start=2.0), Span(start=1.6, end=1.7)),
                    sizes=(SizeChange(at=2.5, width=640, height=360),),
                ),
            ),
            gaps=(MediaGap(start=1.0, end=1.5, reason="absent"),),
        ),
        ipc.ProgressReport(
            progress=Progress(corrections=Corrections(frames_late=2, receive_delay=0.05)), recording=False
        ),
        ipc.Ended(
            phase=Phase.COMPLETE,
            reason=EndReason.SOURCE_CLOSED,
            exit_code=ExitCode.FINISHED,
            files=("media.mp4", "media.ogg"),
            started_at=NOW,
            ended_at=NOW,
            progress=Progress(bytes_written=7),
        ),
        ipc.Ended(phase=Phase.FAILED, reason=EndReason.FAILURE, exit_code=ExitCode.DATA, error="no"),
    ],
)
def test_an_event_arrives_as_it_was_sent(event: ipc.Event) -> None:
    assert parse_event(event.line()) == event


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"event": "none"}',
        b'{"event": "started", "started_at": "yesterday", "files": ["a"]}',
        b'{"event": "ended", "phase": "Great", "reason": "Failure", "exit_code": 0}',
    ],
)
def test_an_event_that_makes_no_sense_is_not_believed(line: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        parse_event(line)


@pytest.mark.parametrize(
    "line",
    [
        b"x",
        b"[]",
        b"{}",
        b'{"command": "dance", "token": "sesame"}',
        b'{"command": "stop", "reason": "sesame"}',
    ],
)
def test_a_command_that_makes_no_sense_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        ipc.parse_command(line)


def test_a_refused_request_does_not_repeat_its_values() -> None:
    with pytest.raises(ValueError, match="not understood") as caught:
        ipc.parse_request(b'{"token": "sesame", "source": {"kind": "sesame"}}')
    assert "sesame" not in str(caught.value)


def test_the_capture_process_holds_no_pydantic() -> None:
    """12 MiB of each recording's memory, and 0.2 s of its start."""
    code = "import sys, egress_recorder.capture as c; c._import_media(); print('pydantic' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
