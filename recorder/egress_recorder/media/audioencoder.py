"""Owns the audio encoders: AAC-LC, Opus, MP3, FLAC and PCM, fed with 48 kHz stereo, any number of samples at a time.

Sample n of the input is at n/48000 s in the file, whatever the codec, so that neither edit lists nor a player's handling
of them matter. What an encoder delays is taken out in whole packets at the beginning; where none may be left out (Opus),
its first 6.5 ms of silence stand for as much of the input.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from egress_recorder.media.audiocodecs import AUDIO_CODECS, Planes, open_audio, planar, whole_numbers
from egress_recorder.media.mixer import Pcm
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import CHANNELS, SAMPLE_RATE, MediaSpec

PCM_FRAME = 960
"""Samples of a packet of PCM."""


def packet_seconds(spec: MediaSpec) -> Fraction:
    """Return the seconds of a packet of the spec's codec."""
    samples = PCM_FRAME if spec.audio_codec == "pcm" else open_audio(spec).frame_size
    return Fraction(samples, spec.audio_frequency)


_SILENCE = bytes(PCM_FRAME * CHANNELS * 2)


class AudioEncoder:
    """One codec, stereo, as the spec says."""

    def __init__(self, spec: MediaSpec) -> None:
        self.codec = spec.audio_codec
        self._rate = spec.audio_frequency
        self._time_base = Fraction(1, self._rate)
        self._resampler = Resampler(self._rate) if self._rate != SAMPLE_RATE else None
        self._packer: PcmPacker | CodecPacker = PcmPacker() if self.codec == "pcm" else CodecPacker(spec)
        self._frame_size = self._packer.frame_size
        dependent = self.codec in AUDIO_CODECS and AUDIO_CODECS[self.codec].dependent
        # Silence before the first sample, up to a whole packet: what the encoder delays is then whole packets, which
        # are left out. Where they may not be, the encoder gets so many samples less.
        self._lead = -self._packer.delay if dependent else -self._packer.delay % self._frame_size
        self._waiting: Planes = np.zeros((CHANNELS, max(0, self._lead)), np.float32)
        self._unheard = max(0, -self._lead)
        """Samples of the input that are still to be left out."""
        self._position = 0
        self._spec = spec
        self._anew = round((spec.file_seconds or 0) * self._rate) if dependent else 0
        """Samples after which the encoder begins anew with a file; 0: never."""
        self._base = self._files = 0

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
        return packets + self._packets(self._packer.rest())

    def _take(self, planes: Planes) -> list[EncodedPacket]:
        if self._unheard:
            left_out, planes = planes[:, : self._unheard], planes[:, self._unheard :]
            self._unheard -= left_out.shape[1]
        size = self._frame_size
        waiting = np.concatenate((self._waiting, planes), axis=1) if self._waiting.shape[1] else planes
        whole = waiting.shape[1] // size * size
        packets: list[EncodedPacket] = []
        start = 0
        while start < whole:
            stop = min(whole, start + self._until_new_encoder())
            packets += self._packets(
                self._packer.pack(waiting[:, start:stop], self._position - self._base, self._rate)
            )
            self._position += stop - start
            start = stop
        self._waiting = waiting[:, whole:]
        return packets

    def _until_new_encoder(self) -> int:
        """Return how many samples, in whole frames, the present encoder may still get; make a new one where that is none."""
        if not self._anew:
            return sys.maxsize
        left = self._anew * (self._files + 1) - self._position
        if left <= 0:
            # Nothing is left in the old one that the file before needs: what it delays are the first samples of the next.
            self._packer, self._base = CodecPacker(self._spec), self._position
            self._files += 1
            left += self._anew
        return math.ceil(left / self._frame_size) * self._frame_size

    def _packets(self, packets: Iterable[av.Packet[Any]]) -> list[EncodedPacket]:
        out: list[EncodedPacket] = []
        for packet in packets:
            # FLAC's last one is empty and only tells a checksum.
            if not packet.size:
                continue
            assert packet.pts is not None
            # The priming packet (AAC: pts -1024): dropping it costs nothing, clamping it would delay the sound by 21 ms.
            pts = packet.pts + self._base - self._lead
            if pts >= 0:
                packet.time_base, packet.duration = self._time_base, self._frame_size
                packet.pts = packet.dts = pts
                seconds = self._frame_size / self._rate
                out.append(EncodedPacket("audio", packet, pts / self._rate, seconds, self.codec))
        return out


class CodecPacker:
    """Packets of an encoder of FFmpeg's."""

    def __init__(self, spec: MediaSpec) -> None:
        self._codec = AUDIO_CODECS[spec.audio_codec]
        self._context = open_audio(spec)
        self.frame_size = self._context.frame_size
        self.delay = self._codec.delay(self._context)

    def pack(self, planes: Planes, position: int, rate: int) -> list[av.Packet[Any]]:
        """Encode whole frames that begin with sample `position`.

        PyAV cuts them for the encoder: one call for all costs a third of one per frame, and the packets are the same.
        """
        frame = self._codec.frame(planes)
        frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
        return self._context.encode(frame)

    def rest(self) -> list[av.Packet[Any]]:
        """Return what the encoder still holds."""
        return self._context.encode(None)


class PcmPacker:
    """Packets of plain samples. All packets of silence share their bytes: minutes of them may wait in the gate."""

    frame_size = PCM_FRAME
    delay = 0

    def pack(self, planes: Planes, position: int, rate: int) -> list[av.Packet[Any]]:  # noqa: ARG002 - as CodecPacker
        """Return the packets from sample `position` on."""
        size = PCM_FRAME * CHANNELS
        samples = whole_numbers(planes)[0]
        return [
            self._packet(samples[start : start + size], position + start // CHANNELS)
            for start in range(0, len(samples), size)
        ]

    @staticmethod
    def _packet(samples: npt.NDArray[np.int16], position: int) -> av.Packet[Any]:
        packet = av.Packet(samples.tobytes() if samples.any() else _SILENCE)
        packet.pts = position
        packet.is_keyframe = True
        return packet

    def rest(self) -> list[av.Packet[Any]]:
        """Return nothing: nothing is held back."""
        return []


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
        frame = planar(planes)
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
