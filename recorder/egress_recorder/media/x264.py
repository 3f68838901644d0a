"""Owns one context of x264: its options, the presets that share their parameter sets, and how full its VBV is.

By measurement (docs/encoding.md): superfast with zerolatency at every size; constant quality (CRF 20) below the bitrate,
which the VBV caps. FFmpeg cannot change the preset of an open context, so that another preset is another context,
which begins with an IDR picture: it must have the same SPS and PPS, or the file would change its format. Plain
`ultrafast` has others (no CABAC, no weighted prediction, and thereby another profile): what stands in them is set here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

import av
from av.video.codeccontext import VideoCodecContext

from egress_recorder.media.values import MediaSpec, Profile

QUALITY = 18
"""CRF: the picture of a camera is as good as with the whole bitrate spent (docs/encoding.md)."""
VBV_SECONDS = 1.0
FIRST_FULLNESS = 0.25
"""Of the VBV at the beginning: 5 s and longer stay within 1.05 of the bitrate whatever is shown."""
LEAST_FULLNESS = 0.15
"""Of the VBV of a context that follows another one: an IDR picture needs some bits."""
BT709 = 1
ONE_THREAD = 1280 * 720 * 30
"""Pixels per second up to which one thread is enough, and cheapest."""
MOST_THREADS = 4

_IN_PARAMETER_SETS: dict[Profile, str] = {
    "baseline": "cabac=0:weightp=0:8x8dct=0",
    "main": "cabac=1:weightp=1:8x8dct=0",
    "high": "cabac=1:weightp=1:8x8dct=1",
}
BEST, CHEAP = "superfast", "ultrafast"


def threads(spec: MediaSpec) -> int:
    """Return the number of encoder threads: large pictures need more than one core can do at the worst moment."""
    heavy = spec.width * spec.height * spec.framerate > ONE_THREAD
    return min(MOST_THREADS, len(os.sched_getaffinity(0))) if heavy else 1


def open_x264(
    spec: MediaSpec, preset: str, *, fullness: float = FIRST_FULLNESS, header: bool = False
) -> VideoCodecContext:
    """Open an encoder; with `header` its `extradata` are the parameter sets, which then are not in the packets."""
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = spec.width, spec.height, "yuv420p"
    context.time_base, context.framerate = Fraction(1, spec.framerate), Fraction(spec.framerate)
    context.thread_count = threads(spec)
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = 1
    bits = spec.video_bitrate * 1000
    context.options = {
        "preset": preset,
        "tune": "zerolatency",
        "profile": spec.profile,
        **({"b": str(bits)} if spec.constant else {"crf": str(QUALITY)}),
        "maxrate": str(bits),
        "bufsize": str(int(bits * VBV_SECONDS)),
        # Key frames are asked for by tick: repeated pictures are not counted by x264.
        "g": str(spec.longest_group),
        "forced-idr": "1",
        # stitchable: no field of the parameter sets depends on the quality that was asked for.
        "x264-params": f"scenecut=0:stitchable=1:vbv-init={fullness:.3f}:{_IN_PARAMETER_SETS[spec.profile]}"
        + (":nal-hrd=cbr" if spec.constant else ""),
        **({"flags": "+global_header"} if header else {}),
    }
    context.open()
    return context


def interchangeable(spec: MediaSpec, preset: str) -> bool:
    """Return True when a context of this preset continues a stream of the best one: same SPS and PPS, byte by byte."""
    first, other = (open_x264(spec, name, header=True).extradata for name in (BEST, preset))
    return first is not None and first == other


@dataclass(slots=True)
class Vbv:
    """How full the decoder's buffer is, in bits, over all contexts of a file (ITU-T H.264, annex C, as x264 counts)."""

    rate: int
    """Bits per second."""
    level: float = 0.0

    def __post_init__(self) -> None:
        self.level = FIRST_FULLNESS * self.rate * VBV_SECONDS

    def add(self, seconds: float, size: int) -> None:
        """Take in a packet of `size` bytes that is shown for `seconds`."""
        self.level = min(self.level - 8 * size + seconds * self.rate, self.rate * VBV_SECONDS)

    @property
    def fullness(self) -> float:
        """For the next context, 0 to 1."""
        return min(max(self.level / (self.rate * VBV_SECONDS), LEAST_FULLNESS), 1.0)
