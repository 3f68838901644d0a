"""Measures the encoder alone: CPU and picture of each rung of the ladder, beside the other ways that were not chosen.

For each size: camera-like pictures (`devstack/camera.py`) go through VP8 as WebRTC encodes it (libvpx, realtime) and are decoded, which is what a
recorder receives; then each way encodes them at the preset's bitrate, is decoded again and compared with what was received.

- "whole bitrate": x264 superfast with the whole bitrate spent (ABR), what the recorder did before;
- "rung 0" what is asked for, "rung 1" with the cheaper preset, "rung 2" with every second picture repeated (its mean PSNR counts the repeated ones);
- "veryfast": LiveKit Egress' preset with the same constant quality.

CPU is user + system seconds per second of media; PSNR is of the luma in dB, mean and worst picture; kbit/s of the video.
NOT MET: rung 0 spends more than 1.05 of the bitrate, or shows pictures worse by more than 0.2 dB or 10 % more CPU than "whole bitrate".
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from unittest import mock

import av
import numpy as np
import numpy.typing as npt
from common import describe_machine, finish

from devstack import camera
from egress_recorder.media import x264
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.ladder import Ladder
from egress_recorder.media.values import MediaSpec, Picture

SIZES = (
    (640, 360, 30, 800), (1280, 720, 30, 3000), (1280, 720, 60, 4500), (1920, 1080, 30, 4500), (1920, 1080, 60, 6000),
)  # fmt: skip
"""Width, height, pictures per second, kbit/s."""
WORST_LOSS_DB, MOST_CPU, MOST_BITRATE = 0.2, 1.1, 1.05
Luma = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Encoded:
    """What one way came to."""

    way: str
    cpu: float
    psnr: float
    worst: float
    kbps: float

    def cell(self) -> str:
        """For the table: `0.175: 44.9 (41.2), 2998`."""
        return f"{self.cpu:.3f}: {self.psnr:.1f} ({self.worst:.1f}), {self.kbps:.0f}"


def received(spec: MediaSpec, seconds: int) -> list[Picture]:
    """Return what a recorder is given: the camera's pictures after the publisher's encoder."""
    width, height = spec.width, spec.height
    encoder, decoder = av.CodecContext.create("libvpx", "w"), av.CodecContext.create("vp8", "r")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"  # type: ignore[attr-defined]
    encoder.time_base = Fraction(1, spec.framerate)
    encoder.bit_rate = 200_000 + 1_800_000 * width * height * spec.framerate // (1280 * 720 * 30)  # type: ignore[attr-defined]
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    pictures: list[Picture] = []
    for number in range(camera.PERIOD * spec.framerate):
        data = np.frombuffer(camera.frame(number, width, height, spec.framerate), np.uint8)
        frame = av.VideoFrame.from_ndarray(data.reshape(height * 3 // 2, width), format="yuv420p")
        frame.pts, frame.time_base = number, encoder.time_base
        for packet in encoder.encode(frame):  # type: ignore[attr-defined]
            shown = decoder.decode(packet)  # type: ignore[attr-defined]
            pictures += [Picture(one.to_ndarray().tobytes(), width, height) for one in shown]
    return pictures * (seconds // camera.PERIOD)


def cpu_seconds() -> float:
    """CPU of this process so far, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def on_rung(spec: MediaSpec, pictures: Sequence[Picture], rung: int) -> Iterator[bytes]:
    """Encode as the recorder does on this rung from the second picture on."""
    with mock.patch.object(Ladder, "observe", return_value=rung):
        encoder = VideoEncoder(spec)
        for index, picture in enumerate(pictures):
            for packet in encoder.encode(picture, index):
                yield bytes(packet.packet)


