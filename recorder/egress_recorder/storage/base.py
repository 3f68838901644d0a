"""Owns what every storage promises: the protocols `Storage` and `WholeStorage`, their values and errors.

All calls block and are made in named threads. A storage raises only `RecorderError`s: AuthorizationError for
refused credentials, ConfigurationError for what the user must change, UnreachableError for what may pass, and the
two below. No message holds a secret.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from egress_recorder.errors import ConfigurationError, RecorderError


class ObjectExistsError(RecorderError):
    """An object of that name exists already and was left as it is; choose another name."""


class UploadLostError(RecorderError):
    """The storage does not know this upload any more (aborted, or removed by a lifecycle rule): begin again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageContext:
    """Where a storage finds what the configuration only names, and how messages call the output."""

    where: str
    """The output as the user wrote it, for messages: `fileOutputs[0]`."""
    credentials_root: Path | None = None
    volumes_root: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload in progress. `id` is all that another process needs beside the key to go on with it."""

    key: str
    id: str
    part_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """One part that the storage has; `etag` is opaque and goes back unchanged to `complete`."""

    number: int
    size: int
    etag: str


class ObjectStore(Protocol):
    """What every storage can do. Keys are relative paths with `/`; an object appears whole or not at all."""

    def put(self, key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        """Store a small object at once. Raises ObjectExistsError unless `overwrite`."""

    def read(self, key: str) -> bytes | None:
        """Return a small object, None when there is none."""

    def exists(self, key: str) -> bool:
        """Return whether an object of that name is there (a hint: only put and complete decide)."""

    def location(self, key: str) -> str:
        """Return where a person finds the object; for the status, holds no secret."""


@runtime_checkable
class PresigningStorage(Protocol):
    """A place that can let anybody read one object for a while, by its URL."""

    def presigned(self, key: str, seconds: float) -> str:
        """Return a URL that holds a signature: it reads the object, and is a secret as long as it is valid."""


@runtime_checkable
class WholeStorage(ObjectStore, Protocol):
    """A place whose objects have no parts that could be replaced: a file is sent whole, after its end."""

    def put_whole(self, key: str, data: BinaryIO, *, content_type: str, overwrite: bool = False) -> None:
        """Store all of a seekable stream; called again after a fault it begins anew.

        Raises ObjectExistsError unless `overwrite`.
        """


@runtime_checkable
class Storage(ObjectStore, Protocol):
    """A place for objects that are uploaded in parts.

    Part n of an upload holds the bytes from `(n - 1) * part_size` on; all parts but the last are `part_size` bytes.
    A part may be put again before `complete` and replaces the former one.
    """

    min_part_size: int

    def begin(self, key: str, content_type: str, *, part_size: int) -> Upload:
        """Begin an upload; nothing is visible under the key until `complete`."""

    def resume(self, key: str, upload_id: str, *, part_size: int) -> Upload:
        """Take up an upload that another process began. Raises UploadLostError when it is gone."""

    def put_part(self, upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        """Store one part, numbers from 1: all of `data`, a seekable stream."""

    def list_parts(self, upload: Upload) -> tuple[PartRecord, ...]:
        """Return the parts that are stored, in order. Raises UploadLostError."""

    def complete(self, upload: Upload, parts: Sequence[PartRecord], *, overwrite: bool = False) -> None:
        """Make the object visible; called again after success it does nothing.

        Raises ObjectExistsError unless `overwrite`.
        """

    def abort(self, upload: Upload) -> None:
        """Forget the upload and its parts; no error when it is gone already."""


@runtime_checkable
class GrowingStorage(Storage, Protocol):
    """A place that takes a file while it grows: its parts may have any sizes, all but the last at least `min_part_size`."""

    def begun(self, key: str, content_type: str) -> tuple[str, ...]:
        """Return the ids of uploads of this key that were begun and never ended, the newest last.

        A part may be put again under another size. Raises AuthorizationError where the credentials may not list.
        """


class FileSlice(io.RawIOBase):
    """A piece of a file as a stream of its own, so that a part is sent without holding it in memory."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        super().__init__()
        self._file = path.open("rb", buffering=0)
        self._offset = offset
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move within the slice; the end is its own, not the file's."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position within the slice."""
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with what is left of the slice, at most."""
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        data = os.pread(self._file.fileno(), wanted, self._offset + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def __len__(self) -> int:
        return self._size

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def checked_key(key: str, where: str) -> str:
    """Return the key. Raises ConfigurationError for one that is empty or could leave its place."""
    components = key.split("/")
    if not key or any(component in {"", ".", ".."} for component in components) or "\0" in key:
        raise ConfigurationError(
            f"{where}.filepath gives the name {key!r}, which is no relative path below the destination: "
            "write it without empty, '.' and '..' components"
        )
    return key
