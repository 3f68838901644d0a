"""Owns some seconds of encoded media as a file, and an endless recording made of it.

The packets are the recorder's own encoders'; a loop begins with a key frame and holds whole numbers of pictures and of
AAC packets, so that the repetition has no seam in its times.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from egress_recorder.media.audioencoder import AudioEncoder
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import SAMPLE_RATE, MediaSpec, Picture

LOOP_SECONDS = 8
"""240 pictures at 30/s and 375 packets of 1024 samples at 48 kHz."""


def make_loop(spec: MediaSpec, path: Path) -> None:
    """Encode camera-like pictures and noise; takes some seconds and much memory for the pictures."""
    from devstack import camera  # noqa: PLC0415 - whoever only plays the loop has no `devstack`

    video, packets = VideoEncoder(spec), []
    for index in range(LOOP_SECONDS * spec.framerate):
        data = bytes(camera.frame(index, spec.width, spec.height, spec.framerate))
        packets += video.encode(Picture(data, spec.width, spec.height), index)
    # Noise below a few kHz: the encoder spends its bitrate, as it does for speech and music.
    noise = np.random.default_rng(1).standard_normal((SAMPLE_RATE * (LOOP_SECONDS + 1), 2))
    smooth = np.cumsum(noise - np.roll(noise, 24, axis=0), axis=0)
    sound = AudioEncoder(spec).encode((smooth * (6000 / smooth.std())).clip(-32768, 32767).astype(np.int16))
    packets += [packet for packet in sound if packet.file_time < LOOP_SECONDS - 1e-9]
    packets.sort(key=lambda packet: packet.file_time)
    path.write_bytes(pickle.dumps([_plain(packet) for packet in packets]))


def _plain(item: EncodedPacket) -> tuple[Any, ...]:
    packet = item.packet
    return (
        item.kind, item.codec, item.file_time, item.duration, bytes(packet), packet.pts, packet.duration,
        packet.time_base, packet.is_keyframe,
    )  # fmt: skip


class Loop:
    """The file's packets again and again; each call goes on where the last one ended."""

    def __init__(self, path: Path) -> None:
        self._items = [_encoded(plain) for plain in pickle.loads(path.read_bytes())]
        self._first = [item.packet.pts or 0 for item in self._items]
        self._next = 0

    def until(self, seconds: float) -> Iterator[EncodedPacket]:
        """Yield the packets that begin before this time. A packet is valid until the next one is asked for."""
        while True:
            round_, index = divmod(self._next, len(self._items))
            item = self._items[index]
            shift = round_ * LOOP_SECONDS
            if item.file_time + shift >= seconds:
                return
            packet = item.packet
            assert packet.time_base is not None
            packet.pts = packet.dts = self._first[index] + int(shift / packet.time_base)
            self._next += 1
            yield EncodedPacket(item.kind, packet, item.file_time + shift, item.duration, item.codec)


def _encoded(plain: tuple[Any, ...]) -> EncodedPacket:
    kind, codec, file_time, seconds, data, pts, duration, time_base, key = plain
    packet: av.Packet[Any] = av.Packet(data)
    packet.pts = packet.dts = pts
    packet.duration, packet.time_base, packet.is_keyframe = duration, Fraction(time_base), key
    return EncodedPacket(kind, packet, file_time, seconds, codec)
