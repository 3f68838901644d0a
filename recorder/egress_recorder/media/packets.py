"""Owns what encoders give to outputs: the packet, and the interface of whoever takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import av

from egress_recorder.media.values import Kind


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One packet of the file. `file_time` and `duration` are seconds; `packet` carries its own time base."""

    kind: Kind
    packet: av.Packet[Any]
    file_time: float
    duration: float


class Output(Protocol):
    """Packets in, bytes in a place that the supervisor knows; called from the media thread only.

    Times are final when a packet arrives; an output never changes them. It opens itself with its first packets,
    survives `close` without any, and is never written to afterwards.
    """

    @property
    def filename(self) -> str:
        """Name of what is written, below the scratch directory."""

    @property
    def bytes_written(self) -> int:
        """Size so far."""

    def write(self, packet: EncodedPacket) -> None:
        """Take one packet. Raises MediaError when writing is not possible any more."""

    def close(self) -> None:
        """Complete what was written. Raises MediaError; closing twice is harmless."""
