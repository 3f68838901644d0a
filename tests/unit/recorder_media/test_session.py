"""The session with a source of its own making: what it tells, and when and as what it ends."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from egress_recorder import ipc
from egress_recorder.errors import AuthorizationError, UnreachableError
from egress_recorder.ipc_streams import StreamTarget
from egress_recorder.segmentation import SegmentRequest
from egress_recorder.session import Session
from egress_recorder.sources.base import RoomEnd
from egress_recorder.vocabulary import EndReason, ExitCode, Phase
from support.scripted_session import publish, request, run, until_started

pytestmark = pytest.mark.unit


async def test_a_stop_completes_a_file_that_has_media(tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        publish(session)
        await until_started(session)
        session.stop(EndReason.STOP_REQUESTED)
        session.stop(EndReason.INTERRUPTED)  # changes nothing

    ended, events = await run(request(tmp_path), script)
    assert (ended.phase, ended.reason, ended.exit_code) == (Phase.COMPLETE, EndReason.STOP_REQUESTED, 0)
    assert ended.files == ("media.mp4",)
    assert (tmp_path / ended.files[0]).stat().st_size == ended.progress.bytes_written
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert (ended.ended_at - ended.started_at).total_seconds() == pytest.approx(1.0, abs=0.3)
    assert [type(event) for event in events[:2]] == [ipc.Joined, ipc.Started]
    # What the file holds is told before the end, which `run` returns and does not emit.
    (told,) = [event for event in events if isinstance(event, ipc.SpansChanged)]
    (span,) = told.spans
    assert (span.sid, span.kind, span.width, span.height) == ("v", "video", 64, 36)
    assert (span.start, span.end) == (0.0, pytest.approx(ended.progress.duration, abs=0.1))


async def test_streams_come_and_go_beside_a_file_of_sound_and_are_told(tmp_path: Path) -> None:
    def target(key: str) -> StreamTarget:
        return StreamTarget(key=key, url="", protocol="RTMP", error="Secret x does not exist")

    async def script(session: Session) -> None:
        assert session.pictures
        publish(session)
        await until_started(session)
        session.want_streams([target("b")])
        await asyncio.sleep(0.5)
        session.stop(EndReason.STOP_REQUESTED)

    wanted = request(tmp_path, files=("OGG",), streaming=True, streams=(target("a"),))
    ended, events = await run(wanted, script)

    assert ended.phase is Phase.COMPLETE
    told = [event.streams for event in events if isinstance(event, ipc.StreamsChanged)]
    assert [[(one.key, one.status) for one in streams] for streams in told] == [
        [("a", "FAILED")],
        [("a", "FAILED"), ("b", "FAILED")],
    ]


def speak(session: Session, seconds: float = 1.0) -> None:
    """Deliver a second of sound that was heard just now."""
    now = time.monotonic()
    session.joined("RM_x")
    session.present(now)
    session.pipeline.opened("a", "audio", now - seconds)
    for number in range(20):
        piece = bytes([7]) * 4 * 2400
        session.pipeline.samples("a", piece, now - seconds + (number + 1) * seconds / 20)


async def test_each_type_of_file_is_written_and_told(tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        assert session.pictures
        publish(session)
        speak(session)
        await until_started(session)
        await asyncio.sleep(1.3)  # a report
        session.stop(EndReason.STOP_REQUESTED)

    ended, events = await run(request(tmp_path, files=("MP4", "OGG", "MP3")), script)
    names = ("media.mp4", "media.ogg", "media.mp3")
    (started,) = [event for event in events if isinstance(event, ipc.Started)]
    assert ended.files == started.files == names
    assert ended.problems == {}
    assert ended.progress.bytes_written == sum((tmp_path / name).stat().st_size for name in names)
    report = next(event for event in events if isinstance(event, ipc.ProgressReport))
    assert len(report.sizes) == 3
    assert sum(report.sizes) > 0


async def test_files_of_sound_need_no_pictures(tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        assert not session.pictures
        speak(session)
        await until_started(session)
        session.stop(EndReason.STOP_REQUESTED)

    ended, _ = await run(request(tmp_path, files=("OGG",)), script)
    assert (ended.phase, ended.files) == (Phase.COMPLETE, ("media.ogg",))
    assert ended.progress.frames == 0
    assert (tmp_path / "media.ogg").read_bytes().startswith(b"OggS")


@pytest.mark.parametrize(
    ("continuing", "phase", "code"), [(False, Phase.ABORTED, 412), (True, Phase.COMPLETE, 0)]
)
async def test_a_room_that_closes_before_any_media(
    tmp_path: Path, continuing: bool, phase: Phase, code: int
) -> None:
    async def script(session: Session) -> RoomEnd:
        session.present(time.monotonic())
        return RoomEnd.CLOSED

    ended, _ = await run(request(tmp_path, continuing=continuing), script)
    assert (ended.phase, ended.error_code, ended.files) == (phase, code, ())


@pytest.mark.parametrize(
    ("end", "phase", "code"),
    [
        (RoomEnd.CLOSED, Phase.COMPLETE, ExitCode.FINISHED),
        (RoomEnd.SUPERSEDED, Phase.INTERRUPTED, ExitCode.INTERRUPTED),
        (RoomEnd.LOST, Phase.INTERRUPTED, ExitCode.INTERRUPTED),
    ],
)
async def test_however_the_room_ends_the_media_is_kept(
    tmp_path: Path, end: RoomEnd, phase: Phase, code: ExitCode
) -> None:
    async def script(session: Session) -> RoomEnd:
        publish(session)
        await until_started(session)
        return end

    ended, _ = await run(request(tmp_path), script)
    assert (ended.phase, ended.exit_code) == (phase, code)
    assert (tmp_path / ended.files[0]).exists()


async def test_a_lost_connection_without_media_is_unreachable(tmp_path: Path) -> None:
    async def script(session: Session) -> RoomEnd:
        return RoomEnd.LOST

    ended, _ = await run(request(tmp_path), script)
    assert (ended.phase, ended.exit_code) == (Phase.INTERRUPTED, ExitCode.UNREACHABLE)


@pytest.mark.parametrize(
    ("error", "phase", "code"),
    [
        (AuthorizationError("no"), Phase.FAILED, ExitCode.AUTHORIZATION),
        (UnreachableError("no"), Phase.INTERRUPTED, ExitCode.UNREACHABLE),
        (RuntimeError("secret eyJhbGciOiJIUzI1NiJ9.eyJ.x"), Phase.INTERRUPTED, ExitCode.SOFTWARE),
    ],
)
async def test_an_error_of_the_source_ends_the_session_with_its_code(
    tmp_path: Path, error: Exception, phase: Phase, code: ExitCode
) -> None:
    async def script(session: Session) -> None:
        raise error

    ended, _ = await run(request(tmp_path), script)
    assert (ended.phase, ended.exit_code, ended.files) == (phase, code, ())
    assert "eyJ" not in ended.error


async def test_the_file_ends_at_the_departure_however_long_a_return_was_awaited(tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        now = publish(session)
        await until_started(session)
        session.absent(now, certain=True)

    ended, _ = await run(request(tmp_path, rejoin_timeout=0.6), script)
    assert (ended.phase, ended.reason) == (Phase.COMPLETE, EndReason.SOURCE_CLOSED)
    assert ended.progress.duration == pytest.approx(1.0, abs=0.1)


async def test_who_never_comes_is_named(tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        session.joined("RM_x")

    ended, _ = await run(request(tmp_path, join_timeout=0.05), script)
    assert (ended.phase, ended.error_code) == (Phase.FAILED, 404)
    assert ended.error == "participant alice did not join room r within 0.05 s (joinTimeout)"


async def test_files_are_told_of_as_they_are_full_and_the_end_is_of_the_last(tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        publish(session, seconds=3.0)
        await until_started(session)
        session.stop(EndReason.STOP_REQUESTED)

    # Every 16 pictures begin with a packet of AAC.
    ended, events = await run(request(tmp_path, max_file_duration=1.0), script)
    closed = [event for event in events if isinstance(event, ipc.FilesClosed)]
    assert [(one.files, one.next_files) for one in closed] == [
        (("media.mp4",), ("media-2.mp4",)),
        (("media-2.mp4",), ("media-3.mp4",)),
    ]
    assert ended.files == ("media-3.mp4",)
    (started,) = [event for event in events if isinstance(event, ipc.Started)]
    length = 32 / 30
    for number, one in enumerate(closed, start=1):
        assert one.until == pytest.approx(number * length)
        assert (one.at - started.started_at).total_seconds() == pytest.approx(number * length, abs=0.01)
        assert (one.progress.frames, one.progress.duration) == (32, pytest.approx(length, abs=0.001))
    assert ended.ended_at is not None
    assert (ended.ended_at - started.started_at).total_seconds() == pytest.approx(3.0, abs=0.3)
    assert ended.progress.duration == pytest.approx(3.0 - 2 * length, abs=0.3)
    assert (tmp_path / "media-3.mp4").stat().st_size == ended.progress.bytes_written
    assert ended.progress.frames == pytest.approx(ended.progress.duration * 30, abs=1.5)


async def test_without_a_file_nothing_is_ever_full(tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        publish(session, seconds=2.0)
        await until_started(session)
        session.stop(EndReason.STOP_REQUESTED)

    wanted = request(tmp_path, files=(), segments=(SegmentRequest(),), max_file_duration=0.5)
    _, events = await run(wanted, script)
    assert not [event for event in events if isinstance(event, ipc.FilesClosed)]
