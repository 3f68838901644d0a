"""What every output has to hold, run for each registered type and codec: an output passes by being registered.

Real encoders and muxers on two and a half seconds of the test pattern, checked by decoding; the kills are kills.
"""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest

from devstack import testpattern
from devstack.mediacheck import MediaReport, check
from egress_recorder import finalize
from egress_recorder.errors import MediaError, RecorderError
from egress_recorder.filetypes import FILE_KINDS, FileType, SoundCodec, of_extension, scratch_name
from egress_recorder.media.audiocodecs import audio_rate
from egress_recorder.media.audioencoder import AudioEncoder
from egress_recorder.media.fanout import FanOut
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.pipeline import Pipeline
from egress_recorder.media.values import MediaSpec
from egress_recorder.outputs import OUTPUTS
from support.encoded import (
    CASES,
    RATE,
    SECONDS,
    SPEC,
    in_child,
    packets,
    picture,
    pictures,
    sound_packets,
    spec_of,
)

pytestmark = pytest.mark.unit

LOST = 0.45
"""Seconds that a kill may cost: a fragment, cluster or page, and what the muxer interleaves."""
NAMES = {"pcm": "pcm_s16le", "mp3": "mp3float"}
"""How FFmpeg calls the decoder where it is not the codec's name."""

every_file = pytest.mark.parametrize(("file_type", "spec"), CASES)


def monotonic(path: Path) -> bool:
    """True when the packets of each stream come in the order of their times, the first at 0."""
    last: dict[int, float] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.dts is None or packet.pts is None:
                continue
            before = last.get(packet.stream.index)
            if packet.dts != packet.pts or (packet.pts != 0 if before is None else packet.dts <= before):
                return False
            last[packet.stream.index] = packet.dts
    return bool(last)


def judge(path: Path, spec: MediaSpec, *, least: float, most: float = SECONDS + 0.1) -> MediaReport:
    """Decode all of it: no error, gapless numbers, every flash and beep at its second."""
    report = check(path)
    assert report.errors == []
    seconds = [float(second) for second in range(1, int(least - 0.1) + 1)]
    if spec.audio:
        assert report.audio_codec == NAMES.get(spec.audio_codec, spec.audio_codec)
        assert least <= report.audio.shape[1] / 48_000 <= most
        assert report.beeps[: len(seconds)] == pytest.approx(seconds, abs=0.003)
    else:
        assert (report.audio_codec, report.beeps) == ("", []), "pictures alone have no track of silence"
    if spec.video:
        assert report.counters == list(range(report.frames))
        assert least <= report.frames / RATE <= SECONDS
        assert report.flashes[: len(seconds)] == pytest.approx(seconds, abs=0.002)
    else:
        assert report.frames == 0, "a file of sound has no pictures, not even black ones"
    return report


def test_each_type_of_file_is_registered_and_has_a_name_of_its_own() -> None:
    assert set(OUTPUTS) == set(FILE_KINDS) == set(get_args(FileType))
    names = [scratch_name(file_type) for file_type in OUTPUTS]
    assert len(set(names)) == len(names)
    assert [of_extension(name) for name in names] == list(OUTPUTS)


@every_file
def test_a_closed_file_has_every_frame_and_sample_at_its_time(
    tmp_path: Path, file_type: FileType, spec: MediaSpec
) -> None:
    output = OUTPUTS[file_type].open(tmp_path, spec)
    for packet in packets(spec):
        output.write(packet)
    output.close()
    path = tmp_path / scratch_name(file_type)

    report = judge(path, spec, least=SECONDS)

    assert output.bytes_written == path.stat().st_size
    assert monotonic(path)
    assert report.frames == (SECONDS * RATE if spec.video else 0)
    with av.open(str(path)) as container:
        assert (container.duration or 0) / 1e6 == pytest.approx(SECONDS, abs=0.06), "players show its length"


