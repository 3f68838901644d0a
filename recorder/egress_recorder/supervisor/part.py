"""Owns one part: a capture process with its request and its directory, and what it leaves for the delivery."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from egress_recorder import ipc
from egress_recorder.contract import EndReason, ExitCode, RecorderConfig
from egress_recorder.errors import ConfigurationError
from egress_recorder.imaging import ImageRequest
from egress_recorder.segmentation import SegmentRequest
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.attempt import AttemptEnd, CaptureAttempt
from egress_recorder.supervisor.delivery import Delivery
from egress_recorder.supervisor.images import ImageLanes
from egress_recorder.supervisor.process import CaptureChild
from egress_recorder.supervisor.settings import Settings
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartEnd:
    """How a part ended."""

    ended: ipc.Ended | None
    """None: the capture process crashed."""
    returncode: int
    had_media: bool

    @property
    def in_order(self) -> bool:
        """True when the capture process decided the end; a fault of its own is followed by a next part."""
        return self.ended is not None and self.ended.exit_code is not ExitCode.SOFTWARE

    @property
    def fills_scratch(self) -> bool:
        """True when it ended for want of room: the next part waits for the upload."""
        return self.ended is not None and self.ended.reason is EndReason.SCRATCH_FULL


class PartRunner:
    """Runs parts one after the other. `ending` is asked whether events still mean a running recording."""

    def __init__(
        self,
        config: RecorderConfig,
        settings: Settings,
        *,
        account: Account,
        delivery: Delivery,
        images: ImageLanes,
        on_media: Callable[[], None],
    ) -> None:
        self._config = config
        self._settings = settings
        self._account = account
        self._delivery = delivery
        self._images = images
        self._on_media = on_media
        self._attempt: CaptureAttempt | None = None
        self._ending: EndReason | None = None
        self._within: float | None = None
        self.attempts = 0

    def stop(self, reason: EndReason, *, within: float | None = None) -> None:
        """End the running part, or the next one as soon as it begins; killed after `within` seconds."""
        self._ending, self._within = reason, within
        if self._attempt is not None:
            self._attempt.stop(reason, within=within)

    def end_part(self, reason: EndReason) -> None:
        """End the running part only: a next one may follow."""
        if self._attempt is not None:
            self._attempt.stop(reason)

    def renew_token(self, token: str) -> None:
        """Hand a renewed token to the running part."""
        if self._attempt is not None:
            self._attempt.renew_token(token)

    def want_streams(self) -> None:
        """Tell the running part which streams are wanted now."""
        if self._attempt is not None:
            self._attempt.want_streams(self._account.streams.wanted)

    def kill(self) -> None:
        """Kill the running part's capture process."""
        if self._attempt is not None:
            self._attempt.kill()

    async def run(self, child: CaptureChild, token: str) -> PartEnd:
        """Run one capture process to its end; its files, if any, are handed to the delivery.

        Raises ConfigurationError when the scratch directory cannot be written.
        """
        self.attempts += 1
        number = self._account.ledger.next_number
        directory = self._settings.scratch / f"part-{number:03d}-{self.attempts:03d}"
        try:
            await in_thread("scratch", lambda: directory.mkdir(parents=True))
        except OSError as error:
            child.discard()
            raise ConfigurationError(
                f"the scratch directory {self._settings.scratch} cannot be written ({error.strerror}): "
                "--scratch must name a writable directory with room"
            ) from None
        self._attempt = attempt = CaptureAttempt(child, self._settings.limits)
        if self._ending is not None:
            attempt.stop(self._ending, within=self._within)
        files: tuple[str, ...] = ()
        began = False
        capture = number
        """The part that the capture process began with; `number` is that of the files that grow."""

        def on_event(event: ipc.Event) -> None:
            nonlocal files, number, began
            if isinstance(event, ipc.SegmentClosed):
                self._delivery.segment_closed(number, directory, event, capture=capture)
                return
            if isinstance(event, ipc.ImageMade):
                self._images.made(capture, directory, event)
                return
            if isinstance(event, ipc.FilesClosed):
                if not self._account.ledger.is_own(number):
                    logger.warning("files that never began are left out", extra={"files": event.files})
                    return
                number = self._next_files(number, directory, event, capture=capture)
                files = event.next_files
                return
            part = capture if isinstance(event, ipc.SpansChanged) else number
            self._account.mirror(event, part=part, ending=self._ending is not None)
            if isinstance(event, ipc.Started):
                files, began = event.files, True
                self._delivery.began(number, [directory / name for name in files])
                self._on_media()

        end = await attempt.run(self._request(token, directory), on_event)
        self._attempt = None
        had_media = self._hand_over(
            end, number, directory=directory, files=files, capture=capture, began=began
        )
        await self._images.sweep(capture, directory)
        return PartEnd(ended=end.ended, returncode=end.returncode, had_media=had_media)

    def _request(self, token: str, directory: Path) -> ipc.CaptureRequest:
        config, ledger = self._config, self._account.ledger
        recorded, recorded_bytes = ledger.recorded()
        return ipc.CaptureRequest(
            url=config.url,
            token=token,
            room_name=config.room_name,
            source=config.source,
            encoding=config.encoding,
            join_timeout=config.join_timeout,
            track_timeout=config.track_timeout,
            rejoin_timeout=config.rejoin_timeout,
            limits=config.limits,
            max_file_duration=config.max_file_duration,
            directory=str(directory),
            files=ledger.file_types,
            segments=tuple(
                SegmentRequest(container=one.container, duration=one.duration) for one in config.segments
            ),
            images=tuple(
                ImageRequest(interval=one.interval, codec=one.codec, width=one.width, height=one.height)
                for one in config.images
            ),
            streaming=config.streaming,
            streams=self._account.streams.begin_part() if config.streaming else (),
            continuing=ledger.has_media,
            recorded=recorded,
            recorded_bytes=recorded_bytes,
        )

    def _next_files(self, number: int, directory: Path, closed: ipc.FilesClosed, *, capture: int) -> int:
        """Deliver files that are complete and expect the next ones; return the number of their part."""
        ledger = self._account.ledger
        self._delivery.complete_part(number, [directory / name for name in closed.files], closed)
        following = ledger.next_number
        names = self._account.names.of_part(following)
        ledger.started(following, closed.at, names, capture=capture, since=closed.until)
        self._delivery.began(following, [directory / name for name in closed.next_files])
        self._account.publish()
        self._on_media()
        return following

    def _hand_over(
        self,
        end: AttemptEnd,
        number: int,
        *,
        directory: Path,
        files: tuple[str, ...],
        capture: int,
        began: bool,
    ) -> bool:
        """Give the files to the delivery; return whether the part has media."""
        ended, ledger = end.ended, self._account.ledger
        if ended is None:
            logger.error(
                "the capture process crashed",
                extra={"returncode": end.returncode, "part": number, "media": began},
            )
            if began:
                self._delivery.crashed_part(number, [directory / name for name in files], capture=capture)
            return began
        if not (ended.files if ledger.has_files else ended.started_at):
            if began:
                logger.warning("a part began and has no file", extra={"part": number})
                ledger.dropped(number)
                self._delivery.dropped(number)
            return False
        if not ledger.is_own(number):
            # Its first media came and went within one report.
            started_at = ended.started_at or ended.ended_at or self._settings.now()
            ledger.started(number, started_at, self._account.names.of_part(number))
        self._delivery.complete_part(number, [directory / name for name in ended.files], ended)
        return True
