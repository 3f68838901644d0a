"""What the video encoder saves on: cheaper presets and repeated pictures, checked by decoding the file strictly."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest

from devstack.mediacheck import STRICT
from egress_recorder.media import x264
from egress_recorder.media.cabac import all_skipped
from egress_recorder.media.encoder import VideoEncoder, rungs
from egress_recorder.media.h264 import PPS, SPS, Repeater, UnsupportedStreamError, parameter_sets, units
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import MediaSpec, Picture, Profile
from egress_recorder.media.x264 import BEST, CHEAP, Vbv, interchangeable
from egress_recorder.outputs import OUTPUTS
from egress_recorder.vocabulary import Degradation

pytestmark = pytest.mark.unit
FPS = 30
PROFILES: Sequence[Profile] = get_args(Profile)
SIZES = [(320, 180), (322, 178), (64, 16)]


def spec_of(profile: Profile = "main", size: tuple[int, int] = (320, 180), **changes: object) -> MediaSpec:
    values = {"framerate": FPS, "video_bitrate": 600, "audio_bitrate": 96, "audio": False, **changes}
    return MediaSpec(*size, profile=profile, **values)  # type: ignore[arg-type]


def numbered(index: int, size: tuple[int, int] = (320, 180)) -> Picture:
    """A picture that says its number by its brightness (steps of 4, 50 of them) over a moving texture."""
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    texture = ((rows * 3 + columns * 5 + 7 * index) % 9 - 4).astype(np.int16)
    luma = (20 + 4 * (index % 50) + texture).astype(np.uint8)
    chroma = 2 * ((width + 1) // 2) * ((height + 1) // 2)
    return Picture(luma.tobytes() + bytes([128]) * chroma, width, height)


def number_of(frame: av.VideoFrame) -> int:
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    return round((float(luma.mean()) - 20) / 4)


class Starved:
    """Drives an encoder with simulated time: `behind` seconds late from tick to tick."""

    def __init__(self, spec: MediaSpec) -> None:
        self.spec, self.encoder = spec, VideoEncoder(spec)
        self.packets: list[EncodedPacket] = []
        self.saves: list[str] = []

    def run(self, seconds: float, behind: float) -> None:
        for _ in range(round(seconds * FPS)):
            index = len(self.saves)
            picture = numbered(index, (self.spec.width, self.spec.height))
            self.packets += self.encoder.encode(picture, index, now=index / FPS, behind=behind)
            self.saves.append(self.encoder.saves)

    def file(self, directory: Path) -> Path:
        self.packets += self.encoder.flush()
        output = OUTPUTS["MP4"].open(directory, self.spec)
        for packet in self.packets:
            output.write(packet)
        output.close()
        return directory / output.filename


def decode(path: Path) -> list[av.VideoFrame]:
    """Decode strictly: an error of the bit stream ends it."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.options = STRICT
        return list(container.decode(video=0))


def sets_of(packets: list[EncodedPacket]) -> set[bytes]:
    return {sets for packet in packets if (sets := parameter_sets(bytes(packet.packet)))}


# ---- the presets


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("size", "fps", "kbits"),
    [((1280, 720), 30, 3000), ((1920, 1080), 60, 6000), ((720, 1280), 30, 3000), ((320, 180), 15, 100)],
)
def test_the_cheaper_preset_has_the_same_parameter_sets_byte_by_byte(
    profile: Profile, size: tuple[int, int], fps: int, kbits: int
) -> None:
    assert interchangeable(spec_of(profile, size, framerate=fps, video_bitrate=kbits), CHEAP)


def test_the_quality_that_is_asked_for_does_not_stand_in_the_parameter_sets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = x264.open_x264(spec_of(), BEST, header=True).extradata
    monkeypatch.setattr(x264, "QUALITY", 40)
    assert x264.open_x264(spec_of(), BEST, header=True).extradata == first


def test_a_preset_with_other_parameter_sets_is_no_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("egress_recorder.media.encoder.CHEAP", "medium")
    assert [(rung.preset, rung.repeats) for rung in rungs(spec_of())] == [(BEST, False), (BEST, True)]


@pytest.mark.parametrize("profile", PROFILES)
def test_threads_are_bounded_by_the_cores_of_this_process(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert x264.threads(spec_of(profile, (1280, 720))) == 1
    assert x264.threads(spec_of(profile, (1920, 1080))) == 4
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3})
    assert x264.threads(spec_of(profile, (1920, 1080))) == 1


