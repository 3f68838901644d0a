"""Owns the segments of an HLS output: a file per segment, begun by the key frame at its boundary, whole once it is closed.

Each segment is a container of its own (MPEG-TS or fragmented MP4), so that what is closed is complete and what a kill leaves
open plays as far as it goes. The packets' times go on over all segments.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import av

from egress_recorder import fmp4
from egress_recorder.errors import MediaError
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import Codec, Kind, MediaSpec
from egress_recorder.outputs.base import ContainerOutput, Format, packet_end
from egress_recorder.outputs.mp4 import FRAGMENT_SECONDS
from egress_recorder.segmentation import EXTENSIONS, SegmentContainer, SegmentRequest, directory_name

# No offset of the times, and a mark for demuxers that the counters of its packets begin anew.
_TS = {"mpegts_copyts": "1", "mpegts_flags": "+initial_discontinuity"}
# The times of the packets (`tfdt`) instead of ones that begin at 0, and no edit list that would move them; a fragment's
# worth of media is what a kill costs. Closing writes no index: the playlist is one.
_FMP4 = {
    "movflags": "empty_moov+default_base_moof+frag_discont+skip_trailer",
    "frag_duration": str(int(FRAGMENT_SECONDS * 1_000_000)),
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
}
FORMATS: Mapping[SegmentContainer, Format] = {
    "TS": Format(muxer="mpegts", options=_TS, final_options=_TS, followed=True),
    "FMP4": Format(muxer="mp4", options=_FMP4, final_options=_FMP4, followed=True),
}
_TICK = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSegment:
    """One segment that is complete: file `name` below the output's directory. `start` is its file time, seconds."""

    number: int
    name: str
    start: float
    duration: float
    size: int
    """Bytes of media: without an fMP4 header, which is stored once."""


class SegmentOutput:
    """An `Output` that is a directory of segments. `take` hands out those that were closed since the last call."""

    def __init__(self, directory: Path, spec: MediaSpec, request: SegmentRequest, *, index: int) -> None:
        self.filename = directory_name(index)
        sound: set[Codec] = {spec.audio_codec} if spec.audio else set()
        self.takes: frozenset[Codec] = frozenset(sound | {"h264"} if spec.video else sound)
        self._directory = directory / self.filename
        self._directory.mkdir()
        self._spec, self._request = spec, request
        self._open: ContainerOutput | None = None
        self._main: Kind = "video" if spec.video else "audio"
        self._number, self._start, self._end = 0, 0.0, 0.0
        self._fresh = True
        self._before = 0
        self._done: deque[ClosedSegment] = deque()
        self._closed = False

    @property
    def bytes_written(self) -> int:
        """Bytes of all segments on disk."""
        return self._before + (self._open.bytes_written if self._open else 0)

    def take(self) -> list[ClosedSegment]:
        """Return the segments that were closed meanwhile; may be called from any thread."""
        taken = []
        while self._done:
            taken.append(self._done.popleft())
        return taken

    def write(self, packet: EncodedPacket) -> None:
        """Write one packet; a key frame at or after the next boundary begins a segment."""
        if self._closed:
            raise MediaError(f"{self.filename} is closed")
        if self._open is not None and self._begins_one(packet):
            self._finish(packet.file_time)
        if self._open is None:
            self._begin(packet)
        assert self._open is not None
        with self._untorn(self._open):
            self._open.write(packet)
        if packet.kind == self._main:
            # Sound may come before the first picture, and belongs to its segment.
            self._start = packet.file_time if self._fresh else self._start
            self._fresh = False
            self._end = packet.file_time + packet.duration

    def close(self) -> None:
        """Close the last segment."""
        if not self._closed:
            self._closed = True
            self._finish(self._end)

    def _begins_one(self, packet: EncodedPacket) -> bool:
        # Sound that is ahead of the pictures stays with those before the boundary.
        if packet.kind != self._main:
            return False
        boundary = (math.floor(self._start / self._request.duration + _TICK) + 1) * self._request.duration
        return packet.file_time >= boundary - _TICK and packet.packet.is_keyframe

    def _begin(self, packet: EncodedPacket) -> None:
        self._start, self._fresh = packet.file_time, True
        name = f"{self._number:05d}{EXTENSIONS[self._request.container]}"
        self._open = ContainerOutput(
            FORMATS[self._request.container], self._directory, self._spec, filename=name
        )

    def _finish(self, end: float) -> None:
        segment, self._open = self._open, None
        if segment is None:
            return
        try:
            with self._untorn(segment):
                segment.close()
        except MediaError:
            self._tell(segment, self._end)
            raise
        self._tell(segment, end)

    @contextmanager
    def _untorn(self, segment: ContainerOutput) -> Iterator[None]:
        """Where a packet cannot be written, leave those that are whole: a full disk takes half of one, at which players stop.

        Files are copied into clean ones instead (`finalize`), for which a full disk may have no room.
        """
        whole = segment.bytes_written
        try:
            yield
        except MediaError:
            path = self._directory / segment.filename
            # After an error libavformat writes no more into a file: its end stays where it is put.
            with suppress(OSError):
                os.truncate(path, whole)
            # What the muxer still held is not in it.
            self._end = _end_of(path, self._main)
            raise

    def _tell(self, segment: ContainerOutput, end: float) -> None:
        """Hand out a segment, when it has any media."""
        size = segment.bytes_written
        if not size or end <= self._start:
            return
        self._before += size
        if self._request.container == "FMP4":
            size -= fmp4.header_size(self._directory / segment.filename)
        self._done.append(
            ClosedSegment(
                number=self._number,
                name=segment.filename,
                start=self._start,
                duration=end - self._start,
                size=size,
            )
        )
        self._number += 1


def _end_of(path: Path, kind: Kind) -> float:
    """Return the file time, seconds, up to which a segment has media of a kind; 0 when it has none."""
    try:
        with av.open(str(path)) as container:
            stream = next(stream for stream in container.streams if stream.type == kind)
            ends = [packet_end(packet) for packet in container.demux(stream) if packet.pts is not None]
    except (av.FFmpegError, OSError, StopIteration):
        return 0.0
    return max(ends, default=0.0)
