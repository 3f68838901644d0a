"""Owns the values that pass between sources, timeline, encoders and outputs; imports neither livekit nor av.

Times named `at`, `captured` or `arrived` are seconds of CLOCK_MONOTONIC (`time.monotonic()`); times named
`file_time` are seconds since the first media of the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Protocol

from egress_recorder.filetypes import SoundCodec
from egress_recorder.vocabulary import Corrections

SAMPLE_RATE = 48_000
"""Hz of all audio inside the recorder; always stereo."""
CHANNELS = 2

Kind = Literal["audio", "video"]
Profile = Literal["baseline", "main", "high"]
"""Of H.264; baseline is the constrained one, which is what decoders call baseline."""
Codec = Literal["h264"] | SoundCodec
"""Of a packet: what an output must be able to hold."""
Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded I420 picture without padding; sizes may be odd. `rotation` is degrees clockwise still to apply."""

    data: Buffer
    width: int
    height: int
    rotation: int = 0


@dataclass(frozen=True, slots=True)
class MediaSpec:
    """What one file, or all files of a capture, hold. Bitrates in kbit/s."""

    width: int
    height: int
    framerate: int
    video_bitrate: int
    audio_bitrate: int
    video: bool = True
    audio: bool = True
    profile: Profile = "main"
    key_frame_interval: float = 2.0
    """Seconds."""
    audio_codec: SoundCodec = "aac"
    audio_frequency: int = SAMPLE_RATE
    """Hz in the file."""
    segment_duration: int | None = None
    """Seconds between the boundaries at which segments begin, each with a key frame; None: there are none."""
    constant: bool = False
    """The pictures have a constant bitrate, as streams need it (nal-hrd CBR); files leave its filler out."""
    file_seconds: Fraction | None = None
    """A new file begins at every multiple, with a key frame; None: there is one (`filelength`)."""

    def group(self, index: int) -> int:
        """Return the number of the group of pictures of frame `index`; each begins with a key frame.

        The union of what was asked for: numbers grow at every key frame of the interval, at every boundary and with every file.
        """
        groups = math.floor(index / (self.key_frame_interval * self.framerate) + 1e-9)
        if self.segment_duration is not None:
            groups += index // (self.segment_duration * self.framerate)
        return groups + self.file_of(index)

    def file_of(self, index: int) -> int:
        """Return the number of the file, from 0, that frame `index` is in."""
        return 0 if self.file_seconds is None else int(index // (self.file_seconds * self.framerate))

    @property
    def longest_group(self) -> int:
        """Frames of a group of pictures, at most."""
        return max(1, math.ceil(self.key_frame_interval * self.framerate - 1e-9))


@dataclass(frozen=True, slots=True)
class Numbers:
    """A snapshot of what was written so far. Durations, `silence` and `degraded` are seconds, `frames` are of video."""

    duration: float = 0.0
    bytes_written: int = 0
    frames: int = 0
    dropped: int = 0
    duplicated: int = 0
    silence: float = 0.0
    degraded: float = 0.0
    corrections: Corrections = field(default_factory=Corrections)


class MediaSink(Protocol):
    """Where a source puts media. Every call returns at once; the sink bounds its own queues.

    A track is announced by `opened` before its media and ended by `closed`. Calls of one track come in order.
    """

    def opened(self, track: str, kind: Kind, at: float, *, still: bool = False) -> None:
        """A track begins to be recorded. `still`: its picture may stand (a shared screen) without being lost."""

    def closed(self, track: str, at: float) -> None:
        """A track is over."""

    def muted(self, track: str, muted: bool, at: float) -> None:
        """The publisher muted or unmuted the track."""

    def picture(self, track: str, picture: Picture, captured: float) -> None:
        """One picture; `captured` is its smooth capture time on our clock, receive delay not yet taken out."""

    def samples(self, track: str, pcm: Buffer, arrived: float) -> None:
        """Interleaved stereo int16 at `SAMPLE_RATE`; its last sample came out of the receiver at `arrived`."""

    def held(self, track: str, at: float) -> None:
        """The track's publisher sends, but what came lately cannot be decoded: its last picture stays."""

    def starved(self, track: str, since: float | None) -> None:
        """No packet of a track of sound came since then: its samples are the receiver's silence. None: packets come again."""

    def delay(self, track: str, seconds: float, at: float) -> None:
        """By how much the track's `captured` or `arrived` was later than the receipt of its packets around `at`."""
