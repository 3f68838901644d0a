"""Owns what differs between the audio codecs: FFmpeg's encoder, its sample form and packet, by how much it delays.

PCM needs no encoder and has none here (`audioencoder.PcmPacker`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from egress_recorder.filetypes import SoundCodec
from egress_recorder.media.values import SAMPLE_RATE, MediaSpec

Planes = npt.NDArray[np.float32]
"""One row per channel, -1 to 1."""
LAME_DELAY = 1105
"""Samples: 576 of the encoder, 529 of every decoder's filters (FFmpeg's `initial_padding` of libmp3lame)."""
MP3_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})
"""Hz (ISO/IEC 11172-3, 13818-3 and MPEG-2.5)."""


@dataclass(frozen=True, slots=True)
class AudioCodec:
    """How one codec is encoded. `delay` counts samples of its own rate; the frame size is the context's."""

    encoder: str
    form: str
    frame: Callable[[Planes], AudioFrame]
    delay: Callable[[AudioCodecContext], int] = lambda _: 0
    options: Mapping[str, str] = field(default_factory=dict)
    dependent: bool = False
    """What a packet says depends on all before it: a file must begin with the first packet of an encoder, and none is left
    out. FLAC's are numbered; Opus' tell the loudness of each band as a difference (RFC 6716, section 4.3.2.1), and a file
    that began with the second one began with a bang: 30 dB too loud, for a tenth of a second."""


def planar(planes: Planes) -> AudioFrame:
    """Return a frame of floats, one plane per channel."""
    return AudioFrame.from_ndarray(np.ascontiguousarray(planes), format="fltp", layout="stereo")


def _interleaved(planes: Planes) -> AudioFrame:
    return AudioFrame.from_ndarray(
        np.ascontiguousarray(planes.T).reshape(1, -1), format="flt", layout="stereo"
    )


def whole_numbers(planes: Planes) -> npt.NDArray[np.int16]:
    """Return interleaved 16-bit samples as one row; what was 16 bits before is the same again."""
    scaled = np.clip(np.rint(planes.T * 32768), -32768, 32767)
    return np.ascontiguousarray(scaled.astype(np.int16)).reshape(1, -1)


def _sixteen_bits(planes: Planes) -> AudioFrame:
    return AudioFrame.from_ndarray(whole_numbers(planes), format="s16", layout="stereo")


def pre_skip(context: AudioCodecContext) -> int:
    """Return the samples by which an Opus encoder delays (RFC 7845, section 5.1)."""
    assert context.extradata is not None
    return int.from_bytes(context.extradata[10:12], "little")


AUDIO_CODECS: Mapping[SoundCodec, AudioCodec] = {
    "aac": AudioCodec("aac", "fltp", planar, lambda context: context.frame_size, {"aac_coder": "fast"}),
    # Complexity 5 of 10, with which phones send: a quarter cheaper.
    "opus": AudioCodec("libopus", "flt", _interleaved, pre_skip, {"compression_level": "5"}, dependent=True),
    # Without the reservoir no frame needs the ones before it: the first may be left out, and any cut is clean.
    "mp3": AudioCodec("libmp3lame", "fltp", planar, lambda _: LAME_DELAY, {"reservoir": "0"}),
    # 40 ms: FFmpeg's own 105 ms would be lost by a kill.
    "flac": AudioCodec("flac", "s16", _sixteen_bits, options={"frame_size": "1920"}, dependent=True),
}


def audio_rate(codec: SoundCodec, wanted: int) -> int:
    """Return the Hz in which a codec stores sound that is wanted at `wanted` Hz."""
    if codec == "opus" or (codec == "mp3" and wanted not in MP3_RATES):
        return SAMPLE_RATE
    return wanted


def open_audio(spec: MediaSpec) -> AudioCodecContext:
    """Open the encoder of the spec; its `extradata` are what a container wants of it."""
    codec = AUDIO_CODECS[spec.audio_codec]
    context = av.CodecContext.create(codec.encoder, "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout = spec.audio_frequency, "stereo"
    context.format = codec.form
    context.bit_rate, context.time_base = spec.audio_bitrate * 1000, Fraction(1, spec.audio_frequency)
    context.options = dict(codec.options)
    context.open()
    return context