@every_file
def test_what_a_kill_leaves_plays_and_becomes_an_ordinary_file(
    tmp_path: Path, file_type: FileType, spec: MediaSpec
) -> None:
    made = packets(spec)

    def write_and_die() -> None:
        output = OUTPUTS[file_type].open(tmp_path, spec)
        for packet in made:
            output.write(packet)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(write_and_die) == -signal.SIGKILL
    path = tmp_path / scratch_name(file_type)
    left = judge(path, spec, least=SECONDS - LOST)

    target = tmp_path / f"clean{path.suffix}"
    result = finalize.finalize(path, target)
    clean = judge(target, spec, least=SECONDS - LOST)
    assert clean.frames == left.frames == result.frames
    assert clean.audio.shape[1] / 48_000 == pytest.approx(result.audio_duration, abs=0.002)
    assert monotonic(target)
    with av.open(str(target)) as container:
        assert (container.duration or 0) / 1e6 == pytest.approx(result.duration, abs=0.06)


@every_file
def test_a_full_disk_is_an_error_and_what_is_there_stays(
    tmp_path: Path, file_type: FileType, spec: MediaSpec
) -> None:
    made = packets(spec)
    limit = sum(packet.packet.size for packet in made) * 3 // 4

    def write_until_full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        output = OUTPUTS[file_type].open(tmp_path, spec)
        try:
            for packet in made:
                output.write(packet)
        except MediaError as error:
            output.close()
            told = "scratch volume" in str(error) and scratch_name(file_type) in str(error)
            os._exit(0 if told else 3)
        os._exit(4)

    assert in_child(write_until_full) == 0
    path, target = (
        tmp_path / scratch_name(file_type),
        tmp_path / f"clean{Path(scratch_name(file_type)).suffix}",
    )
    result = finalize.finalize(path, target)
    assert SECONDS * 0.35 < result.duration < SECONDS
    assert check(target).errors == []


@every_file
def test_nothing_is_written_after_the_end_and_nothing_without_media(
    tmp_path: Path, file_type: FileType, spec: MediaSpec
) -> None:
    output = OUTPUTS[file_type].open(tmp_path, spec)
    output.close()
    output.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MediaError):
        output.write(packets(spec)[0])


# ---- several at once -----------------------------------------------------------------------------------------


def test_one_encoding_serves_every_type_at_once(tmp_path: Path) -> None:
    specs = {file_type: spec_of(file_type, FILE_KINDS[file_type].sound[0]) for file_type in OUTPUTS}
    outputs = [OUTPUTS[file_type].open(tmp_path, spec) for file_type, spec in specs.items()]
    fan_out = FanOut(outputs)
    codecs = {spec.audio_codec for spec in specs.values()}
    everything = [*pictures(), *(packet for codec in codecs for packet in sound_packets(codec))]
    for packet in sorted(everything, key=lambda packet: packet.file_time):
        fan_out.write(packet)
    fan_out.close()

    assert fan_out.problems == {}
    assert fan_out.sizes == tuple((tmp_path / name).stat().st_size for name in fan_out.filenames)
    for file_type, spec in specs.items():
        judge(tmp_path / scratch_name(file_type), spec, least=SECONDS)


class Breaking:
    """An output that raises when it has taken so many packets."""

    filename = "broken"
    takes = frozenset({"h264", "mp3"})
    bytes_written = 7

    def __init__(self, after: int, error: Exception) -> None:
        self.taken, self.closed = 0, 0
        self._after, self._error = after, error

    def write(self, packet: EncodedPacket) -> None:
        assert not self.closed
        self.taken += 1
        if self.taken > self._after:
            raise self._error

    def close(self) -> None:
        self.closed += 1
        raise self._error


