"""Owns `egress-recorder align`: reads manifests, prints the offsets of their files as text or JSON."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from egress_recorder.alignment import Alignment, AlignmentError, align, ffmpeg_command
from egress_recorder.contract import ContractError, ExitCode, Manifest


class UnreadableError(Exception):
    """A file cannot be read; the message names it."""


def run_align(paths: Sequence[Path], *, as_json: bool) -> int:
    """Print the offsets; return the exit code: 64 for a file that cannot be read, 65 for what cannot be aligned."""
    try:
        alignment = align([_read(path) for path in paths])
    except UnreadableError as error:
        sys.stderr.write(f"egress-recorder align: {error}\n")
        return ExitCode.USAGE
    except (AlignmentError, ContractError) as error:
        sys.stderr.write(f"egress-recorder align: {error}\n")
        return ExitCode.DATA
    sys.stdout.write(_json(alignment) if as_json else _text(alignment))
    return ExitCode.FINISHED


def _read(path: Path) -> Manifest:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from None
    try:
        return Manifest.parse(data)
    except (ContractError, UnicodeDecodeError) as error:
        hint = "give {egressId}.json files of this recorder, as they lie beside the media"
        raise ContractError(f"{path} is no manifest of a recording ({error}): {hint}") from None


def _json(alignment: Alignment) -> str:
    document = {
        "zeroAt": alignment.zero_at.isoformat(),
        "files": [
            {
                "offset": round(file.offset, 6),
                "egressId": file.egress_id,
                "identity": file.identity,
                "part": file.part,
                "filename": file.filename,
                "location": file.location,
                "zeroAt": file.zero_at.isoformat(),
                "duration": file.duration,
                "exact": file.exact,
            }
            for file in alignment.files
        ],
        "ffmpeg": list(ffmpeg_command(alignment)),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _text(alignment: Alignment) -> str:
    rows = [
        (
            f"+{file.offset:.6f} s",
            f"{file.duration:.3f} s",
            file.name,
            f"{file.egress_id} part {file.part}",
            file.identity
            + ("" if file.exact else " (an older recorder: from the arrival of its first media)"),
        )
        for file in alignment.files
    ]
    head = ("delay by", "duration", "file", "recording", "participant")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return (
        f"time 0 is {alignment.zero_at.isoformat()}\n\n"
        + "\n".join(lines)
        + f"\n\n{shlex.join(ffmpeg_command(alignment))}\n"
    )
