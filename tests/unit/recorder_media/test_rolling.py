"""Files that follow each other without a gap: every picture and sample is in one of them, each begins at its own time 0."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from devstack import testpattern
from devstack.mediacheck import check
from egress_recorder.errors import MediaError
from egress_recorder.filetypes import FileType, SoundCodec, scratch_name
from egress_recorder.media.audioencoder import AudioEncoder, packet_seconds
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.fanout import FanOut
from egress_recorder.media.filelength import file_seconds
from egress_recorder.media.packets import EncodedPacket, Roll
from egress_recorder.media.values import MediaSpec
from egress_recorder.outputs import OUTPUTS
from egress_recorder.outputs.rolling import RollingOutput, open_file
from support.encoded import CASES, RATE, SECONDS, SPEC, in_child, picture, spec_of

pytestmark = pytest.mark.unit

AAC, OPUS, MP3 = Fraction(1024, 48_000), Fraction(960, 48_000), Fraction(1152, 48_000)
FRAME = Fraction(1, 30)
MATROSKA = 0.001
"""Its times are whole milliseconds."""


@pytest.mark.parametrize(
    ("limit", "steps", "expected"),
    [
        (6 * 3600, [FRAME, AAC], 6 * 3600),
        (1, [FRAME, AAC], Fraction(16, 15)),
        (1, [FRAME, OPUS], 1),
        (0.9, [FRAME, OPUS], Fraction(9, 10)),
        (6 * 3600, [FRAME, AAC, OPUS, MP3, Fraction(1920, 48_000)], 6 * 3600),
        (60, [FRAME, AAC, OPUS, MP3], Fraction(312, 5)),  # 13 times 4.8 s
        (1, [AAC], 47 * AAC),
        (3600, [FRAME, Fraction(1024, 44_100)], 211 * Fraction(256, 15)),  # 3601.1 s
        # No moment within a minute: that of a picture.
        (60, [Fraction(1, 29), Fraction(1024, 11_025)], 60),
    ],
)
def test_a_file_ends_where_all_that_is_in_it_begins_anew(
    limit: float, steps: list[Fraction], expected: Fraction
) -> None:
    length = file_seconds(limit, steps)
    assert length == expected
    assert limit - 1e-9 <= length <= limit + 60
    assert length % steps[0] == 0


@pytest.mark.parametrize("codec", ["aac", "opus", "mp3", "flac", "pcm"])
def test_a_packet_is_as_long_as_the_codec_says(codec: SoundCodec) -> None:
    spec = replace(SPEC, audio_codec=codec)
    packet = AudioEncoder(spec).encode(np.zeros((48_000, 2), np.int16))[0]
    assert float(packet_seconds(spec)) == pytest.approx(packet.duration)


def with_length(spec: MediaSpec, limit: float) -> MediaSpec:
    steps = [Fraction(1, spec.framerate)] * spec.video + [packet_seconds(spec)] * spec.audio
    return replace(spec, file_seconds=file_seconds(limit, steps))


def encoded(spec: MediaSpec) -> list[EncodedPacket]:
    """All packets, sound ahead of the pictures as in a capture."""
    packets: list[EncodedPacket] = []
    if spec.audio:
        sound = AudioEncoder(spec)
        packets = sound.encode(testpattern.sound(0, int(SECONDS * 48_000))) + sound.flush()
        packets = [packet for packet in packets if packet.file_time < SECONDS]
    if spec.video:
        video = VideoEncoder(spec)
        for number in range(int(SECONDS * spec.framerate)):
            packets += video.encode(picture(number), number)
    return sorted(packets, key=lambda packet: packet.file_time - 0.2 * (packet.kind == "audio"))


def files_of(directory: Path, file_type: FileType) -> list[Path]:
    first = Path(scratch_name(file_type))
    names = [first.name, *(f"{first.stem}-{number}{first.suffix}" for number in range(2, 9))]
    return [directory / name for name in names if (directory / name).exists()]


@pytest.mark.parametrize(("file_type", "spec"), CASES)
def test_the_files_together_hold_every_picture_and_sample_once(
    tmp_path: Path, file_type: FileType, spec: MediaSpec
) -> None:
    spec = with_length(spec, 0.9)
    assert spec.file_seconds is not None
    rolls: list[Roll] = []
    fan_out = FanOut([open_file(OUTPUTS[file_type], tmp_path, spec)], rolled=rolls.append)
    made = encoded(spec)
    for packet in made:
        fan_out.write(packet)
    fan_out.close()
    whole_output = OUTPUTS[file_type].open(
        tmp_path, spec, filename=f"whole{Path(scratch_name(file_type)).suffix}"
    )
    for packet in made:
        whole_output.write(packet)
    whole_output.close()

    paths = files_of(tmp_path, file_type)
    assert len(paths) == 3
    assert [roll.filenames for roll in rolls] == [(path.name,) for path in paths[:2]]
    assert [roll.next_filenames for roll in rolls] == [(path.name,) for path in paths[1:]]
    assert fan_out.bytes_written == sum(path.stat().st_size for path in paths)
    reports = [check(path) for path in paths]
    assert [error for report in reports for error in report.errors] == []
    length = float(spec.file_seconds)
    whole = check(tmp_path / f"whole{paths[0].suffix}")
    assert [counter for report in reports for counter in report.counters] == whole.counters
    assert len(whole.counters) == (SECONDS * RATE if spec.video else 0)
    for report in reports[:2]:
        assert report.audio.shape[1] / 48_000 == pytest.approx(
            length if spec.audio else 0.0, abs=MATROSKA if file_type == "MKV" else 1e-6
        )
        assert report.frames == (round(length * RATE) if spec.video else 0)
    joined = np.concatenate([report.audio for report in reports], axis=1)
    assert abs(joined.shape[1] - whole.audio.shape[1]) <= (3 * 48 if file_type == "MKV" else 0)
    if spec.audio_codec in {"pcm", "flac"}:
        assert np.array_equal(joined, whole.audio)
    beeps = [at + number * length for number, report in enumerate(reports) for at in report.beeps]
    flashes = [at + number * length for number, report in enumerate(reports) for at in report.flashes]
    assert [at for at in beeps if at > 0.5] == pytest.approx([1.0, 2.0] if spec.audio else [], abs=0.03)
    assert [at for at in flashes if at > 0.5] == pytest.approx([1.0, 2.0] if spec.video else [], abs=0.002)


def test_where_no_moment_fits_the_sound_of_the_next_file_is_at_its_time(tmp_path: Path) -> None:
    spec = replace(SPEC, framerate=29, audio_frequency=11_025, file_seconds=Fraction(44, 29))
    output = RollingOutput(OUTPUTS["MP4"], tmp_path, spec)
    fan_out = FanOut([output])
    for packet in encoded(spec):
        fan_out.write(packet)
    fan_out.close()
    first, second = (check(path) for path in files_of(tmp_path, "MP4"))
    assert (len(first.counters), first.counters + second.counters) == (44, list(range(int(SECONDS * 29))))
    # The second at 2 s is 0.48 s after the boundary.
    assert [at for at in second.beeps if at > 0.2] == pytest.approx([2 - 44 / 29], abs=0.01)


def test_all_types_of_file_end_together_and_beside_them_goes_on_what_does_not_end(tmp_path: Path) -> None:
    class Endless:
        filename = "segments-0"
        takes = frozenset({"h264"})
        bytes_written = 0

        def write(self, packet: EncodedPacket) -> None:
            self.bytes_written += 1

        def close(self) -> None:
            pass

    types: dict[FileType, SoundCodec] = {"MP3": "mp3", "MP4": "aac"}
    specs = {file_type: spec_of(file_type, codec) for file_type, codec in types.items()}
    length = file_seconds(1.0, [FRAME, *(packet_seconds(spec) for spec in specs.values())])
    assert length == Fraction(24, 5)
    length = Fraction(6, 5)  # of a picture and a packet of MP3: the AAC is cut at its next packet
    specs = {file_type: replace(spec, file_seconds=length) for file_type, spec in specs.items()}
    rolls: list[tuple[Roll, tuple[int, ...]]] = []
    outputs = [open_file(OUTPUTS[file_type], tmp_path, spec) for file_type, spec in specs.items()]
    fan_out = FanOut([*outputs, Endless()], rolled=lambda roll: rolls.append((roll, fan_out.sizes)))
    mp3 = [packet for packet in encoded(specs["MP3"]) if packet.kind == "audio"]
    for packet in sorted((*encoded(specs["MP4"]), *mp3), key=lambda packet: packet.file_time):
        fan_out.write(packet)
    fan_out.close()

    assert [roll.filenames for roll, _ in rolls] == [
        ("media.mp3", "media.mp4", "segments-0"),
        ("media-2.mp3", "media-2.mp4", "segments-0"),
    ]
    assert [sizes[2] for _, sizes in rolls] == [0, 0], "what it has from here on is the next part's"
    assert fan_out.sizes[2] == 75 - 73, (
        "pictures since the boundary at 2.4 s, after the packet that passed it"
    )


def test_a_file_that_fails_has_no_next_one_and_the_others_have(tmp_path: Path) -> None:
    class Failing(RollingOutput):
        def write(self, packet: EncodedPacket) -> None:
            if packet.file_time > 0.5:
                raise MediaError("writing media.mp3 failed: full")
            super().write(packet)

    mp3 = replace(spec_of("MP3", "mp3"), file_seconds=Fraction(6, 5))
    mp4 = replace(spec_of("MP4", "aac"), file_seconds=Fraction(6, 5))
    rolls: list[Roll] = []

    def delivered(roll: Roll) -> None:
        rolls.append(roll)
        for name in roll.filenames:
            (tmp_path / name).unlink(missing_ok=True)

    fan_out = FanOut(
        [Failing(OUTPUTS["MP3"], tmp_path, mp3), RollingOutput(OUTPUTS["MP4"], tmp_path, mp4)],
        rolled=delivered,
    )
    sound = [packet for packet in encoded(mp3) if packet.kind == "audio"]
    for packet in sorted((*encoded(mp4), *sound), key=lambda packet: packet.file_time):
        fan_out.write(packet)
    fan_out.close()
    sentence = "writing media.mp3 failed: full"
    assert [roll.problems for roll in rolls] == [{"media.mp3": sentence}, {"media-2.mp3": sentence}]
    assert fan_out.problems == {"media-3.mp3": sentence}
    assert files_of(tmp_path, "MP3") == []
    assert [path.name for path in files_of(tmp_path, "MP4")] == ["media-3.mp4"]
    assert fan_out.sizes == (0, (tmp_path / "media-3.mp4").stat().st_size)
    assert rolls[1].bytes_written > rolls[0].bytes_written > 0


def test_a_kill_leaves_the_file_before_whole_and_of_the_next_one_what_was_written(tmp_path: Path) -> None:
    spec = with_length(SPEC, 1.0)
    made = encoded(spec)

    def write_and_die() -> None:
        fan_out = FanOut([open_file(OUTPUTS["MP4"], tmp_path, spec)])
        for packet in made:
            if packet.file_time < 1.8:
                fan_out.write(packet)

    in_child(write_and_die)
    first, second = (check(path) for path in files_of(tmp_path, "MP4"))
    assert first.counters == list(range(32))
    assert second.counters == list(range(32, 32 + len(second.counters)))
    assert len(second.counters) > 8
