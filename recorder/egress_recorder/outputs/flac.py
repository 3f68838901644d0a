"""Owns FLAC: every frame stands for itself; the number of samples is written into the header at the end.

FFmpeg takes that number from its own encoder's last packet, which these frames do not come from; without it players
show no length (RFC 9639, section 8.2: 36 bits of STREAMINFO, 0 when unknown).
"""

from __future__ import annotations

from pathlib import Path

from egress_recorder.outputs.base import Container

_AT = 4 + 4 + 13
"""Marker, block header, then 13 bytes before the low 32 bits' byte with the high 4."""


def _write_length(path: Path, samples: int) -> None:
    with path.open("r+b") as file:
        file.seek(_AT)
        (before,) = file.read(1)
        high, low = divmod(samples, 1 << 32)
        file.seek(_AT)
        file.write(bytes([(before & 0xF0) | (high & 0x0F)]) + low.to_bytes(4, "big"))


def _is_whole(frame: bytes) -> bool:
    """Return whether the frame's checksum is right (RFC 9639, section 9.3: CRC-16 over all of it comes to 0)."""
    crc = 0
    for byte in frame:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ (0x8005 if crc & 0x8000 else 0)
        crc &= 0xFFFF
    return crc == 0


FLAC = Container(file_type="FLAC", muxer="flac", finished=_write_length, whole=_is_whole)
