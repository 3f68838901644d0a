"""Owns how a finished file gets into a storage: multipart, again and again with back-off, under a name nobody has.

An upload is begun once and taken up by its id after a fault, so that an hour's file is not sent from its beginning
because the last part failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from egress_recorder.errors import AuthorizationError, MediaError, RecorderError
from egress_recorder.filetypes import content_type
from egress_recorder.naming import unique_filename
from egress_recorder.retry import Deadline, RetryPolicy
from egress_recorder.storage import (
    FileSlice,
    ObjectExistsError,
    PartRecord,
    PresigningStorage,
    Storage,
    Upload,
    UploadLostError,
    WholeStorage,
)
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)

PART_SIZE = 8 * 1024 * 1024
MAX_PARTS = 10_000
"""S3's limit; a larger file gets larger parts."""
_MAX_NAMES = 100

_T = TypeVar("_T")
_OnSent = Callable[[int], None]
_OnFault = Callable[[RecorderError], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """An object that is there."""

    key: str
    location: str
    size: int
    presigned: str = ""
    """A URL by which anybody can read it for a while; "": none was asked for."""


class Uploader:
    """Uploads files to one storage; blocking calls run in threads named after `name`."""

    def __init__(
        self,
        storage: Storage | WholeStorage,
        *,
        name: str,
        egress_id: str,
        policy: RetryPolicy,
        overwrite: bool = False,
        deadline: Deadline | None = None,
        presign: float | None = None,
    ) -> None:
        """`presign`: seconds for which the location shall let anybody read the object."""
        self._storage = storage
        self._name = name
        self._egress_id = egress_id
        self._policy = policy
        self._overwrite = overwrite
        self._deadline = deadline or Deadline()
        self._presign = presign

    def impatient(self) -> Uploader:
        """Return the same without any second try."""
        return Uploader(
            self._storage,
            name=self._name,
            egress_id=self._egress_id,
            policy=replace(self._policy, total=0.0),
            overwrite=self._overwrite,
            deadline=self._deadline,
            presign=self._presign,
        )

    async def upload(
        self,
        key: str,
        path: Path,
        *,
        on_sent: Callable[[int], None] = lambda _: None,
        on_fault: Callable[[RecorderError], None] = lambda _: None,
    ) -> Uploaded:
        """Upload the file, under the next free name when `key` is taken and not to be overwritten.

        `on_sent` gets sizes of sent parts.

        Raises RecorderError when the policy's time is over; the parts that were sent are removed as far as possible.
        """
        names = _names(key, self._egress_id)
        name = next(names)
        while True:
            try:
                size = await self._upload_as(name, path, on_sent, on_fault)
            except ObjectExistsError:
                taken, name = name, next(names, "")
                if not name:
                    raise
                logger.warning(
                    "an object of that name exists, another name is used",
                    extra={"taken": taken, "used": name, "output": self._name},
                )
                continue
            return Uploaded(
                key=name,
                location=self._storage.location(name),
                size=size,
                presigned=await self._presigned(name),
            )

    async def put(
        self,
        key: str,
        path: Path,
        *,
        content_type: str,
        on_fault: Callable[[RecorderError], None] = lambda _: None,
    ) -> Uploaded:
        """Store a small file at once under exactly this name.

        Raises ObjectExistsError for a name that another object has (one with the same content is this file, sent before
        an answer got lost), RecorderError when the policy's time is over.
        """
        data = await self._retry(path.read_bytes, on_fault)

        def send() -> None:
            try:
                self._storage.put(key, data, content_type=content_type, overwrite=self._overwrite)
            except ObjectExistsError:
                if self._storage.read(key) != data:
                    raise

        await self._retry(send, on_fault)
        return Uploaded(key=key, location=self._storage.location(key), size=len(data))

    async def _presigned(self, key: str) -> str:
        """The file is there in any case: without a signature it has its plain location."""
        storage, seconds = self._storage, self._presign
        if seconds is None or not isinstance(storage, PresigningStorage):
            return ""
        try:
            return await in_thread(f"upload-{self._name}", lambda: storage.presigned(key, seconds))
        except RecorderError as error:
            logger.warning("the location was not signed", extra={"output": self._name, "error": str(error)})
            return ""

    async def _upload_as(self, key: str, path: Path, on_sent: _OnSent, on_fault: _OnFault) -> int:
        size = await self._retry(lambda: path.stat().st_size, on_fault)
        if not self._overwrite:
            await self._refuse_taken(key, on_fault)
        storage = self._storage
        if isinstance(storage, WholeStorage):
            await self._retry(
                lambda: _send_whole(storage, key, path, size, overwrite=self._overwrite), on_fault
            )
            on_sent(size)
            return size
        await self._send_in_parts(storage, key, path, size, on_sent, on_fault)
        return size

    async def _send_in_parts(
        self, storage: Storage, key: str, path: Path, size: int, on_sent: _OnSent, on_fault: _OnFault
    ) -> None:
        part_size = _part_size(size, storage.min_part_size)
        lost = 0
        while True:
            upload = await self._retry(
                lambda: storage.begin(key, content_type(key), part_size=part_size), on_fault
            )
            sent = 0

            def count(length: int) -> None:
                nonlocal sent
                sent += length
                on_sent(length)

            try:
                parts = await self._send_parts(storage, upload, path, size, count, on_fault)
                await self._retry(
                    lambda: storage.complete(upload, parts, overwrite=self._overwrite),  # noqa: B023 - awaited at once
                    on_fault,
                )
            except UploadLostError:
                on_sent(-sent)
                lost += 1
                if lost > 2:
                    raise
                continue
            except BaseException:
                on_sent(-sent)
                await self._abandon(storage, upload)
                raise
            return

    async def _refuse_taken(self, key: str, on_fault: _OnFault) -> None:
        """Look before sending a large file; complete() decides, this only saves the work."""
        try:
            taken = await self._retry(lambda: self._storage.exists(key), on_fault, patient=False)
        except AuthorizationError:
            return  # the key may only write
        if taken:
            raise ObjectExistsError(f"{self._name}: {key} exists already")

    async def _send_parts(
        self,
        storage: Storage,
        upload: Upload,
        path: Path,
        size: int,
        on_sent: _OnSent,
        on_fault: _OnFault,
    ) -> list[PartRecord]:
        parts: list[PartRecord] = []
        for number, offset in enumerate(range(0, max(size, 1), upload.part_size), start=1):
            length = min(upload.part_size, size - offset)

            def send(number: int = number, offset: int = offset, length: int = length) -> PartRecord:
                with FileSlice(path, offset, length) as data:
                    return storage.put_part(upload, number, data)  # type: ignore[arg-type]  # a RawIOBase reads, seeks and tells

            parts.append(await self._retry(send, on_fault))
            on_sent(length)
        return parts

    async def _retry(
        self,
        call: Callable[[], _T],
        on_fault: _OnFault,
        *,
        patient: bool = True,
    ) -> _T:
        """Make one blocking call, again while the policy allows it; each success begins a new allowance."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for pause in self._policy.pauses():
            try:
                return await in_thread(f"upload-{self._name}", call)
            except OSError as error:
                raise MediaError(
                    f"the file in the scratch directory cannot be read ({error.strerror or type(error).__name__})"
                ) from error
            except RecorderError as error:
                allowance = self._policy.allowance(error)
                if isinstance(error, AuthorizationError) and not patient:
                    raise
                if loop.time() + pause > min(began + allowance, self._deadline.at):
                    raise
                logger.warning(
                    "upload is tried again",
                    extra={"output": self._name, "pause": round(pause, 2), "error": str(error)},
                )
                on_fault(error)
            await self._deadline.pause(pause)
        raise AssertionError("pauses never end")

    async def _abandon(self, storage: Storage, upload: Upload) -> None:
        try:
            await in_thread(f"upload-{self._name}", lambda: storage.abort(upload))
        except RecorderError as error:
            logger.warning(
                "parts of a failed upload were left", extra={"output": self._name, "error": str(error)}
            )


def _send_whole(storage: WholeStorage, key: str, path: Path, size: int, *, overwrite: bool) -> None:
    with FileSlice(path, 0, size) as data:
        storage.put_whole(key, data, content_type=content_type(key), overwrite=overwrite)  # type: ignore[arg-type]  # a RawIOBase reads, seeks and tells


def _part_size(size: int, least: int) -> int:
    needed = -(-size // MAX_PARTS)
    mebibytes = -(-needed // (1 << 20))
    return max(PART_SIZE, least, mebibytes << 20)


def _names(key: str, egress_id: str) -> Iterator[str]:
    """Yield names: the wanted one, the recording's own one, then that one numbered."""
    yield key
    unique = unique_filename(key, egress_id)
    yield unique
    for number in range(2, _MAX_NAMES):
        yield unique_filename(key, f"{egress_id}-{number}")
