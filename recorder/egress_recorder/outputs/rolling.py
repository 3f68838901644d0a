"""Owns one file after the other of one type: each packet goes into the file that its time belongs to.

Pictures and sound pass the boundary at different moments, so that for some tenths of a second two files are open. When the old one
is completed is decided by the fan-out, for all types at once.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from egress_recorder.filetypes import scratch_name
from egress_recorder.media.packets import EncodedPacket, Output
from egress_recorder.media.values import Codec, Kind, MediaSpec
from egress_recorder.outputs.base import Container, ContainerOutput


def open_file(container: Container, directory: Path, spec: MediaSpec) -> Output:
    """Return the output that writes one file, or one after the other where the spec says how long each is."""
    return (
        container.open(directory, spec)
        if spec.file_seconds is None
        else RollingOutput(container, directory, spec)
    )


class RollingOutput:
    """A `RollingFile`: the spec's `file_seconds` say where files begin."""

    def __init__(self, container: Container, directory: Path, spec: MediaSpec) -> None:
        assert spec.file_seconds is not None
        self._container, self._directory, self._spec = container, directory, spec
        self._seconds = spec.file_seconds
        self._number, self._given_up = 0, False
        self._file = self._open(0)
        self._later: dict[int, ContainerOutput] = {}
        kinds: dict[Kind, bool] = {"video": spec.video, "audio": spec.audio}
        self._reached = {kind: 0 for kind, there in kinds.items() if there}
        """The file that the newest packet of each kind is in."""

    @property
    def filename(self) -> str:
        """Of the file that is not complete yet."""
        return self._name(self._number)

    @property
    def takes(self) -> frozenset[Codec]:
        """As each of its files."""
        return self._file.takes

    @property
    def bytes_written(self) -> int:
        """Of the file that is not complete yet."""
        return 0 if self._given_up else self._file.bytes_written

    @property
    def crossed(self) -> bool:
        """True when pictures and sound have passed the boundary."""
        return min(self._reached.values()) > self._number

    def write(self, packet: EncodedPacket) -> None:
        """Write one packet into its file."""
        number = self._file_of(packet)
        self._reached[packet.kind] = number
        if number <= self._number:
            self._file.write(packet)
            return
        if number not in self._later:
            self._later[number] = self._open(number)
        self._later[number].write(packet)

    def _file_of(self, packet: EncodedPacket) -> int:
        # Whole numbers: this is asked of every packet, and a float may be a hair below the boundary.
        pts, step, length = packet.packet.pts, packet.packet.time_base, self._seconds
        assert pts is not None
        assert step is not None
        return pts * step.numerator * length.denominator // (step.denominator * length.numerator)

    def roll(self) -> int:
        """Complete the file and return its bytes; the next one is the file from now on, whatever comes of it."""
        done, self._number = self._file, self._number + 1
        later = self._later
        self._file = later.pop(self._number) if self._number in later else self._open(self._number)
        done.close()
        return done.bytes_written

    def pass_over(self) -> int:
        """Take the next file's name; return the bytes of the one before. The file itself may be gone by now."""
        size, self._given_up = self.bytes_written, True
        self._number += 1
        return size

    def close(self) -> None:
        """Complete the file. What had passed the boundary alone, a moment of pictures or sound, is left out."""
        while self._later:
            self._later.popitem()[1].abandon()
        self._file.close()

    def _open(self, number: int) -> ContainerOutput:
        return self._container.open(
            self._directory, self._spec, filename=self._name(number), begins=number * self._seconds
        )

    def _name(self, number: int) -> str:
        first = PurePosixPath(scratch_name(self._container.file_type))
        return f"{first.stem}-{number + 1}{first.suffix}" if number else first.name