# ---- repeated pictures


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", SIZES)
def test_a_repeated_picture_decodes_to_the_one_before_and_costs_next_to_nothing(
    profile: Profile, size: tuple[int, int]
) -> None:
    context = x264.open_x264(spec_of(profile, size), BEST)
    decoder = av.CodecContext.create("h264", "r")
    decoder.options = STRICT
    repeater, shown = None, []
    # More than 16: frame_num wraps around.
    for index in range(40):
        picture = numbered(index, size)
        frame = av.VideoFrame(*size, "yuv420p")
        width, height = size
        rows = np.frombuffer(picture.data, np.uint8)[: width * height].reshape(height, width)
        stride = frame.planes[0].line_size
        padded = np.zeros((height, stride), np.uint8)
        padded[:, :width] = rows
        frame.planes[0].update(padded.tobytes())
        for plane in frame.planes[1:]:
            plane.update(bytes([128]) * plane.buffer_size)
        frame.pts, frame.time_base = 2 * index, context.time_base
        (packet,) = context.encode(frame)
        repeater = repeater or Repeater.of(bytes(packet))
        repeated = repeater.repeat(bytes(packet))
        assert len(repeated) < 80
        for number, data in enumerate((bytes(packet), repeated)):
            part = av.Packet(data)
            part.pts = part.dts = 2 * index + number
            shown += decoder.decode(part)  # type: ignore[attr-defined]
    shown += decoder.decode(None)  # type: ignore[attr-defined]
    assert [frame.pts for frame in shown] == list(range(80))
    for first, second in zip(shown[::2], shown[1::2], strict=True):
        assert np.array_equal(first.to_ndarray(), second.to_ndarray())


def test_two_repeated_pictures_cannot_follow_each_other() -> None:
    (packet,) = VideoEncoder(spec_of()).encode(None, 0)
    repeater = Repeater.of(bytes(packet.packet))
    with pytest.raises(UnsupportedStreamError, match="follow each other"):
        repeater.repeat(repeater.repeat(bytes(packet.packet)))


def test_a_stream_that_reorders_pictures_is_not_repeated() -> None:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 64, 64, "yuv420p"  # type: ignore[attr-defined]
    context.time_base = x264.Fraction(1, 30)
    context.options = {"flags": "+global_header", "bf": "2"}
    context.open()
    assert context.extradata is not None
    with pytest.raises(UnsupportedStreamError, match="reorders"):
        Repeater.of(context.extradata)


def test_without_parameter_sets_there_is_nothing_to_repeat() -> None:
    with pytest.raises(UnsupportedStreamError, match="no parameter sets"):
        Repeater.of(b"\x00\x00\x00\x01\x41\x9a")


