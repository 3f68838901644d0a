"""Segments of generated media, checked by decoding them one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest

from devstack import testpattern
from devstack.mediacheck import check_sound
from egress_recorder import finalize, fmp4, ipc, session_values
from egress_recorder.filetypes import FileType
from egress_recorder.media.audioencoder import AudioEncoder
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import MediaSpec, Picture
from egress_recorder.outputs.segments import ClosedSegment, SegmentOutput
from egress_recorder.segmentation import SegmentContainer, SegmentRequest
from egress_recorder.vocabulary import Encoding, ParticipantSource

pytestmark = pytest.mark.unit
SPEC = MediaSpec(320, 180, 30, 400, 96, key_frame_interval=2.0, segment_duration=2)
SIZE = 320 * 180


def packets(spec: MediaSpec, seconds: float) -> list[EncodedPacket]:
    made: list[EncodedPacket] = []
    if spec.video:
        video = VideoEncoder(spec)
        for index in range(int(seconds * spec.framerate)):
            grey = Picture(bytes([16 + index % 200]) * SIZE + bytes([128]) * (SIZE // 2), 320, 180)
            made += video.encode(grey, index)
        made += video.flush()
    if spec.audio:
        audio = AudioEncoder(spec)
        axis = np.arange(int(seconds * 48_000)) / 48_000
        tone = (8000 * np.sin(2 * np.pi * 440 * axis)).astype(np.int16)
        made += audio.encode(np.stack([tone, tone], axis=1)) + audio.flush()
    return sorted(made, key=lambda packet: packet.file_time)


def segments(
    directory: Path, spec: MediaSpec, request: SegmentRequest, seconds: float
) -> tuple[SegmentOutput, list[ClosedSegment]]:
    output = SegmentOutput(directory, spec, request, index=0)
    for packet in packets(spec, seconds):
        output.write(packet)
    output.close()
    return output, output.take()


def times(path: Path, kind: str) -> list[float]:
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        return [float(frame.time) for frame in container.decode(*streams) if frame.time is not None]


def test_segments_begin_at_their_boundaries_and_decode_as_one_stream(tmp_path: Path) -> None:
    output, closed = segments(tmp_path, SPEC, SegmentRequest(duration=2), 5)
    assert [(one.number, one.start, one.duration) for one in closed] == [(0, 0, 2), (1, 2, 2), (2, 4, 1)]
    paths = [tmp_path / output.filename / one.name for one in closed]
    assert [one.size for one in closed] == [path.stat().st_size for path in paths]
    assert output.bytes_written == sum(one.size for one in closed)
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(path.read_bytes() for path in paths))
    assert times(whole, "video") == pytest.approx([tick / 30 for tick in range(150)], abs=1e-4)
    sound = times(whole, "audio")
    assert np.diff(sound) == pytest.approx(1024 / 48_000, abs=1e-4)
    assert sound[-1] > 4.9
    for path, one in zip(paths, closed, strict=True):
        assert times(path, "video")[0] == pytest.approx(one.start, abs=1e-4), "each begins with a key frame"


def joined(directory: Path, names: list[str]) -> Path:
    """Return one file of fMP4 segments: the first one's header, then all media, as a player gets them."""
    headers = [fmp4.detach(directory / name).read_bytes() for name in names]
    assert len(set(headers)) == 1
    whole = directory / f"{names[0]}.mp4"
    whole.write_bytes(headers[0] + b"".join((directory / name).read_bytes() for name in names))
    return whole


def test_fragmented_segments_share_a_header_and_their_times_go_on(tmp_path: Path) -> None:
    output, closed = segments(tmp_path, SPEC, SegmentRequest(container="FMP4", duration=2), 5)
    assert [(one.name, one.start, one.duration) for one in closed] == [
        ("00000.m4s", 0, 2),
        ("00001.m4s", 2, 2),
        ("00002.m4s", 4, 1),
    ]
    directory = tmp_path / output.filename
    for one in closed:
        assert times(directory / one.name, "video")[0] == pytest.approx(one.start, abs=1e-4)
    whole = joined(directory, [one.name for one in closed])
    assert [one.size for one in closed] == [(directory / one.name).stat().st_size for one in closed]
    assert times(whole, "video") == pytest.approx([tick / 30 for tick in range(150)], abs=1e-4)
    sound = times(whole, "audio")
    assert np.diff(sound) == pytest.approx(1024 / 48_000, abs=1e-4)
    assert (sound[0], sound[-1] > 4.9) == (pytest.approx(0, abs=1e-4), True)


