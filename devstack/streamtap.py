"""Owns the copy of a participant's *encoded* media as livekit-server forwards it: a browser subscribes and taps its receivers.

The result is a Matroska file with the very packets that any other subscriber of that moment would have decoded.
"""

from __future__ import annotations

import io
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.stream import Stream

from devstack import chromium, npm
from devstack.browser_publisher import token
from devstack.livekit import LiveKitServer

_HEADER = struct.Struct(">IBI")
_CLOCK = {"video": Fraction(1, 90000), "audio": Fraction(1, 48000)}
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One encoded frame; `rtp_time` is unwrapped and in the units of its clock (90000 or 48000 per second)."""

    rtp_time: int
    key: bool
    data: bytes


def parse(chunks: Sequence[bytes]) -> list[EncodedFrame]:
    """Return the frames of the posts of one track, in the order in which they came."""
    frames: list[EncodedFrame] = []
    for chunk in chunks:
        offset = 0
        while offset < len(chunk):
            stamp, key, length = _HEADER.unpack_from(chunk, offset)
            offset += _HEADER.size
            if frames:  # 32 bits wrap around; the nearest time to the frame before is meant
                before = frames[-1].rtp_time
                stamp = before + (stamp - before + _WRAP // 2) % _WRAP - _WRAP // 2
            frames.append(EncodedFrame(stamp, bool(key), chunk[offset : offset + length]))
            offset += length
    return frames


def record(
    server: LiveKitServer, room: str, identity: str, *, seconds: float
) -> dict[str, list[EncodedFrame]]:
    """Subscribe for some seconds and return the frames by kind, video from its first key frame on.

    Raises BrowserError or NpmError.
    """
    chunks: dict[str, list[bytes]] = {"video": [], "audio": []}
    lock = threading.Lock()

    def take(kind: str, body: bytes) -> None:
        with lock:
            chunks[kind].append(body)

    settings = {
        "url": server.url,
        "token": token(server, room, f"tap-{identity}", hidden=True),
        "identity": identity,
    }
    files = {
        "livekit-client.js": npm.livekit_client(),
        "tap-worker.js": chromium.PAGES / "tap-worker.js",
    }
    with chromium.Page("tap.html", settings=settings, files=files, on_post=take) as page:
        page.wait("report", 30)
        time.sleep(seconds)
    with lock:
        frames = {kind: ordered(parse(bodies)) for kind, bodies in chunks.items()}
    first = next((index for index, frame in enumerate(frames["video"]) if frame.key), None)
    if first is None or not frames["audio"]:
        raise chromium.BrowserError("the browser received no key frame or no sound")
    frames["video"] = frames["video"][first:]
    return frames


def write_matroska(path: Path, frames: dict[str, list[EncodedFrame]], codec: str) -> float:
    """Write frames of `codec` (vp8 or h264) and Opus; return the duration in seconds.

    Both tracks begin at 0: the exact offset is of no use to who measures CPU and picture quality.
    """
    with av.open(str(path), "w", format="matroska") as container:
        streams = {
            "video": _video_stream(container, codec, frames["video"][0].data),
            # Only its OpusHead is wanted; it encodes nothing.
            "audio": container.add_stream("libopus", rate=48000, layout="stereo"),
        }
        merged = sorted(
            (float((frame.rtp_time - track[0].rtp_time) * _CLOCK[kind]), kind, frame)
            for kind, track in frames.items()
            for frame in track
        )
        for _, kind, frame in merged:
            packet = av.Packet(len(frame.data))
            packet.update(frame.data)
            packet.stream = streams[kind]
            packet.time_base = _CLOCK[kind]
            packet.pts = packet.dts = frame.rtp_time - frames[kind][0].rtp_time
            packet.is_keyframe = frame.key or kind == "audio"
            container.mux(packet)
    return merged[-1][0]


def _video_stream(container: OutputContainer, codec: str, key_frame: bytes) -> Stream:
    if codec == "h264":
        with av.open(io.BytesIO(key_frame), format="h264") as elementary:
            return container.add_stream_from_template(elementary.streams.video[0], opaque=True)
    # RFC 6386 section 9.1: a key frame has 14 bits each of width and height after 3 bytes of tag and the start code.
    width, height = struct.unpack_from("<HH", key_frame, 6)
    return container.add_mux_stream(codec, rate=30, width=width & 0x3FFF, height=height & 0x3FFF)


def ordered(track: list[EncodedFrame]) -> list[EncodedFrame]:
    """Return the frames in the order of their times, each time once.

    The tap sits before the browser's jitter buffer: a frame that had to wait for a repeated packet comes after its
    successors. The server may repeat a timestamp of audio, and a muxer refuses the second one.
    """
    return [frame for _, frame in sorted({frame.rtp_time: frame for frame in reversed(track)}.items())]
