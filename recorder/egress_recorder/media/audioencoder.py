"""Owns the audio encoders: AAC-LC at any of its rates and Opus, fed with 48 kHz stereo, any number of samples at a time.

Sample n of the input is at n/48000 s in the file, whatever the codec: what an encoder delays is taken out in whole
packets at the beginning, so that neither edit lists nor a player's handling of them matter.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from egress_recorder.media.mixer import Pcm
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import CHANNELS, SAMPLE_RATE, MediaSpec

AAC_FRAME = 1024
OPUS_FRAME = 960
"""Samples (20 ms)."""
Planes = npt.NDArray[np.float32]
"""One row per channel, -1 to 1."""


class AudioEncoder:
    """AAC or Opus, stereo, as the spec says."""

    def __init__(self, spec: MediaSpec) -> None:
        self._rate = spec.audio_frequency
        self._time_base = Fraction(1, self._rate)
        self._context = open_audio(spec)
        self._resampler = Resampler(self._rate) if self._rate != SAMPLE_RATE else None
        lead = 0
        if spec.audio_codec == "opus":
            # Silence up to a whole packet before the first sample: what the encoder's look-ahead delays is then
            # exactly one packet, which is left out.
            self._frame_size, self._plane_order = OPUS_FRAME, _interleaved
            lead = OPUS_FRAME - pre_skip(self._context)
        else:
            self._frame_size, self._plane_order = AAC_FRAME, _planar
        self._lead = lead
        self._waiting: Planes = np.zeros((CHANNELS, lead), np.float32)
        self._position = 0

    def encode(self, pcm: Pcm) -> list[EncodedPacket]:
        """Encode interleaved stereo samples that follow the ones before."""
        planes = np.ascontiguousarray(pcm.T, dtype=np.float32)
        planes *= 1 / 32768
        return self._take(planes if self._resampler is None else self._resampler.take(planes))

    def flush(self) -> list[EncodedPacket]:
        """Return the rest, the last frame padded with silence. Nothing may be encoded afterwards."""
        packets = [] if self._resampler is None else self._take(self._resampler.rest())
        if missing := -self._waiting.shape[1] % self._frame_size:
            packets += self._take(np.zeros((CHANNELS, missing), np.float32))
        return packets + self._packets(self._context.encode(None))

    def _take(self, planes: Planes) -> list[EncodedPacket]:
        size = self._frame_size
        waiting = np.concatenate((self._waiting, planes), axis=1) if self._waiting.shape[1] else planes
        whole = waiting.shape[1] // size * size
        packets: list[EncodedPacket] = []
        for start in range(0, whole, size):
            frame = self._plane_order(waiting[:, start : start + size])
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._position, self._time_base
            self._position += size
            packets += self._packets(self._context.encode(frame))
        self._waiting = waiting[:, whole:]
        return packets

    def _packets(self, packets: list[av.Packet[Any]]) -> list[EncodedPacket]:
        out: list[EncodedPacket] = []
        for packet in packets:
            assert packet.pts is not None
            # The priming packet (AAC: pts -1024): dropping it costs nothing, clamping it would delay the sound by 21 ms.
            pts = packet.pts - self._lead
            if pts >= 0:
                packet.time_base, packet.duration = self._time_base, self._frame_size
                packet.pts = packet.dts = pts
                out.append(EncodedPacket("audio", packet, pts / self._rate, self._frame_size / self._rate))
        return out


def open_audio(spec: MediaSpec) -> AudioCodecContext:
    """Open the encoder of the spec; its `extradata` are what a container wants of it."""
    opus = spec.audio_codec == "opus"
    context = av.CodecContext.create("libopus" if opus else "aac", "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout = spec.audio_frequency, "stereo"
    context.format = "flt" if opus else "fltp"
    context.bit_rate, context.time_base = spec.audio_bitrate * 1000, Fraction(1, spec.audio_frequency)
    context.options = {} if opus else {"aac_coder": "fast"}
    context.open()
    return context


def pre_skip(context: AudioCodecContext) -> int:
    """Return the samples by which an Opus encoder delays (RFC 7845, section 5.1)."""
    assert context.extradata is not None
    return int.from_bytes(context.extradata[10:12], "little")


def _planar(planes: Planes) -> AudioFrame:
    return AudioFrame.from_ndarray(np.ascontiguousarray(planes), format="fltp", layout="stereo")


def _interleaved(planes: Planes) -> AudioFrame:
    return AudioFrame.from_ndarray(
        np.ascontiguousarray(planes.T).reshape(1, -1), format="flt", layout="stereo"
    )


class Resampler:
    """From 48 kHz to another rate; as many samples come out as the time that went in has, to the sample."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._resampler = AudioResampler(format="fltp", layout="stereo", rate=rate)
        self._taken = self._given = 0

    def take(self, planes: Planes) -> Planes:
        """Return what is ready after these samples; the filter keeps the last few."""
        if not planes.shape[1]:
            return planes
        frame = _planar(planes)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._taken, Fraction(1, SAMPLE_RATE)
        self._taken += planes.shape[1]
        return self._join(self._resampler.resample(frame))

    def rest(self) -> Planes:
        """Return what the filter kept, cut or filled up to the exact length."""
        due = round(self._taken * self._rate / SAMPLE_RATE) - self._given
        kept = (
            self._join(self._resampler.resample(None)) if self._taken else np.zeros((CHANNELS, 0), np.float32)
        )
        missing = max(0, due - kept.shape[1])
        return np.concatenate((kept[:, :due], np.zeros((CHANNELS, missing), np.float32)), axis=1)

    def _join(self, frames: list[AudioFrame]) -> Planes:
        if not frames:
            return np.zeros((CHANNELS, 0), np.float32)
        planes = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
        self._given += planes.shape[1]
        return planes
