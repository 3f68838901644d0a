"""Owns how a finished file gets into a storage: multipart, again and again with back-off, under a name nobody has.

An upload is begun once and taken up by its id after a fault, so that an hour's file is not sent from its beginning
because the last part failed. One that was begun while the file grew (`growing.py`) is gone on with: what is missing, the
head that the file's end has changed, complete. One that cannot be completed is given up, and the file sent anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from egress_recorder.begun import BegunUpload, OnSent, give_up
from egress_recorder.errors import AuthorizationError, ConfigurationError, MediaError, RecorderError
from egress_recorder.filetypes import content_type
from egress_recorder.naming import unique_filename
from egress_recorder.partplan import MAX_PARTS, MEBIBYTE, PART_SIZE, PartSizes
from egress_recorder.retry import Deadline, RetryPolicy
from egress_recorder.storage import (
    FileSlice,
    GrowingStorage,
    ObjectExistsError,
    PresigningStorage,
    Storage,
    UploadLostError,
    WholeStorage,
)
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)

_MAX_NAMES = 100

_T = TypeVar("_T")
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
        begun: BegunUpload | None = None,
    ) -> Uploaded:
        """Upload the file, under the next free name when `key` is taken and not to be overwritten.

        `on_sent` gets sizes of sent parts. `begun`: an upload of this file that is under way; it is used up.

        Raises RecorderError when the policy's time is over; the parts that were sent are removed as far as possible.
        """
        try:
            return await self._upload(key, path, on_sent, on_fault, begun)
        finally:
            if begun is not None and not begun.over:
                await give_up(begun, name=self._name)

    @property
    def name(self) -> str:
        """The output as the user wrote it."""
        return self._name

    @property
    def grows(self) -> bool:
        """True when the storage takes a file while it grows."""
        return isinstance(self._storage, GrowingStorage)

    def pauses(self) -> Iterator[float]:
        """Yield the pauses between tries."""
        return self._policy.pauses()

    async def begin(
        self, key: str, path: Path, *, sizes: PartSizes, rewritten: int, on_sent: OnSent
    ) -> BegunUpload:
        """Begin the upload of a growing file, under the next free name. One try; raises RecorderError."""
        storage = self._storage
        assert isinstance(storage, GrowingStorage)

        def begin() -> BegunUpload:
            name = next(name for name in _names(key, self._egress_id) if not self._is_taken(name))
            upload = storage.begin(name, content_type(name), part_size=sizes.first)
            return BegunUpload(
                storage=storage,
                upload=upload,
                sizes=sizes,
                path=path,
                on_sent=on_sent,
                growing=True,
                rewritten=rewritten,
            )

        return await in_thread(f"upload-{self._name}", begin)

    def _is_taken(self, name: str) -> bool:
        try:
            return not self._overwrite and self._storage.exists(name)
        except AuthorizationError:
            return False  # the key may only write

    async def _upload(
        self, key: str, path: Path, on_sent: OnSent, on_fault: _OnFault, begun: BegunUpload | None
    ) -> Uploaded:
        names = _names(key, self._egress_id)
        name = next(names)
        while True:
            try:
                size = await self._upload_as(name, path, on_sent, on_fault, begun)
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

    async def _upload_as(
        self, key: str, path: Path, on_sent: OnSent, on_fault: _OnFault, begun: BegunUpload | None
    ) -> int:
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
        if begun is None or begun.key != key or not await self._go_on(begun, size, on_fault):
            await self._send_in_parts(storage, key, path, size, on_sent, on_fault)
        return size

    async def _go_on(self, begun: BegunUpload, size: int, on_fault: _OnFault) -> bool:
        """Finish an upload that was begun while the file grew; False: it cannot be finished, and is given up."""
        try:
            await self._finish(begun, size, on_fault)
        except (UploadLostError, ConfigurationError) as error:
            # A server that wants parts of one size (Cloudflare R2), a lifecycle rule that removed it.
            logger.warning(
                "an upload that was begun while recording cannot be completed, the file is sent anew",
                extra={"output": self._name, "error": str(error)},
            )
            await give_up(begun, name=self._name)
            return False
        return True

    async def _send_in_parts(
        self, storage: Storage, key: str, path: Path, size: int, on_sent: OnSent, on_fault: _OnFault
    ) -> None:
        part_size = _part_size(size, storage.min_part_size)
        lost = 0
        while True:
            upload = await self._retry(
                lambda: storage.begin(key, content_type(key), part_size=part_size), on_fault
            )
            sizes = PartSizes(part_size)
            begun = BegunUpload(storage=storage, upload=upload, sizes=sizes, path=path, on_sent=on_sent)
            try:
                await self._finish(begun, size, on_fault)
            except UploadLostError:
                begun.forget()
                lost += 1
                if lost > 2:
                    raise
                continue
            except BaseException:
                await give_up(begun, name=self._name)
                raise
            return

    async def _finish(self, begun: BegunUpload, size: int, on_fault: _OnFault) -> None:
        """Send what is missing and complete."""
        for send in begun.left(size):
            begun.note(await self._retry(lambda: begun.put(send), on_fault))  # noqa: B023 - awaited at once
        await self._retry(lambda: begun.complete(size, overwrite=self._overwrite), on_fault)

    async def _refuse_taken(self, key: str, on_fault: _OnFault) -> None:
        """Look before sending a large file; complete() decides, this only saves the work."""
        if await self._retry(lambda: self._is_taken(key), on_fault):
            raise ObjectExistsError(f"{self._name}: {key} exists already")

    async def _retry(
        self,
        call: Callable[[], _T],
        on_fault: _OnFault,
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
                if loop.time() + pause > min(began + allowance, self._deadline.at):
                    raise
                logger.warning(
                    "upload is tried again",
                    extra={"output": self._name, "pause": round(pause, 2), "error": str(error)},
                )
                on_fault(error)
            await self._deadline.pause(pause)
        raise AssertionError("pauses never end")


def _send_whole(storage: WholeStorage, key: str, path: Path, size: int, *, overwrite: bool) -> None:
    with FileSlice(path, 0, size) as data:
        storage.put_whole(key, data, content_type=content_type(key), overwrite=overwrite)  # type: ignore[arg-type]  # a RawIOBase reads, seeks and tells


def _part_size(size: int, least: int) -> int:
    needed = -(-size // MAX_PARTS)
    mebibytes = -(-needed // MEBIBYTE)
    return max(PART_SIZE, least, mebibytes * MEBIBYTE)


def _names(key: str, egress_id: str) -> Iterator[str]:
    """Yield names: the wanted one, the recording's own one, then that one numbered."""
    yield key
    unique = unique_filename(key, egress_id)
    yield unique
    for number in range(2, _MAX_NAMES):
        yield unique_filename(key, f"{egress_id}-{number}")