def by_options(
    spec: MediaSpec, pictures: Sequence[Picture], preset: str, changes: dict[str, str], params: str
) -> Iterator[bytes]:
    """Encode with other options of x264."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = spec.width, spec.height, "yuv420p"  # type: ignore[attr-defined]
    context.time_base, context.framerate = Fraction(1, spec.framerate), Fraction(spec.framerate)  # type: ignore[attr-defined]
    context.thread_count = x264.threads(spec)
    bits = str(spec.video_bitrate * 1000)
    context.options = {
        "preset": preset, "tune": "zerolatency", "profile": "main", "maxrate": bits, "bufsize": bits,
        "g": str(spec.longest_group), "x264-params": f"scenecut=0:{params}", **changes,
    }  # fmt: skip
    for index, picture in enumerate(pictures):
        data = np.frombuffer(picture.data, np.uint8).reshape(spec.height * 3 // 2, spec.width)
        frame = av.VideoFrame.from_numpy_buffer(data, format="yuv420p")
        frame.pts, frame.time_base = index, context.time_base
        for packet in context.encode(frame):  # type: ignore[attr-defined]
            yield bytes(packet)


def measure(
    way: str, spec: MediaSpec, pictures: Sequence[Picture], encode: Callable[[], Iterator[bytes]]
) -> Encoded:
    """Encode, then decode and compare."""
    before = cpu_seconds()
    packets = list(encode())
    cpu = cpu_seconds() - before
    decoder = av.CodecContext.create("h264", "r")
    shown = (frame for data in packets for frame in decoder.decode(av.Packet(data)))  # type: ignore[attr-defined]
    values = [_psnr(frame, picture) for frame, picture in zip(shown, pictures, strict=True)]
    seconds = len(pictures) / spec.framerate
    kbps = sum(map(len, packets)) * 8 / 1000 / seconds
    return Encoded(way, cpu / seconds, float(np.mean(values)), min(values), kbps)


def _psnr(frame: av.VideoFrame, picture: Picture) -> float:
    size = picture.width * picture.height
    source = np.frombuffer(picture.data, np.uint8)[:size].reshape(picture.height, picture.width)
    difference = frame.to_ndarray()[: picture.height].astype(np.int16) - source
    mean_square = float(np.mean(np.square(difference, dtype=np.int32), dtype=np.float64))
    return float(10 * np.log10(255**2 / max(mean_square, 1e-9)))


def compare(spec: MediaSpec, seconds: int) -> list[Encoded]:
    """Measure every way at one size."""
    pictures = received(spec, seconds)
    whole = {"b": str(spec.video_bitrate * 1000)}
    same = {"crf": str(x264.QUALITY)}
    ways: dict[str, Callable[[], Iterator[bytes]]] = {
        "whole bitrate": lambda: by_options(spec, pictures, "superfast", whole, "vbv-init=0.5"),
        "rung 0": lambda: on_rung(spec, pictures, 0),
        "rung 1": lambda: on_rung(spec, pictures, 1),
        "rung 2": lambda: on_rung(spec, pictures, 2),
        "veryfast": lambda: by_options(spec, pictures, "veryfast", same, f"vbv-init={x264.FIRST_FULLNESS}"),
    }
    return [measure(way, spec, pictures, encode) for way, encode in ways.items()]


def main() -> None:
    """Run the benchmark."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seconds", type=int, default=8, help="of media per size and way (8)")
    arguments = options.parse_args()
    describe_machine()
    problems, ratios = [], []
    print(
        "| size, pictures/s, kbit/s | whole bitrate | rung 0 | rung 1 | rung 2 | veryfast |\n"
        + "|---" * 6
        + "|"
    )
    for width, height, framerate, kbps in SIZES:
        spec = MediaSpec(width, height, framerate, kbps, 128, audio=False)
        results = compare(spec, arguments.seconds)
        name = f"{width}x{height}, {framerate}, {kbps}"
        print(f"| {name} | " + " | ".join(result.cell() for result in results) + " |", flush=True)
        before, ours = results[0], results[1]
        ratios.append(ours.cpu / before.cpu)
        if ours.kbps > MOST_BITRATE * kbps:
            problems.append(f"{name}: {ours.kbps:.0f} kbit/s")
        if ours.psnr < before.psnr - WORST_LOSS_DB or ours.cpu > MOST_CPU * before.cpu:
            problems.append(f"{name}: {ours.cell()} against {before.cell()}")
    finish(problems, cpu_ratio=max(ratios))


if __name__ == "__main__":
    main()
