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
        self._kinds: set[Kind] = {kind for kind in ("video", "audio") if getattr(spec, kind)}
        self._number = 0
        self._file = self._open(0)
        self._next: ContainerOutput | None = None
        self._crossed: set[Kind] = set()

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
        return self._file.bytes_written

    @property
    def crossed(self) -> bool:
        """True when pictures and sound have passed the boundary."""
        return self._crossed == self._kinds

    def write(self, packet: EncodedPacket) -> None:
        """Write one packet into its file."""
        assert packet.packet.pts is not None
        assert packet.packet.time_base is not None
        if packet.packet.pts * packet.packet.time_base < self._seconds * (self._number + 1):
            self._file.write(packet)
            return
        if self._next is None:
            self._next = self._open(self._number + 1)
        self._next.write(packet)
        self._crossed.add(packet.kind)

    def roll(self) -> int:
        """Complete the file and return its bytes; the next one is the file from now on, whatever comes of it."""
        done, self._file = self._file, self._next or self._open(self._number + 1)
        self._number, self._next, self._crossed = self._number + 1, None, set()
        done.close()
        return done.bytes_written

    def pass_over(self) -> None:
        """Take the next file's name."""
        self._number += 1

    def close(self) -> None:
        """Complete the file. What had passed the boundary alone, a moment of pictures or sound, is left out."""
        if self._next is not None:
            self._next.abandon()
        self._next = None
        self._file.close()

    def _open(self, number: int) -> ContainerOutput:
        return self._container.open(
            self._directory, self._spec, filename=self._name(number), begins=number * self._seconds
        )

    def _name(self, number: int) -> str:
        first = PurePosixPath(scratch_name(self._container.file_type))
        return f"{first.stem}-{number + 1}{first.suffix}" if number else first.name
