"""Owns the form in which packets go to the process of a stream: one line of JSON, then packets, each with a head."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import BinaryIO, NamedTuple

from egress_recorder.media.packets import EncodedPacket

_HEAD = struct.Struct("!BBqqI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a stream's process is told first. `url` is a secret: it goes through the pipe, never into arguments."""

    url: str
    protocol: str
    width: int
    height: int
    framerate: int
    audio_bitrate: int
    audio_frequency: int
    video: bool
    audio: bool

    def line(self) -> bytes:
        """Return it as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Opening:
        """Read `line`. Raises ValueError, TypeError."""
        return cls(**json.loads(line))


class Item(NamedTuple):
    """One packet; `pts` and `duration` count frames of the picture or samples of the sound."""

    video: bool
    key: bool
    pts: int
    duration: int
    data: bytes


def pack(packet: EncodedPacket) -> bytes:
    """Return a packet with its head."""
    inner = packet.packet
    data = bytes(inner)
    assert inner.pts is not None
    head = _HEAD.pack(
        packet.kind == "video", bool(inner.is_keyframe), inner.pts, inner.duration or 0, len(data)
    )
    return head + data


def read(pipe: BinaryIO) -> Item | None:
    """Read the next packet; None at the end of the pipe."""
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    video, key, pts, duration, size = _HEAD.unpack(head)
    data = pipe.read(size)
    return Item(bool(video), bool(key), pts, duration, data) if len(data) == size else None
