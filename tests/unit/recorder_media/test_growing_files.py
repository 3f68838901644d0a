"""What an upload that goes on while a file grows relies on, for each registered type: bytes stay as they are.

`FileKind.rewritten` says how many first bytes the end of a file changes; everything else is only appended to. Every write
of the muxer is looked at, not only what is on disk between two packets: another process reads in between.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import pytest

from egress_recorder.filetypes import FILE_KINDS, FileType
from egress_recorder.media.values import MediaSpec
from egress_recorder.outputs import OUTPUTS, base
from egress_recorder.partplan import PART_SIZE
from support.encoded import CASES, packets

pytestmark = pytest.mark.unit

every_file = pytest.mark.parametrize(("file_type", "spec"), CASES)


class Watched(io.FileIO):
    """A file that notes where each write goes: its offset, its end, and where the file ended before."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "w+")
        self.writes: list[tuple[int, int, int]] = []

    def write(self, data: Any) -> int:
        at, size = self.tell(), self.seek(0, io.SEEK_END)
        self.seek(at)
        self.writes.append((at, at + len(data), size))
        return super().write(data)


@every_file
def test_bytes_that_are_written_stay_except_for_the_head_that_the_end_rewrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_type: FileType, spec: MediaSpec
) -> None:
    opened: list[Watched] = []
    real = av.open

    def watched(path: str, mode: str, **options: Any) -> Any:
        opened.append(Watched(path))
        return real(opened[0], mode, **options)

    output = OUTPUTS[file_type].open(tmp_path, spec)
    made = packets(spec)
    monkeypatch.setattr(
        base.av,
        "open",
        lambda path, *rest, **options: (
            watched(path, "w", **options) if isinstance(path, str) else real(path, *rest, **options)
        ),
    )
    for packet in made:
        output.write(packet)
    (file,) = opened
    growing = (tmp_path / output.filename).read_bytes()
    writes = len(file.writes)
    output.close()
    closed = (tmp_path / output.filename).read_bytes()

    assert writes > 5
    assert all(at == size for at, _, size in file.writes[:writes]), "it grows by appending"
    rewritten = FILE_KINDS[file_type].rewritten
    for at, end, size in file.writes[writes:]:
        assert at == size or end <= rewritten, f"the end writes {end - at} bytes at {at}"
    assert closed[rewritten : len(growing)] == growing[rewritten:]
    assert (closed[: len(growing)] != growing) == (rewritten > 0), (
        "a head that never changes needs no second send"
    )


@every_file
def test_the_head_that_the_end_rewrites_is_that_of_a_real_file_too(
    tmp_path: Path, file_type: FileType, spec: MediaSpec
) -> None:
    output = OUTPUTS[file_type].open(tmp_path, spec)
    for packet in packets(spec):
        output.write(packet)
    growing = (tmp_path / output.filename).read_bytes()
    output.close()
    closed = (tmp_path / output.filename).read_bytes()

    rewritten = FILE_KINDS[file_type].rewritten
    assert rewritten < PART_SIZE
    assert len(closed) >= len(growing)
    assert closed[rewritten : len(growing)] == growing[rewritten:]
