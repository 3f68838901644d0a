"""Owns the recorder's loop: one capture process after the other, each part delivered, one verdict at the end.

It knows neither HTTP nor signals nor where its configuration came from: `run` and `record` call `stop`, `interrupt`
and `renew_token`. Everything here runs on one event loop and needs no locks. Three things go on at the same time
in one TaskGroup: the parts, the destinations (opened, probed, then the manifest's writer), the deliveries.
"""

from __future__ import annotations

import asyncio
import logging

from egress_recorder.contract import EndReason, Phase, RecorderConfig, RecorderResult, StreamTarget
from egress_recorder.errors import RecorderError, StreamsFailedError
from egress_recorder.manifest import ManifestWriter
from egress_recorder.supervisor import verdict as verdicts
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.supervisor.delivery import Delivery
from egress_recorder.supervisor.destinations import Destinations
from egress_recorder.supervisor.images import ImageLanes
from egress_recorder.supervisor.orphans import complete_orphans
from egress_recorder.supervisor.part import PartEnd, PartRunner
from egress_recorder.supervisor.process import CaptureChild
from egress_recorder.supervisor.scratch import ScratchWatch
from egress_recorder.supervisor.segments import SegmentLane
from egress_recorder.supervisor.settings import Settings
from egress_recorder.supervisor.verdict import Verdict
from egress_recorder.waiting import happens

logger = logging.getLogger(__name__)

_KILL_AFTER_REFUSAL = 3.0
"""Seconds to leave the room when a destination refuses: nothing of the recording can be kept anyway."""


