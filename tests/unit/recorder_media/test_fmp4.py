"""The header of a segment: measured, taken off, and what an interruption leaves."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from egress_recorder import fmp4

pytestmark = pytest.mark.unit


def box(kind: bytes, size: int) -> bytes:
    return struct.pack(">I4s", 8 + size, kind) + bytes(size)


HEADER = box(b"ftyp", 20) + box(b"moov", 500)
MEDIA = box(b"moof", 60) + box(b"mdat", 3_000_000)


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "00003.m4s"
    path.write_bytes(HEADER + MEDIA)
    return path


def test_a_header_becomes_a_file_of_its_own_once(segment: Path) -> None:
    assert fmp4.header_size(segment) == len(HEADER)
    for _ in range(2):
        assert fmp4.detach(segment).read_bytes() == HEADER
        assert segment.read_bytes() == MEDIA
        assert fmp4.header_size(segment) == 0
    assert sorted(path.name for path in segment.parent.iterdir()) == ["00003.init.mp4", "00003.m4s"]


def test_an_interruption_before_the_header_was_taken_off_is_made_up_for(segment: Path) -> None:
    fmp4.header_path(segment).write_bytes(HEADER[:10])
    segment.with_name("00003.m4s.part").write_bytes(MEDIA[:10])
    assert fmp4.detach(segment).read_bytes() == HEADER
    assert segment.read_bytes() == MEDIA


def test_without_space_the_segment_stays_as_it_was(segment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        fmp4.detach(segment)
    assert segment.read_bytes() == HEADER + MEDIA
    assert not segment.with_name("00003.m4s.part").exists()


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", box(b"moof", 4), struct.pack(">I4s", 1, b"moov") + bytes(40)]
)
def test_what_has_no_header_has_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.m4s"
    path.write_bytes(content)
    assert fmp4.header_size(path) == 0
