"""Owns what encoders give to outputs: the packet, and the interface of whoever takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

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


@runtime_checkable
class RollingFile(Output, Protocol):
    """An output that goes on in a new file. Until `roll` it writes both: the end of the one, the beginning of the next."""

    @property
    def crossed(self) -> bool:
        """True when all that is written from now on belongs to the next file."""

    def roll(self) -> int:
        """Complete the file, return its bytes and go on in the next one, also when that raises MediaError."""

    def pass_over(self) -> int:
        """Take the name of the next file without writing one, return the bytes of this one: the output has failed."""


@dataclass(frozen=True, slots=True)
class Roll:
    """Files that were completed while the capture goes on; names as `Output.filename`."""

    filenames: tuple[str, ...]
    problems: dict[str, str]
    """Sentence by name of each that is not whole."""
    next_filenames: tuple[str, ...]
    bytes_written: int
    """Of the whole capture up to here."""