class Supervisor:
    """Records one recording's parts in this process, from a started child to the result.

    Raises ConfigurationError when a file output's name cannot be right.
    """

    def __init__(
        self,
        config: RecorderConfig,
        token: str,
        *,
        settings: Settings,
        board: StatusBoard,
        child: CaptureChild,
    ) -> None:
        self._config = config
        self._token = token
        self._settings = settings
        self._board = board
        self._child: CaptureChild | None = child
        self._account = Account(config, board, now=settings.now)
        self._ledger = self._account.ledger
        self._destinations = Destinations(config, settings, self._account)
        self._scratch = ScratchWatch(
            settings.scratch,
            config.scratch_size,
            self._account,
            interval=settings.scratch_interval,
            on_full=lambda: self._runner.end_part(EndReason.SCRATCH_FULL),
        )
        self._delivery = Delivery(
            self._account,
            finalize_command=settings.finalize_command,
            hold_pause=settings.hold_pause,
            on_change=self._request_manifest,
            on_backup=self._destinations.use_backup,
            scratch=self._scratch,
            lanes=[
                SegmentLane(
                    self._account,
                    config,
                    index=index,
                    hold_pause=settings.hold_pause,
                    on_change=self._request_manifest,
                    on_backup=self._destinations.use_backup,
                )
                for index in range(len(config.segments))
            ],
        )
        self._images = ImageLanes(
            self._account,
            config,
            on_change=self._request_manifest,
            on_backup=self._destinations.use_backup,
        )
        self._runner = PartRunner(
            config,
            settings,
            account=self._account,
            delivery=self._delivery,
            images=self._images,
            on_media=self._request_manifest,
        )
        self._stop_requested = False
        self._ending = asyncio.Event()
        self._end_reason: EndReason | None = None
        self._storage_error: RecorderError | None = None
        self._adopted = asyncio.Event()

    # ---- what others may ask ------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Finish the recording: the file is completed, the recording is over."""
        self._stop_requested = True
        self._end(EndReason.STOP_REQUESTED)

    def interrupt(self) -> None:
        """Finish the file because this process has to go; a next part may follow."""
        self._destinations.hurry()
        self._delivery.release()
        self._images.release()
        self._end(EndReason.INTERRUPTED)

    def renew_token(self, token: str) -> None:
        """Use a renewed access token from the next join on."""
        self._token = token
        self._runner.renew_token(token)

    def want_streams(self, streams: tuple[StreamTarget, ...]) -> None:
        """Let exactly these streams run from now on."""
        self._account.streams.want(streams)
        self._runner.want_streams()

    def abort(self) -> None:
        """Kill the capture process; what it left is kept."""
        self._end(EndReason.KILLED)
        self._runner.kill()

    # ---- the loop -------------------------------------------------------------------------------------------------

    async def run(self) -> RecorderResult:
        """Record until it is over; return the result, which is on the board as well. Failures are results too."""
        try:
            async with asyncio.TaskGroup() as group:
                self._delivery.begin(group)
                self._images.begin(group)
                watch = group.create_task(self._scratch.run(), name="scratch")
                destinations = group.create_task(self._prepare_destinations(), name="destinations")
                try:
                    verdict = await self._record()
                except RecorderError as error:
                    verdict = verdicts.of_error(error)
                self._ending.set()
                # The details already now: the operator tells an interruption, which the next part follows, by them.
                self._board.update(
                    phase=Phase.ENDING,
                    recording=False,
                    in_room=False,
                    message="uploading",
                    details=verdict.details,
                )
                writer = await destinations
                over = verdict.phase is not Phase.INTERRUPTED
                failures = await self._delivery.finished(over=over)
                missing = await self._images.finished()
                # Images that were lost end nothing that goes on: they are counted, and the next recorder begins anew.
                failures += missing if over else ()
                if self._storage_error is not None:
                    verdict = verdicts.of_error(self._storage_error)
                verdict = verdicts.with_cut_files(verdict, self._delivery.cut)
                holds = self._settings.hold_pause is not None
                lost = self._ledger.unstored() if holds else ()
                verdict = verdicts.with_upload_failures(verdict, failures, lost=lost)
                self._account.settle(verdict)
                if writer is not None:
                    patient = not failures and not self._account.used_backup
                    if not await writer.close(attempts=4 if patient else 1):
                        logger.warning("the last manifest was not written everywhere")
                    self._board.update(manifest_location=writer.location)
                watch.cancel()
        finally:
            self._destinations.close()
            if self._child is not None:
                self._child.discard()
        return self._account.conclude(verdict)

    async def _prepare_destinations(self) -> ManifestWriter | None:
        """Open the destinations and write to them; what they refuse ends the recording at once."""
        destinations = self._destinations
        try:
            await destinations.prepare(
                on_writer=lambda writer: self._board.update(manifest_location=writer.location),
                may_wait=lambda: self._ending.is_set() and self._ledger.has_own_media,
            )
            await self._complete_orphans()
        except RecorderError as error:
            logger.error("a destination cannot be used", extra={"error": str(error)})  # noqa: TRY400 - expected: no traceback
            self._storage_error = error
            self._delivery.give_up()
            self._images.give_up()
            self._end(EndReason.FAILURE, within=_KILL_AFTER_REFUSAL)
            await self._complete_orphans()
            writer = destinations.writer
            self._board.update(manifest_location="" if writer is None else writer.location)
            return writer
        finally:
            self._adopted.set()
        images = len(self._config.outputs) + len(self._config.segments)
        self._delivery.allow(destinations.outputs[:images])
        self._images.allow(destinations.outputs[images:])
        return destinations.writer

    async def _complete_orphans(self) -> None:
        """What a lost recorder had uploaded becomes a file, also where this one cannot go on."""
        if await complete_orphans(self._destinations.outputs, self._ledger):
            self._account.publish()

    async def _record(self) -> Verdict:
        """Run parts until one ends in good order, the end is asked for, or the budget is spent."""
        settings, backoff = self._settings, self._settings.first_backoff
        budget = max(1, self._config.max_parts - self._config.part + 1)
        # A refused destination ends it before the room is joined. The wait is nearly free: meanwhile the capture
        # process imports its libraries. A slow storage must not cost the beginning, so the wait is short.
        patience = settings.probe_head_start if self._config.part == 1 else settings.manifest_patience
        await happens(self._adopted, within=patience)
        if self._storage_error is not None:
            return verdicts.of_error(self._storage_error)
        while True:
            if self._config.streams_alone and (why := self._account.streams.all_failed()):
                # None of them returns, so there is nothing that another part could do.
                return verdicts.of_error(StreamsFailedError(why))
            assert self._child is not None
            child, self._child = self._child, None
            end = await self._runner.run(child, self._token)
            self._account.publish()
            self._request_manifest()
            if (verdict := self._judge(end, budget)) is not None:
                return verdict
            message = (
                "the scratch volume is full: waiting for uploads"
                if end.fills_scratch
                else "resuming after a crash"
            )
            self._board.update(recording=False, degraded="", in_room=False, message=message)
            backoff = settings.first_backoff if end.had_media else min(backoff, settings.longest_backoff)
            await happens(self._ending, within=backoff)
            await self._scratch.wait_for_room(self._ending)
            if self._ending.is_set():
                return self._without_capture()
            backoff *= 2
            self._child = settings.spawn()

    def _judge(self, end: PartEnd, budget: int) -> Verdict | None:
        """Return the verdict after a part, None when a next one is to follow in this process."""
        following = self._ledger.next_number - self._ledger.continued
        spent = self._runner.attempts >= budget or following > self._config.max_parts
        if end.fills_scratch and not spent and self._end_reason is None:
            return None
        if end.ended is not None and (end.in_order or spent or self._end_reason is not None):
            return verdicts.of_ended(
                end.ended, stop_requested=self._stop_requested, earlier_media=self._ledger.has_media
            )
        if self._end_reason is not None:
            return self._without_capture()
        return verdicts.crashed_too_often(self._runner.attempts, end.returncode) if spent else None

    # ---- small steps ----------------------------------------------------------------------------------------------

    def _end(self, reason: EndReason, *, within: float | None = None) -> None:
        """Begin the end; the first reason stays."""
        if self._end_reason is not None:
            return
        self._end_reason = reason
        self._ending.set()
        if self._board.status.phase is Phase.ACTIVE:
            details = f"End reason: {reason.value}"
            self._board.update(phase=Phase.ENDING, recording=False, message=reason.value, details=details)
        self._runner.stop(reason, within=within)

    def _without_capture(self) -> Verdict:
        """The verdict when the end was asked for and no capture process answered it."""
        if self._stop_requested:
            return verdicts.stopped(has_media=self._ledger.has_media)
        return verdicts.interrupted()

    def _request_manifest(self) -> None:
        if self._destinations.writer is not None:
            self._destinations.writer.request()
