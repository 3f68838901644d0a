"""What the browser posts of a stream becomes frames in the order of the stream."""

import struct

import pytest

from devstack.streamtap import EncodedFrame, ordered, parse

pytestmark = pytest.mark.unit


def record(rtp_time: int, data: bytes, *, key: bool = False) -> bytes:
    return struct.pack(">IBI", rtp_time, key, len(data)) + data


def test_frames_are_read_from_several_posts() -> None:
    posts = [record(3000, b"abc", key=True) + record(6000, b""), record(9000, b"de")]
    assert parse(posts) == [
        EncodedFrame(3000, key=True, data=b"abc"),
        EncodedFrame(6000, key=False, data=b""),
        EncodedFrame(9000, key=False, data=b"de"),
    ]


def test_time_goes_on_when_32_bits_wrap_around() -> None:
    times = [2**32 - 3000, 0, 2**32 - 1500, 3000]
    assert [frame.rtp_time for frame in parse([record(time, b"x") for time in times])] == [
        2**32 - 3000,
        2**32,
        2**32 - 1500,
        2**32 + 3000,
    ]


def test_a_late_frame_takes_its_place_and_a_repeated_time_counts_once() -> None:
    frames = [
        EncodedFrame(time, key=False, data=data)
        for time, data in ((1, b"a"), (3, b"c"), (2, b"b"), (3, b"again"))
    ]
    assert [frame.data for frame in ordered(frames)] == [b"a", b"b", b"c"]
