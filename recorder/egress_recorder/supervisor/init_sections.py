"""Owns the initialisation sections of an fMP4 output (EXT-X-MAP): one file per part and storage, uploaded before a playlist names it.

All segments of a part share one; a segment that a crash cut is made whole by another process and may come with another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from egress_recorder import fmp4
from egress_recorder.errors import UnreachableError
from egress_recorder.segmentation import init_key
from egress_recorder.threads import in_thread


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    storage: object
    part: int
    data: bytes
    key: str


class InitSections:
    """`detach` and `store` for each segment, in this order; both may be repeated."""

    def __init__(self) -> None:
        self._stored: _Stored | None = None

    async def detach(self, segment: Path) -> Path:
        """Take its header off a segment. Raises UnreachableError when the scratch volume has no space for that."""
        try:
            return await in_thread("detach", lambda: fmp4.detach(segment))
        except OSError as error:
            raise UnreachableError(
                f"{segment.name} cannot be made ready in the scratch volume: {error.strerror}"
            ) from error

    async def store(
        self,
        header: Path,
        *,
        storage: Callable[[], object],
        prefix: str,
        part: int,
        number: int,
        upload: Callable[[str, Path], Awaitable[str]],
    ) -> str:
        """Return the key of what initialises a segment in this storage, uploaded when it is not there. Raises RecorderError.

        `storage` tells where segments go now, which an upload may change; `upload` returns the key that the object has got.
        """
        data = await in_thread("read", header.read_bytes)
        known = self._stored
        follows = known is not None and (known.storage, known.part) == (storage(), part)
        if known is not None and follows and known.data == data:
            return known.key
        key = await upload(init_key(prefix, number if follows else None), header)
        self._stored = _Stored(storage=storage(), part=part, data=data, key=key)
        return key
