"""Owns the header of a fragmented MP4 segment: how long it is, and how it becomes a file of its own. Standard library only.

A segment grows as a complete file, so that it plays by itself whatever is killed. HLS wants what initialises a decoder once, in a
file beside the segments (EXT-X-MAP; RFC 8216, 3.3): before a segment is stored its header (`ftyp` and `moov`) is taken off.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import BinaryIO

_BOX = struct.Struct(">I4s")
_HEADER = frozenset({b"ftyp", b"moov"})
_COPIED = 1 << 20


def header_size(path: Path) -> int:
    """Return the bytes before the first box that is no header; 0 where it was taken off. Raises OSError."""
    with path.open("rb") as file:
        return _header_size(file)


def _header_size(file: BinaryIO) -> int:
    end = 0
    while len(head := file.read(_BOX.size)) == _BOX.size:
        size, kind = _BOX.unpack(head)
        # A header of 4 GiB is none: sizes 0 and 1 stand for longer boxes (ISO/IEC 14496-12, 4.2).
        if kind not in _HEADER or size < _BOX.size:
            break
        end += size
        file.seek(end)
    return end


def header_path(segment: Path) -> Path:
    """Return where the header of a segment lies once it was taken off."""
    return segment.with_name(f"{segment.stem}.init.mp4")


def detach(segment: Path) -> Path:
    """Take the header off a closed segment and return where it lies. May be repeated, also after it was interrupted.

    Raises OSError, for example when there is no space for the copy; the segment is then as it was.
    """
    header = header_path(segment)
    partial = segment.with_name(f"{segment.name}.part")
    with segment.open("rb") as file:
        size = _header_size(file)
        if size:
            file.seek(0)
            header.write_bytes(file.read(size))
            try:
                with partial.open("wb") as media:
                    shutil.copyfileobj(file, media, _COPIED)
            except OSError:
                partial.unlink(missing_ok=True)
                raise
            partial.replace(segment)
    return header
