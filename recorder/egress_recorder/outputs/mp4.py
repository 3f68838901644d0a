"""Owns MP4 files that survive kill -9: hybrid fragmented while growing, an ordinary MP4 once closed.

Every fragment is on disk as soon as it is complete (FFmpeg would keep 256 KB otherwise), so that a killed process
loses `FRAGMENT_SECONDS` plus what is on its way through the encoder. Closing appends the index and turns the
fragments into one ordinary `mdat` (reference facts: 19 ms for an hour).
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from egress_recorder.errors import MediaError
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import Kind, MediaSpec

FRAGMENT_SECONDS = 0.25
MAX_WAITING = 2000
"""Audio packets (40 s) that may wait for the first video packet, whose SPS and PPS the header needs."""


class Mp4Output:
    """One growing MP4 file."""

    def __init__(self, directory: Path, spec: MediaSpec, *, filename: str = "media.mp4") -> None:
        self.filename = filename
        self._path = directory / filename
        self._spec = spec
        self._container: OutputContainer | None = None
        self._streams: dict[Kind, Stream] = {}
        self._last: dict[Kind, int] = {}
        self._waiting: deque[EncodedPacket] = deque()
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

    def _open(self) -> None:
        first = next((waiting for waiting in self._waiting if waiting.kind == "video"), None)
        container = av.open(
            str(self._path),
            "w",
            format="mp4",
            options={
                "movflags": "hybrid_fragmented",
                "frag_duration": str(int(FRAGMENT_SECONDS * 1_000_000)),
                "flush_packets": "1",
            },
        )
        if self._spec.video:
            if first is None:
                raise MediaError("no video packet came to begin the file with")
            # A parsed access unit as template: the header then has SPS and PPS, size and profile.
            with av.open(io.BytesIO(bytes(first.packet)), format="h264") as template:
                assert isinstance(template, InputContainer)
                video = container.add_stream_from_template(template.streams.video[0], opaque=True)
            video.time_base = Fraction(1, self._spec.framerate)
            self._streams["video"] = video
        if self._spec.audio:
            self._streams["audio"] = _add_audio(container, self._spec)
        self._container = container
        while self._waiting:
            self._mux(self._waiting.popleft())

    def _mux(self, item: EncodedPacket) -> None:
        assert self._container is not None
        stream = self._streams.get(item.kind)
        dts = item.packet.dts
        assert dts is not None
        # One packet the muxer would refuse must not end a lane; equal or smaller times are left out.
        if stream is None or dts <= self._last.get(item.kind, -1):
            return
        self._last[item.kind] = dts
        # Muxing rescales in place: each output works on its own clone.
        clone = av.Packet(item.packet.size)
        clone.update(bytes(item.packet))
        clone.pts = clone.dts = dts
        clone.duration, clone.time_base = item.packet.duration, item.packet.time_base
        clone.is_keyframe, clone.stream = item.packet.is_keyframe, stream
        self._container.mux_one(clone)

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


def _add_audio(container: OutputContainer, spec: MediaSpec) -> Stream:
    """Add the audio stream; AAC and Opus as the encoders deliver them."""
    if spec.audio_codec == "opus":
        with av.open(io.BytesIO(_opus_template(spec)), format="mp4") as template:
            assert isinstance(template, InputContainer)
            audio = container.add_stream_from_template(template.streams.audio[0], opaque=True)
    else:
        # Its own encoder is never used; opening it gives the header the AudioSpecificConfig.
        audio = container.add_stream("aac", rate=spec.audio_frequency, layout="stereo")
        audio.bit_rate = spec.audio_bitrate * 1000
    audio.time_base = Fraction(1, spec.audio_frequency)
    return audio


def _opus_template(spec: MediaSpec) -> bytes:
    """Return an empty file whose Opus header says that nothing is to be skipped.

    What the encoder delays was left out already. PyAV writes the encoder's own header, so the two bytes are changed
    in a file of which it is then the template (Opus in ISO base media, section 4.3.2: `dOps`).
    """
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"movflags": "empty_moov+frag_keyframe"}) as container:
        container.add_stream("libopus", rate=spec.audio_frequency, layout="stereo")
        container.start_encoding()
    data = bytearray(file.getvalue())
    at = data.index(b"dOps") + len(b"dOps") + 2
    data[at : at + 2] = b"\0\0"
    return bytes(data)
