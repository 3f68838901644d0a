"""Owns the reading of a recorded file: decodes it wholly and says what is in it; knows nothing of how it was made.

`python -m devstack.mediacheck FILE…` prints a report per file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from devstack import testpattern

STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}
"""Decoder options: damage is an error. FFmpeg conceals it otherwise, and a file that is to be proven would pass."""
SETTLED = 2.0
"""Seconds of a file after which its sync is one that lasts."""


@dataclass(slots=True)
class MediaReport:
    """What decoding a file showed. Times are seconds of media time."""

    path: Path
    duration: float = 0.0
    video_codec: str = ""
    audio_codec: str = ""
    width: int = 0
    height: int = 0
    framerate: float = 0.0
    channels: int = 0
    frame_times: list[float] = field(default_factory=list)
    counters: list[int | None] = field(default_factory=list)
    """Per decoded frame the burnt-in number; None for black or unreadable pictures."""
    variants: list[int | None] = field(default_factory=list)
    """Per decoded frame whose picture it is (`testpattern.VARIANTS`); None for black and strangers."""
    areas: list[tuple[int, int, int, int] | None] = field(default_factory=list)
    """Per decoded frame left, top, right, bottom of the coloured part in pixels; None for black."""
    lit: list[bool] = field(default_factory=list)
    """Per decoded frame whether the flash square is white."""
    profile: str = ""
    video_bitrate: float = 0.0
    """bit/s, of the encoded packets over the file's length."""
    audio_rate: int = 0
    """Hz of the encoded sound."""
    flashes: list[float] = field(default_factory=list)
    beeps: list[float] = field(default_factory=list)
    audio: npt.NDArray[np.float32] = field(default_factory=lambda: np.zeros((2, 0), np.float32))
    """(channels, samples) at 48 kHz from media time 0."""
    errors: list[str] = field(default_factory=list)
    sent_widths: tuple[int, ...] = ()
    """Widths that publishers drew at, where pictures were scaled by an odd factor."""

    @property
    def frames(self) -> int:
        """Decoded pictures."""
        return len(self.frame_times)

    @property
    def streams(self) -> str:
        """For people: `h264 1280x720@30 + aac 2ch`."""
        video = (
            f"{self.video_codec} {self.width}x{self.height}@{self.framerate:g}" if self.video_codec else ""
        )
        audio = f"{self.audio_codec} {self.channels}ch" if self.audio_codec else ""
        return " + ".join(filter(None, (video, audio)))

    @property
    def offsets_ms(self) -> list[float]:
        """Flash minus beep in ms per pair; negative: the sound is late."""
        return pair_offsets(self.flashes, self.beeps)

    @property
    def settled_ms(self) -> list[float]:
        """The same from the third second on.

        Before, pictures may come late from a busy publisher and catch up: the key frame that is asked for at the start waits for
        its CPU and its pacer, while its sound does not (seen: 260 ms, 137 a second later, then none), and the receipt of
        packets, which is all a receiver knows, says nothing of that.
        """
        return pair_offsets([flash for flash in self.flashes if flash >= SETTLED], self.beeps)

    def counted(self, start: float = 0.0, end: float = float("inf")) -> list[int]:
        """Return the readable numbers of frames with start <= time < end, in order, repetitions included."""
        return [
            number
            for time, number in zip(self.frame_times, self.counters, strict=True)
            if number is not None and start <= time < end
        ]

    @property
    def missing_frames(self) -> int:
        """Numbers that the publisher sent between the first and the last recorded one and that are nowhere."""
        numbers = self.counted()
        if not numbers:
            return 0
        seen = set(numbers)
        return (numbers[-1] - numbers[0]) % testpattern.COUNTER_MODULO + 1 - len(seen)

    def tone(self, channel: int, frequency: float, start: float, end: float) -> float:
        """Amplitude (full scale 1) of a frequency in one channel between two times, the mean of windows of 50 ms.

        Not in one piece: sound that a recorder stretches by 0.5 % for a while, which nobody hears, would cancel itself.
        """
        first, last = (int(t * testpattern.SAMPLE_RATE) for t in (start, end))
        window = testpattern.SAMPLE_RATE // 20
        starts = range(first, last - window + 1, window) or [first]
        levels = [
            testpattern.tone_level(self.audio[channel, at : min(at + window, last)], frequency)
            for at in starts
        ]
        return float(np.mean(levels))

    def level(self, start: float, end: float) -> float:
        """Root mean square of both channels between two times (full scale 1); 0 is digital silence."""
        piece = self.audio[:, int(start * testpattern.SAMPLE_RATE) : int(end * testpattern.SAMPLE_RATE)]
        return float(np.sqrt(np.mean(piece**2))) if piece.size else 0.0

    def summary(self) -> str:
        """One line for people."""
        offsets = self.offsets_ms
        sync = (
            f"{np.mean(offsets):+.1f} ms over {len(offsets)} flashes"
            if offsets
            else "no flash and beep pairs"
        )
        return (
            f"{self.path}: {self.duration:.2f} s, {self.streams}, {self.frames} frames,"
            f" {self.missing_frames} missing, A/V offset {sync}"
            + (f", ERRORS: {'; '.join(self.errors)}" if self.errors else "")
        )


def pair_offsets(flashes: Sequence[float], beeps: Sequence[float], limit: float = 0.45) -> list[float]:
    """Return flash minus nearest beep in ms for every flash that has a beep within `limit` seconds."""
    pairs = ((flash, min(beeps, key=lambda beep: abs(beep - flash))) for flash in flashes if beeps)
    return [(flash - beep) * 1000 for flash, beep in pairs if abs(flash - beep) < limit]


