"""Owns the way of one output's images into its storage while the recording goes on: in order, again and again, within bounds.

A storage that is away delays images and nothing else: they wait in the scratch directory, at most `WAITING_BYTES` per
output; what comes beyond is left out, counted and told. After `uploadTimeout` they go to the backup storage, if there is
one, and stay with it; without one the recorder goes on trying until the recording is over and its patience too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from egress_recorder.contract import IMAGE_KINDS, RecorderConfig, Trouble
from egress_recorder.errors import MediaError, RecorderError
from egress_recorder.imaging import image_key
from egress_recorder.naming import unique_filename
from egress_recorder.storage import ObjectExistsError
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.failover import Failover
from egress_recorder.supervisor.outputs import Output, Target
from egress_recorder.upload import Uploaded
from egress_recorder.waiting import happens

logger = logging.getLogger(__name__)

WAITING_BYTES = 64 * 1024 * 1024
"""Per output: 10 minutes of one 720p JPEG per second."""
_PAUSE = 2.0
_LONGEST_PAUSE = 30.0
"""Seconds between two tries of what was refused for good (the storage's own patience comes before)."""
_LONGEST_SEARCH = 120
"""Numbers beyond the known one that may belong to an earlier recorder that left no record of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingImage:
    """An image that is complete in the scratch directory. `part`: whose; `at`: when it was shown."""

    part: int
    path: Path
    at: datetime
    size: int


class ImageLane:
    """One image output from the first part to the end of this process."""

    def __init__(
        self,
        account: Account,
        config: RecorderConfig,
        *,
        index: int,
        on_stored: Callable[[], None],
        on_backup: Callable[[Output], None],
        on_dropped: Callable[[], None],
    ) -> None:
        """`index` is that in `config.images`."""
        self._account, self._config, self._index = account, config, index
        self._wanted = config.images[index]
        self._name = config.name_of(len(config.outputs) + len(config.segments) + index)
        self._on_stored, self._on_backup, self._on_dropped = on_stored, on_backup, on_dropped
        self._waiting: deque[WaitingImage] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._closing = asyncio.Event()
        self._over = False
        self._given_up = False

    def made(self, image: WaitingImage) -> None:
        """Take over an image that is complete. Of those with one name only the newest is worth sending."""
        if self._given_up:
            self._leave_out(image)
            return
        if self._wanted.overwrite:
            while len(self._waiting) > 1:
                self._forget(self._waiting.pop())
        if self._bytes + image.size > WAITING_BYTES:
            self._leave_out(image)
            return
        self._waiting.append(image)
        self._bytes += image.size
        self._changed.set()

    @property
    def waiting(self) -> tuple[Path, ...]:
        """The images that are on their way, in order."""
        return tuple(image.path for image in self._waiting)

    def give_up(self) -> None:
        """Nothing will be stored any more: what waits and what still comes is left out, counted and told."""
        self._given_up = True
        waiting, self._bytes = [*self._waiting], 0
        self._waiting.clear()
        for image in waiting:
            self._leave_out(image)

    def release(self) -> None:
        """Nothing is held any more: an image that its storage refuses is given up."""
        self._closing.set()

    def close(self) -> None:
        """No image follows."""
        self._over = True
        self._closing.set()
        self._changed.set()

    async def run(self, output: Output) -> list[RecorderError]:
        """Store images until `close`; return why some could not be."""
        failover = Failover(self._account, output, what="images", on_backup=self._on_backup)
        while True:
            while self._waiting:
                # It stays first in the queue while it is sent: what waits is counted in full.
                error = await self._store(self._waiting[0], failover)
                if error is not None:
                    logger.error(
                        "images are given up",
                        extra={"output": self._name, "images": len(self._waiting), "error": str(error)},
                    )
                    self.give_up()
                    return [error]
                self._forget(self._waiting.popleft())
            if self._over:
                return []
            self._changed.clear()
            await self._changed.wait()

    def _forget(self, image: WaitingImage) -> None:
        self._bytes -= image.size
        _remove(image.path)

    def _leave_out(self, image: WaitingImage) -> None:
        _remove(image.path)
        self._on_dropped()

    async def _store(self, image: WaitingImage, failover: Failover) -> RecorderError | None:
        """Store one image; return why it could not be, at the end of all patience. One that cannot be read is left out."""
        pause = _PAUSE
        while True:
            try:
                await self._upload(image, failover)
            except MediaError as error:
                logger.warning("an image is lost", extra={"output": self._name, "error": str(error)})
                self._on_dropped()
                return None
            except RecorderError as error:
                if self._closing.is_set():
                    return error
                self._held(error)
                await happens(self._closing, within=pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return None

    async def _upload(self, image: WaitingImage, failover: Failover) -> None:
        number, uploaded = await failover.store(lambda target: self._put(target, image))
        self._account.images.stored(
            self._index,
            number=number,
            prefix=self._account.names.images(self._index, image.part),
            key=uploaded.key,
            location=uploaded.location,
            at=image.at,
            replaces=self._wanted.overwrite,
        )
        self._account.clear(Trouble.IMAGES_HELD)
        self._account.ledger.uploaded(uploaded.size)
        self._account.publish()
        self._on_stored()

    async def _put(self, target: Target, image: WaitingImage) -> tuple[int, Uploaded]:
        """Store an image under a name that is free; return its number.

        A taken name is an earlier recorder's of this recording, then a later number is free; or another recording's,
        then it gets a name of our own.
        """
        first = self._account.images.next_number(self._index)
        goes_on = self._config.part > 1 and self._wanted.suffix == "IMAGE_SUFFIX_INDEX"
        for number in range(first, first + (_LONGEST_SEARCH if goes_on else 1)):
            with suppress(ObjectExistsError):
                return number, await self._send(target, image, self._key(image, number))
        key = unique_filename(self._key(image, first), self._config.egress_id)
        return first, await self._send(target, image, key)

    def _key(self, image: WaitingImage, number: int) -> str:
        wanted, prefix = self._wanted, self._account.names.images(self._index, image.part)
        return image_key(prefix, suffix=wanted.suffix, codec=wanted.codec, number=number, at=image.at)

    async def _send(self, target: Target, image: WaitingImage, key: str) -> Uploaded:
        kind = IMAGE_KINDS[self._wanted.codec]
        return await target.uploader.put(
            key, image.path, content_type=kind.content_type, on_fault=self._is_slow
        )

    def _is_slow(self, error: RecorderError) -> None:
        if len(self._waiting) > 1:
            self._held(error)

    def _held(self, error: RecorderError) -> None:
        self._account.report(
            Trouble.IMAGES_HELD,
            f"{self._name}: its storage takes no images; they wait in the recorder's pod, up to"
            f" {WAITING_BYTES >> 20} MiB, and the recording goes on: correct what it says: {error}",
        )


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
