"""Owns what encoders give to outputs: the packet, and the interface of whoever takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import av

from egress_recorder.media.values import Codec, Kind


@dataclass(frozen=True, slots=True)
class EncodedPacket:
    """One packet of the file. `file_time` and `duration` are seconds; `packet` carries its own time base."""

    kind: Kind
    packet: av.Packet[Any]
    file_time: float
    duration: float
    codec: Codec


class PacketSink(Protocol):
    """Packets in; called from the media thread only.

    Times are final when a packet arrives and never changed. It opens itself with its first packets, survives `close`
    without any, and is never written to afterwards.
    """

    @property
    def bytes_written(self) -> int:
        """Size so far."""

    def write(self, packet: EncodedPacket) -> None:
        """Take one packet. Raises MediaError when writing is not possible any more."""

    def close(self) -> None:
        """Complete what was written. Raises MediaError; closing twice is harmless."""


class Tap(Protocol):
    """Listens to all packets beside the outputs: it never waits, never raises, and its end is nobody's failure."""

    def write(self, packet: EncodedPacket) -> None:
        """Take one packet, or leave it."""

    def close(self) -> None:
        """End; closing twice is harmless."""


class Output(PacketSink, Protocol):
    """Bytes in a place that the supervisor knows."""

    @property
    def filename(self) -> str:
        """Name of what is written, below the scratch directory."""

    @property
    def takes(self) -> frozenset[Codec]:
        """The codecs of the packets that it wants; others are not given to it."""