def test_what_a_kill_leaves_of_a_fragmented_segment_goes_on_from_the_one_before(tmp_path: Path) -> None:
    output = SegmentOutput(tmp_path, SPEC, SegmentRequest(container="FMP4", duration=2), index=0)
    for packet in packets(SPEC, 3):
        output.write(packet)
    directory = tmp_path / output.filename
    grown = (directory / "00001.m4s").read_bytes()
    (directory / "00001.m4s").write_bytes(grown[:-100])
    result = finalize.finalize(directory / "00001.m4s", directory / "00001.final.m4s")
    assert result.frames >= 15
    assert 2.4 < result.duration <= 3.01
    # Its header is another one: the finalizer copies from a file, not from encoders.
    first, second = (joined(directory, [name]) for name in ("00000.m4s", "00001.final.m4s"))
    pictures = times(first, "video") + times(second, "video")
    assert pictures == pytest.approx([tick / 30 for tick in range(60 + result.frames)], abs=1e-4)
    assert np.diff(times(first, "audio") + times(second, "audio")) == pytest.approx(1024 / 48_000, abs=1e-4)


def test_sound_that_is_ahead_of_the_pictures_begins_no_segment(tmp_path: Path) -> None:
    output = SegmentOutput(tmp_path, SPEC, SegmentRequest(duration=2), index=0)
    for packet in sorted(packets(SPEC, 5), key=lambda one: one.file_time - 0.1 * (one.kind == "audio")):
        output.write(packet)
    output.close()
    closed = output.take()
    assert [(one.start, one.duration) for one in closed] == [(0, 2), (2, 2), (4, 1)]
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join((tmp_path / "segments-0" / one.name).read_bytes() for one in closed))
    assert np.diff(times(whole, "audio")) == pytest.approx(1024 / 48_000, abs=1e-4)
    assert len(times(whole, "video")) == 150


def test_a_segment_that_is_not_closed_is_not_told_and_its_bytes_are_there(tmp_path: Path) -> None:
    output = SegmentOutput(tmp_path, SPEC, SegmentRequest(duration=2), index=0)
    for packet in packets(SPEC, 3):
        output.write(packet)
    assert [one.number for one in output.take()] == [0]
    assert len(times(tmp_path / "segments-0" / "00001.ts", "video")) >= 25


def test_what_a_kill_leaves_of_a_segment_becomes_one_that_goes_on_from_the_one_before(tmp_path: Path) -> None:
    output = SegmentOutput(tmp_path, SPEC, SegmentRequest(duration=2), index=0)
    for packet in packets(SPEC, 3):
        output.write(packet)
    directory = tmp_path / output.filename
    result = finalize.finalize(directory / "00001.ts", directory / "00001.final.ts")
    assert 2.8 < result.duration <= 3.01
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join((directory / name).read_bytes() for name in ("00000.ts", "00001.final.ts")))
    assert times(whole, "video") == pytest.approx([tick / 30 for tick in range(60 + result.frames)], abs=1e-4)
    assert np.diff(times(whole, "audio")) == pytest.approx(1024 / 48_000, abs=1e-4)


@pytest.mark.parametrize(("container", "extension"), [("TS", "ts"), ("FMP4", "m4s")])
def test_pictures_of_a_cut_segment_do_not_outlast_its_sound(
    tmp_path: Path, container: SegmentContainer, extension: str
) -> None:
    output = SegmentOutput(tmp_path, SPEC, SegmentRequest(container=container, duration=2), index=0)
    for packet in packets(SPEC, 3):
        if packet.kind == "video" or packet.file_time < 2.9:
            output.write(packet)
    output.close()
    cut, clean = (tmp_path / output.filename / f"00001{name}.{extension}" for name in ("", ".final"))
    assert finalize.finalize(cut, clean).duration == pytest.approx(2.9, abs=0.03)
    pictures, sound = (times(clean, kind)[-1] for kind in ("video", "audio"))
    assert pictures + 1 / 30 <= sound + 1024 / 48_000 + 1e-3
    assert sound - pictures < 1 / 30, "and not a picture more is left out"


def test_a_cut_segment_keeps_its_pictures_where_there_is_no_sound(tmp_path: Path) -> None:
    silent = replace(SPEC, audio=False)
    output, _ = segments(tmp_path, silent, SegmentRequest(duration=2), 3)
    result = finalize.finalize(tmp_path / output.filename / "00001.ts", tmp_path / "clean.ts")
    assert result.frames == 30


def played(output: SegmentOutput, closed: list[ClosedSegment], directory: Path) -> list[Path]:
    """Return what a player gets: all segments as one file, then each of them alone behind what initialises it."""
    folder = directory / output.filename
    paths = [folder / one.name for one in closed]
    headers = {fmp4.detach(path).read_bytes() if path.suffix == ".m4s" else b"" for path in paths}
    [header] = headers
    media = [path.read_bytes() for path in paths]
    made = []
    for number, content in enumerate((b"".join(media), *media)):
        made.append(directory / f"played-{number}{'.mp4' if header else '.ts'}")
        made[-1].write_bytes(header + content)
    return made


def kinds(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.type for stream in container.streams]


both_containers = pytest.mark.parametrize("container", get_args(SegmentContainer))


