"""A capture without any file: streams alone end with the last of them, images alone are taken without an encoder."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import av
import pytest

from egress_recorder import ipc
from egress_recorder import session as session_module
from egress_recorder.imaging import ImageRequest
from egress_recorder.ipc_streams import StreamReport, StreamTarget
from egress_recorder.media import pipeline
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.outputs.stream_set import StreamSet
from egress_recorder.session import Session
from egress_recorder.session_values import media_spec
from egress_recorder.sources.selection import Publication, selection_for
from egress_recorder.vocabulary import EndReason, ExitCode, ParticipantSource, Phase, TrackCompositeSource
from support.scripted_session import publish, request, run, until_started

pytestmark = pytest.mark.unit

LOST = StreamTarget(key="a", url="", protocol="RTMP", error="Secret x does not exist")
WELL = StreamTarget(key="b", url="rtmp://h/app/key", protocol="RTMP")


class Receiver:
    """A stream whose receiver takes everything."""

    packets = 0

    def __init__(self, target: StreamTarget, *_: Any, **__: Any) -> None:
        self.target, self.over = target, False
        self.report = StreamReport(key=target.key, url="rtmp://h/app/{...}")

    def write(self, packet: EncodedPacket) -> None:
        type(self).packets += 1

    def finish(self) -> None:
        self.over = True
        self.report = StreamReport(
            key=self.target.key, url="rtmp://h/app/{...}", status="FINISHED", ended_at=datetime.now(UTC)
        )

    def join(self, timeout: float) -> None:
        pass


@pytest.fixture(autouse=True)
def receivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Receiver, "packets", 0)
    monkeypatch.setattr(session_module, "StreamSet", partial(StreamSet, start=Receiver))


def streaming(directory: Path, *streams: StreamTarget, **fields: Any) -> ipc.CaptureRequest:
    return request(directory, files=(), streaming=True, streams=streams, **fields)


def entries(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def recorded(session: Session) -> None:
    publish(session)
    await until_started(session)


async def test_streams_alone_are_a_recording_with_a_time_and_without_a_file(tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        await recorded(session)
        await asyncio.sleep(0.3)
        session.stop(EndReason.STOP_REQUESTED)

    ended, events = await run(streaming(tmp_path, WELL), script)

    assert (ended.phase, ended.exit_code, ended.files) == (Phase.COMPLETE, ExitCode.FINISHED, ())
    assert ended.started_at is not None
    assert ended.progress.duration == pytest.approx(1.3, abs=0.4)
    assert ended.progress.bytes_written == 0
    assert Receiver.packets >= ended.progress.frames >= 30
    assert [event.files for event in events if isinstance(event, ipc.Started)] == [()]
    assert entries(tmp_path) == []


async def test_the_end_of_the_last_stream_is_the_end_of_a_recording_of_streams_alone(tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        await recorded(session)
        session.want_streams([])

    ended, events = await run(streaming(tmp_path, WELL), script)

    assert (ended.phase, ended.reason) == (Phase.COMPLETE, EndReason.STREAMS_STOPPED)
    assert (ended.exit_code, ended.error) == (ExitCode.FINISHED, "")
    told = [event.streams for event in events if isinstance(event, ipc.StreamsChanged)]
    assert told[-1][0].status == "FINISHED"


@pytest.mark.parametrize(
    ("continuing", "phase", "error"),
    [(False, Phase.ABORTED, "Start signal not received"), (True, Phase.COMPLETE, "")],
)
async def test_a_list_that_is_emptied_before_any_media_ends_it_as_well(
    continuing: bool, phase: Phase, error: str, tmp_path: Path
) -> None:
    async def script(session: Session) -> None:
        session.want_streams([])

    ended, _ = await run(streaming(tmp_path, WELL, continuing=continuing), script)

    assert (ended.phase, ended.reason, ended.error) == (phase, EndReason.STREAMS_STOPPED, error)


async def test_a_recording_whose_last_stream_has_failed_fails_with_its_words_and_is_not_tried_again(
    tmp_path: Path,
) -> None:
    async def script(session: Session) -> None:
        await recorded(session)
        session.want_streams([LOST])

    ended, _ = await run(streaming(tmp_path, WELL), script)

    assert ended.reason is EndReason.FAILURE
    assert (ended.phase, ended.exit_code, ended.error_code) == (Phase.FAILED, ExitCode.DATA, 503)
    assert ended.exit_code.is_final_failure
    assert "the last stream has failed, and there is no other output: Secret x does not exist" in ended.error


@pytest.mark.parametrize("beside", [{"files": ("OGG",)}, {"images": (ImageRequest(interval=1),)}])
async def test_beside_another_output_streams_end_nothing(beside: dict[str, Any], tmp_path: Path) -> None:
    async def script(session: Session) -> None:
        await recorded(session)
        session.want_streams([])
        await asyncio.sleep(0.5)
        session.stop(EndReason.STOP_REQUESTED)

    fields = {"files": (), **beside}
    ended, _ = await run(request(tmp_path, streaming=True, streams=(LOST,), **fields), script)

    assert (ended.phase, ended.reason) == (Phase.COMPLETE, EndReason.STOP_REQUESTED)


async def test_images_alone_are_taken_without_an_encoder_and_tell_how_long_the_recording_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("images alone need no encoder")

    monkeypatch.setattr(pipeline, "VideoEncoder", never)
    monkeypatch.setattr(pipeline, "AudioEncoder", never)

    async def script(session: Session) -> None:
        assert (session.pictures, session.sound) == (True, False)
        await recorded(session)
        await asyncio.sleep(1.3)
        session.stop(EndReason.STOP_REQUESTED)

    ended, events = await run(request(tmp_path, files=(), images=(ImageRequest(interval=1),)), script)

    assert (ended.phase, ended.files) == (Phase.COMPLETE, ())
    assert ended.progress.duration == pytest.approx(2.3, abs=0.4)
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert (ended.ended_at - ended.started_at).total_seconds() == pytest.approx(
        ended.progress.duration, abs=0.001
    )
    made = [event for event in events if isinstance(event, ipc.ImageMade)]
    assert [one.name for one in made] == [f"image-0-{number:06d}.jpeg" for number in range(3)]
    with av.open(str(tmp_path / made[0].name)) as image:
        assert next(image.decode(video=0)).width == 64


async def test_images_alone_end_where_their_participant_left(tmp_path: Path) -> None:
    left: list[float] = []

    async def script(session: Session) -> None:
        left.append(publish(session))
        await until_started(session)
        session.absent(left[0], certain=True)

    ended, _ = await run(
        request(tmp_path, files=(), images=(ImageRequest(interval=1),), rejoin_timeout=1.0), script
    )

    assert (ended.phase, ended.reason) == (Phase.COMPLETE, EndReason.SOURCE_CLOSED)
    assert ended.progress.duration == pytest.approx(1.0, abs=0.1)


def test_what_no_output_holds_is_not_received(tmp_path: Path) -> None:
    images = request(tmp_path, files=(), images=(ImageRequest(interval=1),))
    assert (media_spec(images).video, media_spec(images).audio) == (True, False)
    assert media_spec(streaming(tmp_path)).audio
    published = [
        Publication("TR_a", "audio", "MICROPHONE", "alice"),
        Publication("TR_v", "video", "CAMERA", "alice"),
    ]
    for source in (
        ParticipantSource(identity="alice"),
        TrackCompositeSource(audio_track_id="TR_a", video_track_id="TR_v"),
    ):
        selection = selection_for(source, sound=False)
        assert selection.kinds == {"video"}
        assert [one.sid for one in selection.choose(published, 0.0)] == ["TR_v"]
        assert selection.complete(published[1:])
