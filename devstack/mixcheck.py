"""Owns mixing recordings of the test pattern by given offsets and measuring how well they run together.

The mix is one Matroska file: each file's picture is a stream of its own, unchanged but for its times; each
recording's sound is one channel. Flashes and beeps of different publishers begin at the same seconds of the wall
clock (`testpattern`), so their distance in the mix is the error of the alignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from devstack import mediacheck, testpattern

_RATE = testpattern.SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class MixedFile:
    """A file, the recording (channel) it belongs to, and the seconds by which it is delayed."""

    path: Path
    recording: int
    offset: float


def mix(files: Sequence[MixedFile], output: Path) -> None:
    """Write the mix. Raises av.FFmpegError."""
    channels = max(file.recording for file in files) + 1
    with av.open(str(output), "w", format="matroska") as target:
        videos = []
        for file in files:
            with av.open(str(file.path)) as source:
                videos.append(target.add_stream_from_template(source.streams.video[0], opaque=True))
        layout = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0"}[channels]
        audio = target.add_stream("pcm_s16le", rate=_RATE, layout=layout)
        packets = []
        for file, stream in zip(files, videos, strict=True):
            with av.open(str(file.path)) as source:
                for packet in source.demux(source.streams.video[0]):
                    if packet.pts is None or packet.dts is None or packet.time_base is None:
                        continue
                    times = [
                        round((float(tick * packet.time_base) + file.offset) * 1_000_000)
                        for tick in (packet.pts, packet.dts)
                    ]
                    packet.pts, packet.dts = times
                    packet.duration = 0
                    packet.time_base, packet.stream = Fraction(1, 1_000_000), stream
                    packets.append((times[1], packet))
        for time, frame in _sound(files, channels, layout):
            packets += [(time, packet) for packet in audio.encode(frame)]
        for _, packet in sorted(packets, key=lambda item: item[0]):
            target.mux(packet)


def _sound(files: Sequence[MixedFile], channels: int, layout: str) -> list[tuple[int, av.AudioFrame]]:
    sounds = [mediacheck.check_sound(file.path).mean(axis=0) for file in files]
    starts = [round(file.offset * _RATE) for file in files]
    length = max(start + len(sound) for start, sound in zip(starts, sounds, strict=True))
    total = np.zeros((channels, length), np.float32)
    for file, start, sound in zip(files, starts, sounds, strict=True):
        total[file.recording, start : start + len(sound)] += sound
    samples = np.clip(total * 32767, -32768, 32767).astype(np.int16)
    frames = []
    for begin in range(0, length, _RATE):
        piece = np.ascontiguousarray(samples[:, begin : begin + _RATE].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(piece, format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = _RATE, begin, Fraction(1, _RATE)
        frames.append((round(begin / _RATE * 1_000_000), frame))
    return frames


@dataclass(frozen=True, slots=True)
class Heard:
    """When flashes and beeps of each recording begin in the mix, seconds."""

    flashes: tuple[tuple[float, ...], ...]
    beeps: tuple[tuple[float, ...], ...]

    def differences_ms(self, first: int = 0, second: int = 1) -> dict[str, list[float]]:
        """Return per kind how much later the second recording's are than the first one's, in ms, pair by pair."""
        kinds = {"flash": self.flashes, "beep": self.beeps}
        return {
            name: [
                -error for error in mediacheck.pair_offsets(events[first], events[second])
            ]  # pair_offsets is first minus second
            for name, events in kinds.items()
        }


def measure(path: Path, files: Sequence[MixedFile]) -> Heard:
    """Decode the mix of these files and find every flash and beep."""
    recordings = max(file.recording for file in files) + 1
    flashes: list[list[float]] = [[] for _ in range(recordings)]
    for index, file in enumerate(files):
        flashes[file.recording] += _flashes(path, index)
    with av.open(str(path)) as container:
        pieces = [frame.to_ndarray().reshape(-1, recordings) for frame in container.decode(audio=0)]
    sound = np.concatenate(pieces).astype(np.float32) / np.float32(32768)
    beeps = [
        mediacheck.onsets(np.abs(sound[:, index]) > testpattern.BEEP_THRESHOLD) for index in range(recordings)
    ]
    return Heard(tuple(tuple(sorted(times)) for times in flashes), tuple(tuple(times) for times in beeps))


def _flashes(path: Path, index: int) -> list[float]:
    times: list[float] = []
    lit = True  # a file that begins within a flash has no flash edge there
    with av.open(str(path)) as container:
        stream = container.streams.video[index]
        for frame in container.decode(stream):
            luma = mediacheck.plane_of(frame, 0)
            flash = testpattern.read_counter(luma) is not None and testpattern.read_flash(luma)
            if flash and not lit:
                assert frame.time is not None
                times.append(frame.time)
            lit = flash
    return times
