"""Owns a storage in memory that fails as told: for unit tests of uploads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import BinaryIO

from egress_recorder.errors import RecorderError
from egress_recorder.storage import ObjectExistsError, PartRecord, Upload, UploadLostError


class MemoryStorage:
    """Objects in a dict; `faults` maps a method's name to the errors of its next calls."""

    min_part_size = 1

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.faults: dict[str, list[RecorderError | None]] = {}
        self.calls: list[str] = []
        self._ids = itertools.count()

    def _step(self, name: str) -> None:
        self.calls.append(name)
        waiting = self.faults.get(name)
        if waiting and (error := waiting.pop(0)) is not None:
            raise error

    def exists(self, key: str) -> bool:
        self._step("exists")
        return key in self.objects

    def begin(self, key: str, content_type: str, *, part_size: int) -> Upload:
        self._step("begin")
        upload = Upload(key=key, id=str(next(self._ids)), part_size=part_size)
        self.uploads[upload.id] = {}
        return upload

    def put_part(self, upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        self._step("put_part")
        if upload.id not in self.uploads:
            raise UploadLostError("gone")
        self.uploads[upload.id][number] = data.read()
        return PartRecord(number=number, size=len(self.uploads[upload.id][number]), etag="e")

    def complete(self, upload: Upload, parts: Sequence[PartRecord], *, overwrite: bool = False) -> None:
        self._step("complete")
        if upload.key in self.objects and not overwrite:
            raise ObjectExistsError("exists")
        stored = self.uploads.pop(upload.id)
        self.objects[upload.key] = b"".join(stored[part.number] for part in parts)

    def abort(self, upload: Upload) -> None:
        self._step("abort")
        self.uploads.pop(upload.id, None)

    def begun(self, key: str, content_type: str) -> tuple[str, ...]:
        del key, content_type
        return ()

    def put(self, key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        raise NotImplementedError

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)

    def resume(self, key: str, upload_id: str, *, part_size: int) -> Upload:
        raise NotImplementedError

    def list_parts(self, upload: Upload) -> tuple[PartRecord, ...]:
        raise NotImplementedError

    def location(self, key: str) -> str:
        return f"mem://{key}"
