"""Owns an upload that is under way: what the storage has of it, and whether its head is that of the closed file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from egress_recorder.errors import RecorderError
from egress_recorder.partplan import PartSizes, Send, after_the_end, parts_of
from egress_recorder.storage import FileSlice, PartRecord, Storage, Upload
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)

OnSent = Callable[[int], None]
"""Gets by how many bytes more (or less) of the file the storage has."""


@dataclass(slots=True, kw_only=True)
class BegunUpload:
    """One upload of one file. Not for two threads at once."""

    storage: Storage
    upload: Upload
    sizes: PartSizes
    path: Path
    on_sent: OnSent
    growing: bool = False
    """Parts come from a file that is not closed yet."""
    rewritten: int = 0
    """How many first bytes of the file its end changes."""
    parts: dict[int, PartRecord] = field(default_factory=dict)
    """What the storage has, by number."""
    head_is_old: bool = False
    """Part 1 was sent while the file grew and its end changes it."""
    over: bool = False
    """It was completed or given up."""
    _sending: FileSlice | None = None

    @property
    def key(self) -> str:
        """The name that the object will have."""
        return self.upload.key

    @property
    def stored(self) -> Mapping[int, int]:
        """Bytes of each part that the storage has."""
        return {number: part.size for number, part in self.parts.items()}

    @property
    def position(self) -> int:
        """How far the part is that is being sent: whether it moves."""
        return self._sending.tell() if self._sending is not None else 0

    def put(self, send: Send) -> PartRecord:
        """Send one part from the disk; blocks. Raises RecorderError, OSError for the file."""
        with FileSlice(self.path, send.offset, send.length) as data:
            self._sending = data
            return self.storage.put_part(self.upload, send.number, data)  # type: ignore[arg-type]  # a RawIOBase reads, seeks and tells

    def note(self, part: PartRecord) -> None:
        """Take in that the storage has a part."""
        before = self.parts.get(part.number)
        self.parts[part.number] = part
        if part.number == 1:
            self.head_is_old = self.growing and self.rewritten > 0
        self.on_sent(part.size - (before.size if before else 0))

    def left(self, size: int) -> Iterator[Send]:
        """Yield what is still to be sent of the closed file of `size` bytes."""
        return after_the_end(size, self.stored, self.sizes, head_is_old=self.head_is_old)

    def complete(self, size: int, *, overwrite: bool) -> None:
        """Make the object appear; blocks. Raises RecorderError."""
        last = parts_of(size, self.sizes)
        self.storage.complete(
            self.upload, [self.parts[number] for number in range(1, last + 1)], overwrite=overwrite
        )
        self.over = True

    def forget(self) -> None:
        """Count none of it any more: it is lost, or given up."""
        self.over = True
        self.on_sent(-sum(self.stored.values()))
        self.parts.clear()


async def give_up(begun: BegunUpload, *, name: str) -> None:
    """Remove what was sent, as far as possible."""
    begun.forget()
    try:
        await in_thread(f"upload-{name}", lambda: begun.storage.abort(begun.upload))
    except RecorderError as error:
        logger.warning("parts of a failed upload were left", extra={"output": name, "error": str(error)})
