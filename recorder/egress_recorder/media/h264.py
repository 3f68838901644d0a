"""Owns the few H.264 bits that we read and write ourselves (ITU-T H.264): parameter sets, and a repeated picture. Pure.

A repeated picture is one P slice in which every macroblock is skipped: it shows the picture before it, costs no
encoding and some 10 to 70 bytes. It is no reference (`nal_ref_idc` 0), so that the encoder, which does not know of
it, goes on as if it were not there: `frame_num` grows only after reference pictures (7.4.3). With the encoder's
picture order count type 2 two of them must not follow each other (8.2.1.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from egress_recorder.media.cabac import all_skipped

SLICE, IDR, SPS, PPS = 1, 5, 7, 8
START_CODE = b"\x00\x00\x00\x01"
_HIGH = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128})
SLICE_QP = 51
"""Nothing is quantised; at this one the arithmetic coder expects skipped macroblocks and needs the fewest bytes."""


class UnsupportedStreamError(ValueError):
    """The stream uses something that repeated pictures are not written for."""


def units(access_unit: bytes) -> list[bytes]:
    """Return the NAL units of an access unit in Annex B form, without start codes."""
    pieces = re.split(b"\x00\x00\x01", access_unit)
    return [piece.rstrip(b"\x00") for piece in pieces if piece.strip(b"\x00")]


def parameter_sets(access_unit: bytes) -> bytes:
    """Return SPS and PPS of an access unit, Annex B, "" when it has none."""
    return b"".join(START_CODE + unit for unit in units(access_unit) if unit[0] & 31 in {SPS, PPS})


FILLER = b"\x00\x00\x01\x0c"


def without_filler(access_unit: bytes) -> bytes:
    """Return an access unit without the filler (7.3.2.7) by which an encoder of a constant bitrate ends it."""
    at = access_unit.find(FILLER)
    return access_unit if at < 0 else access_unit[:at].rstrip(b"\x00")


class _Reader:
    def __init__(self, unit: bytes) -> None:
        payload = unit[1:].replace(b"\x00\x00\x03", b"\x00\x00")
        self._bits = f"{int.from_bytes(payload):0{len(payload) * 8}b}"
        self._at = 0

    def u(self, count: int) -> int:
        value = int(self._bits[self._at : self._at + count] or "0", 2)
        self._at += count
        return value

    def ue(self) -> int:
        zeros = self._bits.index("1", self._at) - self._at
        self._at += zeros
        return self.u(zeros + 1) - 1

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _ue(value: int) -> str:
    text = f"{value + 1:b}"
    return "0" * (len(text) - 1) + text


def _se(value: int) -> str:
    return _ue(2 * value - 1 if value > 0 else -2 * value)


@dataclass(frozen=True, slots=True)
class Repeater:
    """Writes repeated pictures for one pair of parameter sets."""

    macroblocks: int
    frame_num_bits: int
    cabac: bool
    weighted: bool
    base_qp: int
    deblocking: bool

    @classmethod
    def of(cls, access_unit: bytes) -> Repeater:
        """Read the parameter sets of the first access unit of a stream. Raises UnsupportedStreamError."""
        by_type = {unit[0] & 31: unit for unit in units(access_unit)}
        if SPS not in by_type or PPS not in by_type:
            raise UnsupportedStreamError("the access unit has no parameter sets")
        try:
            macroblocks, frame_num_bits = _read_sps(_Reader(by_type[SPS]))
            return cls(macroblocks, frame_num_bits, *_read_pps(_Reader(by_type[PPS])))
        except ValueError as error:
            raise UnsupportedStreamError(str(error)) from None

    def frame_num(self, access_unit: bytes) -> int | None:
        """Return `frame_num` of a picture; None when it is no reference picture."""
        unit = next(unit for unit in units(access_unit) if unit[0] & 31 in {SLICE, IDR})
        if not unit[0] >> 5:
            return None
        # The header's beginning is enough, and a slice may have 100 KB.
        reader = _Reader(unit[:24])
        for _ in ("first_mb_in_slice", "slice_type", "pic_parameter_set_id"):
            reader.ue()
        return reader.u(self.frame_num_bits)

    def repeat(self, previous: bytes) -> bytes:
        """Return an access unit that shows the picture `previous` again. Raises UnsupportedStreamError if that is one itself."""
        before = self.frame_num(previous)
        if before is None:
            raise UnsupportedStreamError("two repeated pictures cannot follow each other")
        number = (before + 1) % (1 << self.frame_num_bits)
        bits = _ue(0) + _ue(0) + _ue(0) + f"{number:0{self.frame_num_bits}b}"
        # num_ref_idx_active_override_flag and one reference; no modification of the reference list.
        bits += "1" + _ue(0) + "0"
        if self.weighted:
            bits += _ue(0) + _ue(0) + "00"
        if self.cabac:
            bits += _ue(0)
        bits += _se(SLICE_QP - self.base_qp)
        if self.deblocking:
            bits += _ue(1)
        if self.cabac:
            bits += "1" * (-len(bits) % 8)
            payload = int(bits, 2).to_bytes(len(bits) // 8) + all_skipped(self.macroblocks, SLICE_QP)
        else:
            bits += _ue(self.macroblocks) + "1"
            bits += "0" * (-len(bits) % 8)
            payload = int(bits, 2).to_bytes(len(bits) // 8)
        escaped = re.sub(b"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", payload)
        return START_CODE + bytes([SLICE]) + escaped


def _read_sps(reader: _Reader) -> tuple[int, int]:
    """Return the number of macroblocks and the bits of `frame_num` (7.3.2.1.1)."""
    profile = reader.u(8)
    reader.u(16)
    reader.ue()
    if profile in _HIGH and (reader.ue() != 1 or reader.ue() or reader.ue() or reader.u(2)):
        raise UnsupportedStreamError("only 4:2:0 with 8 bits and flat scaling is known")
    frame_num_bits = reader.ue() + 4
    if reader.ue() != 2:
        raise UnsupportedStreamError("the encoder reorders pictures")
    reader.ue()
    reader.u(1)
    macroblocks = (reader.ue() + 1) * (reader.ue() + 1)
    if not reader.u(1):
        raise UnsupportedStreamError("the picture is interlaced")
    return macroblocks, frame_num_bits


def _read_pps(reader: _Reader) -> tuple[bool, bool, int, bool]:
    """Return whether CABAC and weighted prediction are on, the QP that slices count from, the deblocking flag (7.3.2.2)."""
    reader.ue()
    reader.ue()
    cabac = reader.u(1)
    if reader.u(1) or reader.ue():
        raise UnsupportedStreamError("slice groups or a bottom field are in use")
    reader.ue()
    reader.ue()
    weighted = reader.u(1)
    reader.u(2)
    base_qp = 26 + reader.se()
    reader.se()
    reader.se()
    return bool(cabac), bool(weighted), base_qp, bool(reader.u(1))
