"""Owns a growing file of any container: opened with its first packets, on disk with every packet, closed once.

What differs between containers is a `Container` value, one per type of file; all of them survive kill -9 with what was
written so far (reference facts: FFmpeg keeps 256 KB per file unless it is told to flush).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.stream import Stream

from egress_recorder.errors import MediaError
from egress_recorder.filetypes import FileType, scratch_name
from egress_recorder.media.h264 import without_filler
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import Codec, Kind, MediaSpec
from egress_recorder.outputs.streams import add_sound, add_video

MAX_WAITING = 4000
"""Packets of sound (40 s of PCM and more of the others) that may wait for the first video packet, whose SPS and PPS
the header needs."""
_ZERO = Fraction(0)


def packet_end(packet: Any) -> float:
    """Return the time, seconds, up to which a packet that was read from a file lasts."""
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


def _nothing(path: Path, samples: int) -> None:
    """Most containers complete themselves."""


def _always(packet: bytes) -> bool:  # noqa: ARG001 - as the check of a container that has one
    """Most demuxers leave out a packet that was cut."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How a file is written. `muxer` and `options` are FFmpeg's; `finished` completes a closed file of so many samples."""

    muxer: str
    options: Mapping[str, str] = field(default_factory=dict)
    """While it grows."""
    final_options: Mapping[str, str] = field(default_factory=dict)
    """When a killed recorder's file is copied into a clean one."""
    finished: Callable[[Path, int], None] = _nothing
    whole: Callable[[bytes], bool] = _always
    """Asked of the last packet of a killed recorder's file: False when it was cut."""
    followed: bool = False
    """Media of another run is played right behind it: pictures that outlast its sound would leave a hole there, at which players
    stop (hls.js with 32 ms in headless Chromium, for good)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container(Format):
    """One type of file."""

    file_type: FileType

    def open(
        self, directory: Path, spec: MediaSpec, *, filename: str = "", begins: Fraction = _ZERO
    ) -> ContainerOutput:
        """Return the output that writes such a file into `directory`; its time 0 is media time `begins`, seconds."""
        name = filename or scratch_name(self.file_type)
        return ContainerOutput(self, directory, spec, filename=name, begins=begins)


class ContainerOutput:
    """One growing file; an `Output`."""

    def __init__(
        self,
        container: Format,
        directory: Path,
        spec: MediaSpec,
        *,
        filename: str,
        begins: Fraction = _ZERO,
    ) -> None:
        self.filename = filename
        sound: set[Codec] = {spec.audio_codec} if spec.audio else set()
        self.takes: frozenset[Codec] = frozenset(sound | {"h264"} if spec.video else sound)
        self._kind = container
        self._path = directory / filename
        self._spec, self._begins = spec, begins
        self._container: OutputContainer | None = None
        self._streams: dict[Kind, Stream] = {}
        self._last: dict[Kind, int] = {}
        self._shift: dict[Kind, int] = {}
        self._waiting: deque[EncodedPacket] = deque()
        self._samples = 0
        self._closed = False

    @property
    def bytes_written(self) -> int:
        """Bytes on disk."""
        return self._path.stat().st_size if self._container is not None else 0

    def write(self, packet: EncodedPacket) -> None:
        """Write one packet; the first video packet (or the first packet of a file without video) opens the file."""
        # PyAV: mux after close ends the process with SIGSEGV.
        if self._closed:
            raise MediaError(f"{self.filename} is closed")
        if self._container is None:
            self._waiting.append(packet)
            if self._spec.video and packet.kind != "video" and len(self._waiting) < MAX_WAITING:
                return
            with self._explained():
                self._open()
            return
        with self._explained():
            self._mux(packet)

    def close(self) -> None:
        """Write the index and close the file."""
        if self._closed:
            return
        self._closed = True
        if self._container is not None:
            with self._explained():
                self._container.close()
                self._kind.finished(self._path, self._samples)

    def abandon(self) -> None:
        """Close the file and remove it."""
        with suppress(MediaError):
            self.close()
        self._path.unlink(missing_ok=True)

    def _open(self) -> None:
        first = next((waiting for waiting in self._waiting if waiting.kind == "video"), None)
        if self._spec.video and first is None:
            raise MediaError("no video packet came to begin the file with")
        container = av.open(
            str(self._path),
            "w",
            format=self._kind.muxer,
            options={**self._kind.options, "flush_packets": "1"},
        )
        if first is not None:
            self._streams["video"] = add_video(container, self._spec, bytes(first.packet))
        if self._spec.audio:
            self._streams["audio"] = add_sound(container, self._spec)
        self._container = container
        while self._waiting:
            self._mux(self._waiting.popleft())

    def _mux(self, item: EncodedPacket) -> None:
        assert self._container is not None
        stream = self._streams.get(item.kind)
        assert item.packet.dts is not None
        if item.kind not in self._shift:
            assert item.packet.time_base is not None
            self._shift[item.kind] = int(self._begins / item.packet.time_base)
        shift = self._shift[item.kind]
        dts = item.packet.dts - shift
        # One packet the muxer would refuse must not end a lane; equal or smaller times are left out.
        if stream is None or dts <= self._last.get(item.kind, -1):
            return
        self._last[item.kind] = dts
        self._container.mux_one(
            _clone(item.packet, stream, shift, bare=self._spec.constant and item.kind == "video")
        )
        if item.kind == "audio":
            self._samples += item.packet.duration or 0

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._closed = True
            detail = getattr(error, "strerror", None) or type(error).__name__
            raise MediaError(
                f"writing {self.filename} failed: {detail}; see that the scratch volume has space"
            ) from error


def _clone(packet: av.Packet[Any], stream: Stream, shift: int = 0, *, bare: bool = False) -> av.Packet[Any]:
    """Return a copy for one container: muxing rescales in place, and several outputs take the same packet.

    `shift`: by how much it is earlier in the file, in the packet's time base.

    `bare`: without the filler that only a stream of constant bitrate needs (ISO/IEC 14496-15 advises against it in files).
    """
    data = without_filler(bytes(packet)) if bare else bytes(packet)
    clone: av.Packet[Any] = av.Packet(len(data))
    clone.update(data)
    assert packet.pts is not None
    assert packet.dts is not None
    clone.pts, clone.dts = packet.pts - shift, packet.dts - shift
    clone.duration, clone.time_base = packet.duration, packet.time_base
    clone.is_keyframe, clone.stream = packet.is_keyframe, stream
    return clone