@pytest.mark.parametrize("error", [MediaError("writing broken failed: full"), RuntimeError("a bug")])
def test_an_output_that_fails_is_closed_and_named_and_the_others_are_whole(
    tmp_path: Path, error: Exception
) -> None:
    broken = Breaking(20, error)
    fan_out = FanOut(
        [OUTPUTS["MP4"].open(tmp_path, SPEC), broken, OUTPUTS["OGG"].open(tmp_path, spec_of("OGG", "opus"))]
    )
    for packet in sorted((*packets(SPEC), *sound_packets("opus")), key=lambda packet: packet.file_time):
        fan_out.write(packet)
    fan_out.close()

    assert (broken.taken, broken.closed) == (21, 1)
    assert list(fan_out.problems) == ["broken"]
    assert fan_out.problems["broken"].startswith("writing broken failed")
    judge(tmp_path / "media.mp4", SPEC, least=SECONDS)
    judge(tmp_path / "media.ogg", spec_of("OGG", "opus"), least=SECONDS)


def test_the_last_output_that_fails_ends_the_capture() -> None:
    fan_out = FanOut([Breaking(1, MediaError("writing broken failed: full"))])
    fan_out.write(pictures()[0])
    with pytest.raises(MediaError, match="full"):
        fan_out.write(pictures()[1])


def test_an_output_that_fails_at_its_end_is_named_too(tmp_path: Path) -> None:
    fan_out = FanOut([Breaking(1000, MediaError("no room")), OUTPUTS["MP4"].open(tmp_path, SPEC)])
    for packet in packets(SPEC):
        fan_out.write(packet)
    fan_out.close()
    assert fan_out.problems == {"broken": "no room"}
    judge(tmp_path / "media.mp4", SPEC, least=SECONDS)


def test_a_pipeline_writes_pictures_and_three_codecs_from_one_capture(tmp_path: Path) -> None:
    failures: list[RecorderError] = []
    types: dict[FileType, SoundCodec] = {"MP4": "aac", "MP3": "mp3", "OGG": "opus"}
    specs = [spec_of(file_type, codec) for file_type, codec in types.items()]
    fan_out = FanOut(
        [OUTPUTS[file_type].open(tmp_path, spec) for file_type, spec in zip(types, specs, strict=True)]
    )
    now = [0.0]
    pipeline = Pipeline(SPEC, fan_out, failed=failures.append, sound=specs, clock=lambda: now[0])
    pipeline.start()
    pipeline.opened("v", "video", 0.0)
    pipeline.opened("a", "audio", 0.0)
    pcm = np.array_split(testpattern.sound(0, 2 * 48_000), 40)
    for number, piece in enumerate(pcm):
        frame = number * 3 // 2
        pipeline.picture("v", picture(frame), frame / RATE)
        pipeline.samples("a", piece.tobytes(), (number + 1) * 0.05)
        # Time goes on behind the media, as if they came from a network.
        now[0] = (number + 1) * 0.05
    finished = pipeline.finish(2.0)

    assert failures == []
    assert finished.numbers.bytes_written == sum(path.stat().st_size for path in tmp_path.iterdir())
    for file_type in types:
        report = check(tmp_path / scratch_name(file_type))
        assert report.beeps == pytest.approx([1.0], abs=0.003)
        assert report.duration == pytest.approx(2.0, abs=0.06)


def test_silence_without_loss_takes_no_memory_while_it_waits() -> None:
    encoder = AudioEncoder(replace(SPEC, audio_codec="pcm"))
    held = encoder.encode(np.zeros((48_000, 2), np.int16))
    assert len({packet.packet.buffer_ptr for packet in held}) == 1
    assert [packet.packet.pts for packet in held] == [number * 960 for number in range(50)]


@pytest.mark.parametrize(
    ("codec", "wanted", "rate"), [("opus", 44_100, 48_000), ("mp3", 96_000, 48_000), ("flac", 96_000, 96_000)]
)
def test_a_codec_without_a_rate_has_the_one_in_which_sound_arrives(
    codec: SoundCodec, wanted: int, rate: int
) -> None:
    assert audio_rate(codec, wanted) == rate
