"""Owns what an S3 server's access log tells of an upload: which parts are there, and that it is complete."""

from __future__ import annotations

from pathlib import Path

COMPLETED = 0
"""In a list of part numbers: the completion of the upload."""


class AccessLog:
    """What the S3 server has answered of one object's upload; each look returns what is new."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key = path, key
        self._position = 0

    def look(self) -> list[int]:
        """Return the numbers of the parts that were stored since the last look, and `COMPLETED`."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._position += len(whole)
        stored = (_stored(line.split(), self._key) for line in whole.decode().splitlines())
        return [number for number in stored if number is not None]


def _stored(words: list[str], key: str) -> int | None:
    """Return what a line tells; fields by their places in S3's format, in which the time takes two words."""
    if len(words) < 11 or words[8] != key or words[10] != "200":
        return None
    query = dict(pair.partition("=")[::2] for pair in words[9].partition("?")[2].split("&"))
    if words[7].endswith("UploadPart"):
        return int(query["partNumber"])
    return COMPLETED if words[7].endswith("CompleteMultipartUpload") else None
