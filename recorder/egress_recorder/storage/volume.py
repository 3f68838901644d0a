"""Owns files on a mounted volume: temporary file, fsync, then a link that never overwrites.

Layout of an upload: `.egress-uploads/<id>/data` (part n at its offset) and `.egress-uploads/<id>/parts` (one line
per stored part, appended after its bytes are on disk). Both lie on the volume itself, so that a second process, in
another pod, goes on from them and the final name appears by one link(2).
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from egress_recorder.contract import Destination, VolumeDestination
from egress_recorder.errors import ConfigurationError, RecorderError, UnreachableError
from egress_recorder.storage.base import (
    ObjectExistsError,
    PartRecord,
    StorageContext,
    Upload,
    UploadLostError,
    checked_key,
)

UPLOADS = ".egress-uploads"
_COPY_CHUNK = 1 << 20
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class VolumeStorage:
    """A directory below the volumes root, one per claim."""

    min_part_size = 1

    def __init__(self, destination: Destination, context: StorageContext) -> None:
        assert isinstance(destination, VolumeDestination)
        self._where = f"{context.where}.pvc"
        self._filepath = context.where
        self._claim = destination.claim_name
        if context.volumes_root is None:
            raise ConfigurationError(f"{self._where} needs --volumes-root, the directory with the mounts")
        name = destination.volume
        if "/" in name or name in {"", ".."}:
            raise ConfigurationError(f"{self._where}: {name!r} is no name of a directory in the volumes root")
        self._root = context.volumes_root / name

    def put(self, key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        """Write beside, fsync, then rename (overwrite) or link (not)."""
        del content_type  # a file has none
        with self._faults():
            directory = self._new_directory(secrets.token_hex(8))
            try:
                written = directory / "data"
                with written.open("xb") as file:
                    file.write(data)
                    _sync(file)
                self._publish(written, self._path(key), overwrite=overwrite)
            finally:
                self._remove(directory)

    def read(self, key: str) -> bytes | None:
        """Return the file's bytes, None when there is none."""
        with self._faults():
            try:
                return self._path(key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def exists(self, key: str) -> bool:
        """Return whether the file is there."""
        with self._faults():
            return self._path(key).exists()

    def begin(self, key: str, content_type: str, *, part_size: int) -> Upload:
        """Make the upload's directory; the parts are written into one file at their offsets."""
        del content_type
        self._path(key)
        upload = Upload(key=key, id=secrets.token_hex(8), part_size=part_size)
        with self._faults():
            directory = self._new_directory(upload.id)
            (directory / "data").touch(exist_ok=False)
            (directory / "parts").touch(exist_ok=False)
        return upload

    def resume(self, key: str, upload_id: str, *, part_size: int) -> Upload:
        """Take up an upload by its id."""
        upload = Upload(key=key, id=upload_id, part_size=part_size)
        with self._faults():
            self._existing(upload)
        return upload

    def put_part(self, upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        """Write one part at its place, fsync it, then note it."""
        with self._faults():
            directory = self._existing(upload)
            digest, size = hashlib.md5(usedforsecurity=False), 0
            with (directory / "data").open("r+b") as file:
                file.seek((number - 1) * upload.part_size)
                while chunk := data.read(_COPY_CHUNK):
                    size += len(chunk)
                    if size > upload.part_size:
                        raise ValueError(f"part {number} is larger than the part size {upload.part_size}")
                    digest.update(chunk)
                    file.write(chunk)
                _sync(file)
            with (directory / "parts").open("a", encoding="ascii") as journal:
                journal.write(f"{number} {size} {digest.hexdigest()}\n")
                journal.flush()
                os.fsync(journal.fileno())
        return PartRecord(number=number, size=size, etag=digest.hexdigest())

    def list_parts(self, upload: Upload) -> tuple[PartRecord, ...]:
        """Return what the journal holds; a line that a kill cut short counts as not written."""
        with self._faults():
            text = (self._existing(upload) / "parts").read_text(encoding="ascii")
        parts: dict[int, PartRecord] = {}
        for line in text.splitlines(keepends=True):
            fields = line.split()
            if line.endswith("\n") and len(fields) == 3:
                number, size, etag = int(fields[0]), int(fields[1]), fields[2]
                parts[number] = PartRecord(number=number, size=size, etag=etag)
        return tuple(parts[number] for number in sorted(parts))

    def complete(self, upload: Upload, parts: Sequence[PartRecord], *, overwrite: bool = False) -> None:
        """Cut the file to the sum of the parts and give it its name."""
        with self._faults():
            target = self._path(upload.key)
            try:
                directory = self._existing(upload)
            except UploadLostError:
                # Completed before (the process died, or its answer was lost): nothing is left to do.
                if target.exists() and target.stat().st_size == sum(part.size for part in parts):
                    return
                raise
            written = directory / "data"
            with written.open("r+b") as file:
                file.truncate(sum(part.size for part in parts))
                _sync(file)
            self._publish(written, target, overwrite=overwrite)
            self._remove(directory)

    def abort(self, upload: Upload) -> None:
        """Remove the upload's directory."""
        with self._faults():
            self._remove(self._root / UPLOADS / upload.id)

    def location(self, key: str) -> str:
        """Return `pvc://claim/key`, or the path where no claim is named."""
        return f"pvc://{self._claim}/{key}" if self._claim else str((self._root / key).absolute())

    def _path(self, key: str) -> Path:
        return self._root / checked_key(key, self._filepath)

    def _new_directory(self, name: str) -> Path:
        if not self._root.is_dir():
            raise ConfigurationError(
                f"{self._where}: {self._claim or self._root.name!r} is not mounted: check the claim's name and "
                "that the claim is bound"
            )
        directory = self._root / UPLOADS / name
        directory.mkdir(parents=True)
        return directory

    def _existing(self, upload: Upload) -> Path:
        directory = self._root / UPLOADS / upload.id
        if not (directory / "parts").is_file():
            raise UploadLostError(f"{self._where}: the upload of {upload.key} is gone from the volume")
        return directory

    def _publish(self, written: Path, target: Path, *, overwrite: bool) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            written.replace(target)
        else:
            self._link(written, target)
        descriptor = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _link(self, written: Path, target: Path) -> None:
        try:
            os.link(written, target)
        except FileExistsError:
            if not target.samefile(written):
                raise ObjectExistsError(f"{self._where}: {target.name} exists already") from None
        except OSError as error:
            # A file system without hard links (CIFS, some FUSE): the window between the two calls is accepted.
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():
                raise ObjectExistsError(f"{self._where}: {target.name} exists already") from None
            written.rename(target)

    def _remove(self, directory: Path) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        with suppress(OSError):  # not empty: another upload is under way
            directory.parent.rmdir()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Turn what the file system says into our errors."""
        try:
            yield
        except RecorderError:
            raise
        except OSError as error:
            name = self._claim or self._root.name
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            if error.errno in _FORBIDDEN:
                raise ConfigurationError(
                    f"{self._where}: the volume {name!r} cannot be written ({reason}): check that it is not "
                    "read-only and that fsGroup gives the recorder's user the right to write"
                ) from error
            if error.errno in {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL}:
                raise ConfigurationError(
                    f"{self._filepath}.filepath gives a name that the volume {name!r} refuses ({reason}): choose another"
                ) from error
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise UnreachableError(
                    f"{self._where}: the volume {name!r} is full ({reason}): make room or a larger claim"
                ) from error
            raise UnreachableError(f"{self._where}: the volume {name!r} does not work ({reason})") from error


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