def check(path: str | Path, sent_widths: Sequence[int] = ()) -> MediaReport:
    """Decode a file to its end. Raises av.FFmpegError when it cannot be opened at all.

    `sent_widths`: widths that publishers drew at, needed only where a picture was scaled by an odd factor.
    """
    report = MediaReport(Path(path), sent_widths=tuple(sent_widths))
    with av.open(str(path)) as container:
        report.duration = (container.duration or 0) / 1_000_000
        if container.streams.video:
            _read_video(report, container, (*sent_widths, None))
    with av.open(str(path)) as container:
        if container.streams.audio:
            _read_audio(report, container)
    ends = [report.frame_times[-1] + 1 / (report.framerate or 30)] if report.frame_times else []
    ends.append(report.audio.shape[1] / testpattern.SAMPLE_RATE)
    report.duration = max(ends)
    return report


def check_sound(path: str | Path) -> npt.NDArray[np.float32]:
    """Return (channels, samples) at 48 kHz from media time 0."""
    report = MediaReport(Path(path))
    with av.open(str(path)) as container:
        _read_audio(report, container)
    return report.audio


def _read_video(
    report: MediaReport, container: av.container.InputContainer, sent_widths: Sequence[int | None]
) -> None:
    stream = container.streams.video[0]
    stream.codec_context.options = STRICT
    report.video_codec, report.width, report.height = stream.codec_context.name, stream.width, stream.height
    report.framerate = float(stream.average_rate or 0)
    report.profile = str(stream.codec_context.profile or "")
    size = 0
    lit = True  # a file that begins within a flash has no flash edge there
    try:
        for packet in container.demux(stream):
            size += packet.size
            for frame in packet.decode():
                if frame.is_corrupt and not report.errors:
                    report.errors.append(f"video: the picture at {frame.time:.3f} s is damaged")
                time = float((frame.pts or 0) * stream.time_base) if stream.time_base else 0.0
                number, flash = _read_picture(report, frame, sent_widths)
                if flash and not lit:
                    report.flashes.append(time)
                lit = flash
                report.frame_times.append(time)
                report.counters.append(number)
                report.lit.append(flash)
    except av.FFmpegError as error:
        report.errors.append(f"video: {error}")
    if report.frame_times:
        report.video_bitrate = size * 8 / max(report.frame_times[-1], 0.1)


def _read_picture(
    report: MediaReport, frame: av.VideoFrame, sent_widths: Sequence[int | None]
) -> tuple[int | None, bool]:
    """Note whose picture it is and where; return its number and whether it flashes."""
    luma, u, v = (plane_of(frame, index) for index in range(3))
    area = testpattern.active_area(u, v)
    if area is None:
        report.variants.append(None)
        report.areas.append(None)
    else:
        left, top, right, bottom = area
        inner = slice(top, bottom), slice(left, right)
        report.variants.append(testpattern.read_variant(float(u[inner].mean()), float(v[inner].mean())))
        report.areas.append((2 * left, 2 * top, 2 * right, 2 * bottom))
        luma = luma[2 * top : 2 * bottom, 2 * left : 2 * right]
    number = next(
        (found for width in sent_widths if (found := testpattern.read_counter(luma, width)) is not None), None
    )
    return number, number is not None and testpattern.read_flash(luma)


def number_in(rgba: bytes, width: int, height: int, sent_widths: Sequence[int] = ()) -> int | None:
    """Return the number that a picture shows; pixels as a canvas has them."""
    pixels = np.frombuffer(rgba, np.uint8).reshape(height, width, 4)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format="yuv420p")
    return _read_picture(MediaReport(Path()), frame, (*sent_widths, None))[0]


def plane_of(frame: av.VideoFrame, index: int) -> testpattern.Luma:
    """Return one plane of a decoded picture, (height, width)."""
    plane = frame.planes[index]
    rows: testpattern.Luma = np.frombuffer(memoryview(plane), np.uint8)
    return rows.reshape(plane.height, plane.line_size)[:, : plane.width]


def _read_audio(report: MediaReport, container: av.container.InputContainer) -> None:
    stream = container.streams.audio[0]
    stream.codec_context.options = STRICT
    report.audio_codec, report.channels = stream.codec_context.name, stream.codec_context.channels
    report.audio_rate = stream.codec_context.sample_rate
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=testpattern.SAMPLE_RATE)
    pieces: list[npt.NDArray[np.float32]] = []
    position = 0
    try:
        for frame in container.decode(stream):
            due = round(float((frame.pts or 0) * (frame.time_base or 0)) * testpattern.SAMPLE_RATE)
            if due > position:  # a hole in the file is silence for a player
                pieces.append(np.zeros((2, due - position), np.float32))
                position = due
            for out in resampler.resample(frame):
                pieces.append(out.to_ndarray().astype(np.float32, copy=False))
                position += out.samples
    except av.FFmpegError as error:
        report.errors.append(f"audio: {error}")
    if pieces:
        report.audio = np.concatenate(pieces, axis=1)
    report.beeps = onsets(np.abs(report.audio).max(axis=0) > testpattern.BEEP_THRESHOLD)


def onsets(loud: npt.NDArray[np.bool_]) -> list[float]:
    """Return the times at which sound starts after at least 0.2 s below the threshold."""
    indexes = np.flatnonzero(loud)
    if not len(indexes):
        return []
    first = np.concatenate(([True], np.diff(indexes) > testpattern.SAMPLE_RATE // 5))
    onsets = indexes[first] / testpattern.SAMPLE_RATE
    # A file that begins inside a beep has no onset there.
    return [float(onset) for onset in onsets if onset > 0.03]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(check(argument).summary())