@pytest.mark.parametrize("size", [(16, 16), (64, 16), (320, 180), (1280, 720), (1920, 1080), (4096, 4096)])
def test_the_coder_writes_what_x264_writes_for_a_picture_that_does_not_change(size: tuple[int, int]) -> None:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = *size, "yuv420p"  # type: ignore[attr-defined]
    context.time_base = x264.Fraction(1, FPS)
    context.options = {"preset": "superfast", "tune": "zerolatency", "qp": "51", "x264-params": "threads=1"}
    context.open()
    width, height = size
    grey = np.full((height * 3 // 2, width), 128, np.uint8)
    for index in range(2):
        frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
        frame.pts = index
        (packet,) = context.encode(frame)  # type: ignore[attr-defined]
    (slice_,) = units(bytes(packet))
    ours = all_skipped(-(-width // 16) * -(-height // 16), 51)
    # x264 fills up the last byte with noise of its own (cabac_encode_flush).
    theirs = slice_.replace(b"\x00\x00\x03", b"\x00\x00")[-len(ours) :]
    assert theirs[:-1] == ours[:-1]
    assert theirs[-1] | 1 == ours[-1] | 1


def test_the_coder_refuses_a_state_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="too small"):
        all_skipped(10, 20)


def test_units_are_found_behind_short_and_long_start_codes() -> None:
    assert units(b"\x00\x00\x00\x01\x67A\x00\x00\x01\x68B\x00\x00\x00\x01\x65C") == [b"gA", b"hB", b"eC"]
    assert [
        unit[0] & 31 for unit in units(parameter_sets(b"\x00\x00\x01\x67A\x00\x00\x01\x68B\x00\x00\x01\x65C"))
    ] == [
        SPS,
        PPS,
    ]


# ---- the whole way down and up


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("size", SIZES[:2])
def test_a_file_that_went_down_and_up_the_ladder_is_one_stream_with_one_frame_per_tick(
    tmp_path: Path, profile: Profile, size: tuple[int, int]
) -> None:
    starved = Starved(spec_of(profile, size))
    starved.run(1, 0.0)
    starved.run(3, 1.0)
    starved.run(22, 0.0)
    path = starved.file(tmp_path)

    # All the way down, and back up again.
    seen = [
        saves
        for number, saves in enumerate(starved.saves)
        if saves != starved.saves[number - 1] or not number
    ]
    assert seen == ["", "Preset", "Pictures", "Preset", ""]
    frames = decode(path)
    assert [frame.pts * frame.time_base * FPS for frame in frames if frame.pts is not None] == list(
        range(26 * FPS)
    )
    assert len(sets_of(starved.packets)) == 1
    shown = [number_of(frame) for frame in frames]
    for index, (number, saves) in enumerate(zip(shown, starved.saves, strict=True)):
        wanted = {index % 50} if saves != Degradation.PICTURES else {index % 50, (index - 1) % 50}
        assert number in wanted, f"tick {index} shows {number}"
    with av.open(str(path)) as container:
        wanted_profile = {"baseline": "Constrained Baseline", "main": "Main", "high": "High"}[profile]
        assert container.streams.video[0].profile == wanted_profile


def test_what_was_saved_is_counted(tmp_path: Path) -> None:
    starved = Starved(spec_of())
    starved.run(1, 0.0)
    starved.run(3, 1.0)
    starved.run(2, 0.0)
    frames = decode(starved.file(tmp_path))

    degraded = sum(bool(saves) for saves in starved.saves)
    assert starved.encoder.degraded == pytest.approx(degraded / FPS)
    shown = [number_of(frame) for frame in frames]
    repeated = sum(one == other for one, other in itertools.pairwise(shown))
    assert repeated == pytest.approx(starved.saves.count("Pictures") / 2, abs=1)
    assert starved.encoder.dropped == pytest.approx(repeated, abs=1)


def test_key_frames_keep_their_interval_while_pictures_are_repeated() -> None:
    starved = Starved(spec_of(key_frame_interval=1.0))
    starved.run(8, 1.0)
    keys = [number for number, packet in enumerate(starved.packets) if packet.packet.is_keyframe]
    assert set(starved.saves[60:]) == {"Pictures"}
    distances = [after - before for before, after in itertools.pairwise(keys)]
    assert max(distances) == FPS
    assert distances[-4:] == [FPS] * 4


@pytest.mark.parametrize("profile", PROFILES)
def test_the_bitrate_holds_although_every_four_seconds_another_encoder_begins(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    monkeypatch.setattr("egress_recorder.media.ladder.Ladder.observe", lambda _, now, __: int(now / 4) % 2)
    encoder, packets, changes = VideoEncoder(spec_of(profile, video_bitrate=800)), [], 0
    for index in range(24 * FPS):
        luma = rng.integers(16, 235, 320 * 180, dtype=np.uint8).tobytes()
        before = encoder.saves
        packets += encoder.encode(Picture(luma + bytes([128]) * (320 * 90), 320, 180), index, now=index / FPS)
        changes += encoder.saves != before
    assert changes == 5
    assert len(packets) == 24 * FPS
    kbits = sum(packet.packet.size for packet in packets) * 8 / 24 / 1000
    assert kbits <= 800 * 1.05


def test_the_vbv_counts_what_is_spent_and_never_more_than_it_holds() -> None:
    vbv = Vbv(1_000_000)
    assert vbv.fullness == x264.FIRST_FULLNESS
    vbv.add(0.5, 0)
    assert vbv.fullness == pytest.approx(0.75)
    vbv.add(0.0, 50_000)
    assert vbv.fullness == pytest.approx(0.35)
    vbv.add(10.0, 0)
    assert vbv.fullness == 1.0
    vbv.add(0.0, 1_000_000)
    assert vbv.fullness == x264.LEAST_FULLNESS


def test_each_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    starved = Starved(spec_of())
    starved.run(3, 1.0)
    changes = [record.__dict__["saves"] for record in caplog.records if hasattr(record, "saves")]
    assert changes == ["Preset", "Pictures"]
