"""What the spec asks of the video encoder, found in the file: profile, size, rate, key frames, bitrate, quality."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from devstack import camera
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import MediaSpec, Picture, Profile
from egress_recorder.outputs import OUTPUTS

pytestmark = pytest.mark.unit


def spec_of(
    width: int = 320, height: int = 180, framerate: int = 30, kbits: int = 400, profile: Profile = "main",
    interval: float = 2.0,
) -> MediaSpec:  # fmt: skip
    return MediaSpec(
        width, height, framerate, kbits, 96, audio=False, profile=profile, key_frame_interval=interval
    )


def filmed(spec: MediaSpec, seconds: float, *, still: bool = False) -> list[EncodedPacket]:
    """Encode camera-like pictures; `still`: all the time the first one."""
    encoder, packets = VideoEncoder(spec), []
    picture = None
    for index in range(round(seconds * spec.framerate)):
        if picture is None or not still:
            data = camera.frame(index, spec.width, spec.height, spec.framerate)
            picture = Picture(bytes(data), spec.width, spec.height)
        packets += encoder.encode(picture, index)
    return packets + encoder.flush()


def kbits_of(packets: list[EncodedPacket]) -> float:
    seconds = sum(packet.duration for packet in packets)
    return sum(packet.packet.size for packet in packets) * 8 / 1000 / seconds


@pytest.mark.parametrize(
    ("profile", "name"), [("baseline", "Constrained Baseline"), ("main", "Main"), ("high", "High")]
)
@pytest.mark.parametrize(("width", "height", "framerate"), [(320, 180, 60), (180, 320, 15), (98, 66, 1)])
def test_the_file_has_the_profile_the_size_and_the_rate_that_were_asked_for(
    tmp_path: Path, profile: Profile, name: str, width: int, height: int, framerate: int
) -> None:
    spec = spec_of(width, height, framerate, profile=profile)
    output = OUTPUTS["MP4"].open(tmp_path, spec)
    for packet in filmed(spec, 5):
        output.write(packet)
    output.close()
    with av.open(str(tmp_path / output.filename)) as container:
        stream = container.streams.video[0]
        assert (stream.profile, stream.width, stream.height) == (name, width, height)
        assert stream.average_rate == framerate
        frames = list(container.decode(video=0))
        times = [frame.pts * frame.time_base for frame in frames if frame.pts is not None and frame.time_base]
        assert times == [Fraction(index, framerate) for index in range(5 * framerate)]


@pytest.mark.parametrize(
    ("interval", "framerate", "ticks"),
    [(2.0, 30, 60), (0.5, 30, 15), (1.5, 15, 22.5), (0.1, 29, 2.9), (0.01, 30, 1), (4.0, 1, 4)],
)
def test_key_frames_come_at_multiples_of_the_interval(interval: float, framerate: int, ticks: float) -> None:
    packets = filmed(spec_of(64, 64, framerate, interval=interval), max(5.0, 2.5 * interval))
    keys = [number for number, packet in enumerate(packets) if packet.packet.is_keyframe]
    wanted = {math.ceil(number * ticks - 1e-9) for number in range(len(packets))}
    assert keys == sorted(tick for tick in wanted if tick < len(packets))


def test_a_long_interval_has_one_key_frame_also_at_a_change_of_scene() -> None:
    encoder, packets = VideoEncoder(spec_of(64, 64, interval=3600.0)), []
    for index in range(90):
        level = 30 if index < 45 else 220
        packets += encoder.encode(Picture(bytes([level]) * 4096 + bytes([128]) * 2048, 64, 64), index)
    assert [number for number, packet in enumerate(packets) if packet.packet.is_keyframe] == [0]


@pytest.mark.parametrize("profile", ["baseline", "main", "high"])
@pytest.mark.parametrize("kbits", [150, 400, 2000])
@pytest.mark.parametrize("seconds", [5, 8])
def test_five_seconds_and_longer_stay_within_five_percent_of_the_bitrate(
    profile: Profile, kbits: int, seconds: int
) -> None:
    rng = np.random.default_rng(1)
    encoder, packets = VideoEncoder(spec_of(kbits=kbits, profile=profile)), []
    for index in range(seconds * 30):
        luma = rng.integers(16, 235, 320 * 180, dtype=np.uint8).tobytes()
        packets += encoder.encode(Picture(luma + bytes([128]) * (320 * 90), 320, 180), index)
    assert kbits_of(packets) <= 1.05 * kbits


def test_what_a_good_picture_does_not_need_is_not_spent() -> None:
    assert kbits_of(filmed(spec_of(kbits=3000), 6, still=True)) < 300


def test_the_first_picture_is_good_although_the_buffer_is_not_full(tmp_path: Path) -> None:
    spec = spec_of(640, 360, kbits=800)
    output = OUTPUTS["MP4"].open(tmp_path, spec)
    for packet in filmed(spec, 1):
        output.write(packet)
    output.close()
    with av.open(str(tmp_path / output.filename)) as container:
        first = next(container.decode(video=0)).to_ndarray()[:360].astype(np.int16)
    source = np.frombuffer(camera.frame(0, 640, 360, 30), np.uint8)[: 640 * 360].reshape(360, 640)
    assert 10 * np.log10(255**2 / np.mean(np.square(first - source, dtype=np.int32))) > 34