@both_containers
def test_sound_alone_is_cut_at_the_boundaries_too_and_decodes_as_one_stream(
    tmp_path: Path, container: SegmentContainer
) -> None:
    spec = replace(SPEC, video=False)
    output, closed = segments(tmp_path, spec, SegmentRequest(container=container, duration=2), 5)
    assert [one.start for one in closed] == pytest.approx([0, 2, 4], abs=0.022)
    assert sum(one.duration for one in closed) == pytest.approx(5, abs=0.03)
    whole, *each = played(output, closed, tmp_path)
    assert kinds(whole) == ["audio"]
    sound = times(whole, "audio")
    assert np.diff(sound) == pytest.approx(1024 / 48_000, abs=1e-4)
    assert (sound[0], sound[-1]) == (pytest.approx(0, abs=1e-4), pytest.approx(5, abs=0.045))
    pcm = check_sound(whole)
    # Without a hole in its waves: a packet that is lost, doubled or moved would cancel the tone of a whole second.
    for second in range(5):
        piece = pcm[0, second * 48_000 + 2400 : (second + 1) * 48_000 - 2400]
        assert testpattern.tone_level(piece, 440) == pytest.approx(8000 / 32_768, rel=0.02)
    for path, one in zip(each, closed, strict=True):
        alone = times(path, "audio")
        assert alone[0] == pytest.approx(one.start, abs=1e-4)
        assert len(alone) == round(one.duration * 48_000 / 1024)


@both_containers
def test_pictures_alone_are_segments_that_decode_as_one_stream(
    tmp_path: Path, container: SegmentContainer
) -> None:
    spec = replace(SPEC, audio=False)
    output, closed = segments(tmp_path, spec, SegmentRequest(container=container, duration=2), 5)
    assert [(one.start, one.duration) for one in closed] == [(0, 2), (2, 2), (4, 1)]
    whole, *each = played(output, closed, tmp_path)
    assert kinds(whole) == ["video"]
    assert times(whole, "video") == pytest.approx([tick / 30 for tick in range(150)], abs=1e-4)
    for path, one in zip(each, closed, strict=True):
        alone = times(path, "video")
        assert alone[0] == pytest.approx(one.start, abs=1e-4), "each begins with a key frame"
        assert len(alone) == one.duration * 30


def test_of_two_outputs_the_longer_one_is_cut_at_every_second_boundary(tmp_path: Path) -> None:
    _, closed = segments(tmp_path, SPEC, SegmentRequest(duration=4), 9)
    assert [(one.start, one.duration) for one in closed] == [(0, 4), (4, 4), (8, 1)]


def test_no_media_leaves_no_segment(tmp_path: Path) -> None:
    output = SegmentOutput(tmp_path, SPEC, SegmentRequest(), index=0)
    output.close()
    assert output.take() == []


def request(**fields: object) -> ipc.CaptureRequest:
    values = {"url": "ws://x", "token": "t", "room_name": "r", "directory": "/x", **fields}
    return ipc.CaptureRequest(source=ParticipantSource(identity="alice"), **values)  # type: ignore[arg-type]


def test_key_frames_are_the_union_of_the_files_and_the_boundaries() -> None:
    both = session_values.media_spec(request(files=("MP4",), segments=(SegmentRequest(duration=3),)))
    keys = [i for i in range(1, 241) if both.group(i) > both.group(i - 1)]
    assert keys == [60, 90, 120, 180, 240]


def test_segments_alone_have_key_frames_at_their_boundaries_whatever_interval_was_asked_for() -> None:
    wanted = (SegmentRequest(duration=6), SegmentRequest(duration=3))
    spec = session_values.media_spec(
        request(files=(), segments=wanted, encoding=Encoding(key_frame_interval=1.0))
    )
    assert [i for i in range(1, 241) if spec.group(i) > spec.group(i - 1)] == [90, 180]
    assert [one.audio_codec for one in session_values.segment_specs(request(files=(), segments=wanted))] == [
        "aac",
        "aac",
    ]


@pytest.mark.parametrize(
    ("interval", "files", "key_frames"),
    [
        (2.5, (), [60, 120, 180, 240]),
        (2.0, (), [60, 120, 180, 240]),
        (1.0, (), [30, 60, 90, 120, 150, 180, 210, 240]),
        (2.5, ("MP4",), [60, 75, 120, 150, 180, 225, 240]),
    ],
    ids=["the segments' are enough", "the same", "the stream asks for more", "a file has its own"],
)
def test_a_stream_beside_segments_has_their_key_frames(
    interval: float, files: tuple[FileType, ...], key_frames: list[int]
) -> None:
    spec = session_values.media_spec(
        request(
            files=files,
            streaming=True,
            segments=(SegmentRequest(duration=2),),
            encoding=Encoding(key_frame_interval=interval),
        )
    )

    assert [i for i in range(1, 241) if spec.group(i) > spec.group(i - 1)] == key_frames


def test_a_request_with_segments_survives_the_pipe() -> None:
    sent = request(segments=(SegmentRequest(duration=3),))
    assert ipc.parse_request(sent.line()) == sent
