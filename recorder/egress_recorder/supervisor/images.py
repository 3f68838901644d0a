"""Owns the images of a recording on their way from the capture process to the storages: one lane per output, what is left out is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from egress_recorder import ipc
from egress_recorder.contract import RecorderConfig, Trouble
from egress_recorder.errors import RecorderError
from egress_recorder.imaging import IMAGE_FILES, output_of
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.imagelane import ImageLane, WaitingImage
from egress_recorder.supervisor.outputs import Output
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)

_MANIFEST_SECONDS = 30.0
"""Between two manifests because of images alone."""


class ImageLanes:
    """All image outputs of a recording."""

    def __init__(
        self,
        account: Account,
        config: RecorderConfig,
        *,
        on_change: Callable[[], None],
        on_backup: Callable[[Output], None],
    ) -> None:
        self._account, self._on_change = account, on_change
        self._lanes = [
            ImageLane(
                account,
                config,
                index=index,
                on_stored=self._stored,
                on_backup=on_backup,
                on_dropped=self._dropped_one,
            )
            for index in range(len(config.images))
        ]
        self._group: asyncio.TaskGroup | None = None
        self._tasks: list[asyncio.Task[list[RecorderError]]] = []
        self._manifest_at: float | None = None
        self._unsent = 0
        self._unmade: dict[Path, int] = {}

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Let the uploads live in this group."""
        self._group = group

    def allow(self, outputs: Sequence[Output]) -> None:
        """The destinations can be written: uploads may begin."""
        assert self._group is not None
        for lane, output in zip(self._lanes, outputs, strict=True):
            self._tasks.append(self._group.create_task(lane.run(output), name=output.name))

    def give_up(self) -> None:
        """A destination cannot be written: nothing will be uploaded."""
        for lane in self._lanes:
            lane.give_up()

    def release(self) -> None:
        """The process has to go: what waits is tried as long as the uploads' deadline lets it."""
        for lane in self._lanes:
            lane.release()

    def made(self, part: int, directory: Path, event: ipc.ImageMade) -> None:
        """Deliver an image of a running part."""
        if event.dropped != self._unmade.get(directory, 0):
            self._unmade[directory] = event.dropped
            self._tell_dropped()
        if not 0 <= event.output < len(self._lanes):
            logger.warning("an image of an unknown output is left out", extra={"output": event.output})
            return
        path = directory / Path(event.name).name
        self._lanes[event.output].made(WaitingImage(part=part, path=path, at=event.at, size=event.size))

    async def sweep(self, part: int, directory: Path) -> None:
        """Take over what a capture process that is gone has made and not told; what it had not finished is removed."""
        if not self._lanes:
            return
        # Before looking: what is stored meanwhile is not there any more, and nothing comes.
        known = {path for lane in self._lanes for path in lane.waiting}
        for output, image in await in_thread("sweep", lambda: _left_behind(part, directory)):
            if image.path not in known and output < len(self._lanes):
                self._lanes[output].made(image)

    async def finished(self) -> list[RecorderError]:
        """Wait for all uploads; return what failed."""
        for lane in self._lanes:
            lane.close()
        return [error for result in await asyncio.gather(*self._tasks) for error in result]

    def _stored(self) -> None:
        """A manifest per image would be most of the traffic: the last one is written at the end in any case."""
        now = asyncio.get_running_loop().time()
        if self._manifest_at is None or now - self._manifest_at >= _MANIFEST_SECONDS:
            self._manifest_at = now
            self._on_change()

    def _dropped_one(self) -> None:
        self._unsent += 1
        self._tell_dropped()

    def _tell_dropped(self) -> None:
        unmade = sum(self._unmade.values())
        self._account.report(
            Trouble.IMAGES_DROPPED,
            f"{unmade + self._unsent} images were left out ({unmade} because the machine was too slow, {self._unsent} because"
            " their storage did not take them): lengthen captureInterval, or see whether the storage takes files",
        )


def _left_behind(part: int, directory: Path) -> list[tuple[int, WaitingImage]]:
    """Return the images of a directory in order, each with its output; its time is that of its file. Removes halves."""
    found: list[tuple[int, WaitingImage]] = []
    for path in sorted(directory.glob(f"{IMAGE_FILES}*")):
        with suppress(OSError):
            output = output_of(path.name)
            if output is None:
                path.unlink()
                continue
            status = path.stat()
            at = datetime.fromtimestamp(status.st_mtime, UTC)
            found.append((output, WaitingImage(part=part, path=path, at=at, size=status.st_size)))
    return found
