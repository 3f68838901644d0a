"""Owns the video encoder of a file: x264 as a context of no container, so that several outputs share its packets.

When the machine cannot keep up it saves (`ladder`): first a cheaper preset, then every second picture is a repetition.
The file notices neither: one packet per tick, the same SPS and PPS, nothing is reordered or delayed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.video.frame import PictureType

from egress_recorder.media.canvas import Canvas
from egress_recorder.media.h264 import Repeater, UnsupportedStreamError, parameter_sets
from egress_recorder.media.ladder import Ladder
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import MediaSpec, Picture
from egress_recorder.media.x264 import BEST, CHEAP, Vbv, interchangeable, open_x264
from egress_recorder.vocabulary import Degradation

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rung:
    """One way to encode. `repeats`: every second picture repeats the one before."""

    preset: str
    saves: Degradation | None = None
    repeats: bool = False


def rungs(spec: MediaSpec) -> list[Rung]:
    """Return the ways from the best to the cheapest; only presets with the same parameter sets are among them."""
    cheap = interchangeable(spec, CHEAP)
    if not cheap:
        _log.warning("no cheaper preset has the same parameter sets", extra={"profile": spec.profile})
    lowest = CHEAP if cheap else BEST
    return [
        Rung(BEST),
        *([Rung(CHEAP, Degradation.PRESET)] if cheap else []),
        Rung(lowest, Degradation.PICTURES, repeats=True),
    ]


class VideoEncoder:
    """H.264 at a constant frame rate; key frames at the interval that was asked for, no B-frames, no delay."""

    def __init__(self, spec: MediaSpec) -> None:
        self._spec = spec
        self._time_base = Fraction(1, spec.framerate)
        self._canvas = Canvas(spec.width, spec.height)
        self._rungs = rungs(spec)
        self._ladder = Ladder(len(self._rungs))
        self._rung = self._rungs[0]
        self._context = open_x264(spec, self._rung.preset)
        self._vbv = Vbv(spec.video_bitrate * 1000)
        self._black = self._canvas.black()
        self._picture: Picture | None = None
        self._frame = self._black
        self._sets = b""
        self._repeater: Repeater | None = None
        self._last: av.Packet[Any] | None = None
        """The last packet, when it may be repeated."""
        self._last_key = 0
        self._unseen: Picture | None = None
        self.dropped = 0
        """Pictures that were not encoded to save time."""
        self.degraded = 0.0
        """Seconds of media that were encoded on another rung than the first."""

    @property
    def saves(self) -> str:
        """What is saved on right now (`Degradation`), "" when nothing is."""
        return self._rung.saves or ""

    def encode(
        self, picture: Picture | None, index: int, *, now: float = 0.0, behind: float = 0.0
    ) -> list[EncodedPacket]:
        """Encode tick `index`; None is black. Indices must grow. `behind`: seconds by which the tick is late at `now`."""
        self._climb(self._rungs[self._ladder.observe(now, behind)])
        self.degraded += float(self._time_base) if self._rung.saves else 0.0
        due = self._spec.group(index) > self._spec.group(self._last_key)
        if self._rung.repeats and self._last is not None and not due:
            self._unseen = picture if picture is not self._picture else self._unseen
            return self._repeat(self._last, index)
        self._fit(picture)
        self._frame.pts, self._frame.time_base = index, self._time_base
        self._frame.pict_type = PictureType.I if due else PictureType.NONE
        return [self._packet(packet) for packet in self._context.encode(self._frame)]

    def flush(self) -> list[EncodedPacket]:
        """Return what the encoder still holds. Nothing may be encoded afterwards."""
        return [self._packet(packet) for packet in self._context.encode(None)]

    def _fit(self, picture: Picture | None) -> None:
        if self._unseen is not None and self._unseen is not picture:
            self.dropped += 1
        self._unseen = None
        if picture is None:
            self._frame = self._black
        elif picture is not self._picture:
            self._frame = self._canvas.fit(picture)
        self._picture = picture

    def _climb(self, rung: Rung) -> None:
        if rung is self._rung:
            return
        if rung.preset != self._rung.preset:
            # Two IDR pictures in a row would need different numbers (7.4.3, idr_pic_id): wait for one tick.
            if self._last is None or self._last.is_keyframe:
                return
            # No flush: without delay nothing is left in it.
            self._context = open_x264(self._spec, rung.preset, fullness=self._vbv.fullness)
        _log.warning(
            "the encoder changes what it saves on",
            extra={"saves": rung.saves or "nothing", "preset": rung.preset},
        )
        self._rung = rung

    def _repeat(self, last: av.Packet[Any], index: int) -> list[EncodedPacket]:
        assert self._repeater is not None
        data = self._repeater.repeat(bytes(last))
        packet = av.Packet(len(data))
        packet.update(data)
        packet.pts = index
        self._last = None
        return [self._finished(packet)]

    def _packet(self, packet: av.Packet[Any]) -> EncodedPacket:
        if packet.is_keyframe:
            self._check(bytes(packet))
            assert packet.pts is not None
            self._last_key = packet.pts
        self._last = packet if self._repeater is not None else None
        return self._finished(packet)

    def _check(self, access_unit: bytes) -> None:
        sets = parameter_sets(access_unit)
        if not self._sets:
            self._sets = sets
            try:
                self._repeater = Repeater.of(access_unit)
            except UnsupportedStreamError as error:
                _log.warning("pictures cannot be repeated", extra={"error": str(error)})
        # Asserted when the rungs were chosen; a player that has seen other ones shows nothing from here on.
        assert sets in {self._sets, b""}, "the encoder changed its parameter sets"

    def _finished(self, packet: av.Packet[Any]) -> EncodedPacket:
        packet.time_base, packet.duration = self._time_base, 1
        packet.dts = packet.pts
        assert packet.pts is not None
        seconds = float(self._time_base)
        self._vbv.add(seconds, packet.size)
        return EncodedPacket("video", packet, float(packet.pts * self._time_base), seconds, "h264")
