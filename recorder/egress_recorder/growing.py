"""Owns the upload of one file while it grows: begun early, a part at a time, in threads that yield to the capture.

Nothing here ends or slows a recording: what fails is tried again with pauses that grow. The end of the upload, its
time-outs and the backup storage are `upload.py`'s, which gets what is there by `handed_over`. Parts are streamed from the
file, one at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from egress_recorder.begun import BegunUpload, OnSent, give_up
from egress_recorder.errors import RecorderError
from egress_recorder.partplan import GROWING, PartSizes, Send, while_growing
from egress_recorder.storage import PartRecord, UploadLostError
from egress_recorder.threads import in_thread
from egress_recorder.upload import Uploader
from egress_recorder.waiting import happens

logger = logging.getLogger(__name__)

_NICE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a file is uploaded while it grows (seconds)."""

    sizes: PartSizes = GROWING
    look: float = 1.0
    """Between two looks at the file's size."""
    patience: float = 10.0
    """How long a part that is under way at the file's end may stand still before the upload is given up."""


_PACE = Pace()


class GrowingUpload:
    """Uploads one growing file from now until `handed_over`, as one task of its own."""

    def __init__(
        self,
        uploader: Uploader,
        path: Path,
        *,
        rewritten: int,
        key: Callable[[], str | None],
        on_sent: OnSent,
        on_begun: Callable[[str], None] = lambda _: None,
        pace: Pace = _PACE,
    ) -> None:
        """`rewritten`: bytes of the head that the file's end changes. `key`: the name, None while it is not known.

        `on_begun` gets the name under which the upload was begun, the next free one.
        """
        self._uploader = uploader
        self._path = path
        self._rewritten = rewritten
        self._key = key
        self._on_sent = on_sent
        self._on_begun = on_begun
        self._pace = pace
        self._begun: BegunUpload | None = None
        self._sent_at: float | None = None
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"grow-{uploader.name}")

    async def handed_over(self, path: Path) -> BegunUpload | None:
        """End it; return what can be gone on with for the closed file `path`.

        None where nothing was begun, where the closed file is another one (a crashed file's clean copy), or where the
        part that is under way does not move: the parts that were sent are removed then.
        """
        self._over.set()
        position = -1
        while not (await asyncio.wait({self._task}, timeout=self._pace.patience))[0]:
            now = self._begun.position if self._begun is not None else 0
            if now == position:
                self._task.cancel()
                path = Path()
                break
            position = now
        begun = self._begun
        if begun is None:
            return None
        if path != self._path:
            await give_up(begun, name=self._uploader.name)
            return None
        begun.growing = False
        return begun

    async def _run(self) -> None:
        pauses = self._uploader.pauses()
        while not self._over.is_set():
            pause = self._pace.look
            try:
                if await self._step():
                    pauses, pause = self._uploader.pauses(), 0.0
            except (RecorderError, OSError) as error:
                pause = max(self._pace.look, next(pauses))
                self._failed(error, pause)
            except Exception:
                # Whatever it is, the file is sent after its end as well.
                logger.exception("the upload while recording failed", extra={"output": self._uploader.name})
                return
            await happens(self._over, within=pause)

    def _failed(self, error: Exception, pause: float) -> None:
        if isinstance(error, UploadLostError) and self._begun is not None:
            self._begun.forget()
            self._begun, self._sent_at = None, None
        text = str(error) if isinstance(error, RecorderError) else type(error).__name__
        logger.warning(
            "the upload while recording is tried again",
            extra={"output": self._uploader.name, "pause": round(pause, 2), "error": text},
        )

    async def _step(self) -> bool:
        """Send one part if one is due; return whether one was."""
        on_disk = await in_thread("stat", self._size)
        stored = self._begun.stored if self._begun is not None else {}
        loop = asyncio.get_running_loop()
        waited = None if self._sent_at is None else loop.time() - self._sent_at
        send = while_growing(on_disk, stored, self._pace.sizes, waited=waited)
        if send is None:
            return False
        if self._begun is None:
            key = self._key()
            if key is None:
                return False
            self._begun = await self._uploader.begin(
                key, self._path, sizes=self._pace.sizes, rewritten=self._rewritten, on_sent=self._on_sent
            )
            self._on_begun(self._begun.key)
        begun = self._begun
        begun.note(await in_thread(f"upload-{self._uploader.name}", lambda: _put(begun, send)))
        self._sent_at = loop.time()
        return True

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:  # not begun yet, or replaced by a clean copy
            return 0


def _put(begun: BegunUpload, send: Send) -> PartRecord:
    """Send one part at a low priority: hashing and encrypting it must not take the capture's turn."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    return begun.put(send)
