"""Owns the recording's destinations from the first second on: opened, probed, their backups probed, the manifest's places."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from egress_recorder.contract import RecorderConfig, Trouble
from egress_recorder.errors import RecorderError, UnreachableError
from egress_recorder.manifest import ManifestPlace, ManifestWriter
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.outputs import Deadlines, Output, backup_place, manifest_places, open_outputs
from egress_recorder.supervisor.probing import probe_backup, probe_destinations
from egress_recorder.supervisor.settings import Settings

logger = logging.getLogger(__name__)


class Destinations:
    """Opens and probes; `outputs` and `writer` are there after `prepare`."""

    def __init__(self, config: RecorderConfig, settings: Settings, account: Account) -> None:
        self._config = config
        self._settings = settings
        self._account = account
        self._deadlines = Deadlines()
        self._backups: dict[str, asyncio.Task[RecorderError | None]] = {}
        self.outputs: Sequence[Output] = ()
        self.writer: ManifestWriter | None = None

    def hurry(self) -> None:
        """The process has to go: what is uploaded is uploaded before SIGKILL or never."""
        if self._config.termination_grace is not None:
            self._deadlines.hurry(self._config.termination_grace)

    async def prepare(
        self, *, on_writer: Callable[[ManifestWriter], None], may_wait: Callable[[], bool]
    ) -> None:
        """Open the outputs and write to them. Raises RecorderError for what ends the recording; `outputs` are then those
        that answer, `writer` is None where no manifest is.

        One that does not answer ends it too, for its address may be wrong; but not when its backup storage answers, nor
        when an earlier part has media (its address was right), nor when the recording is over already and there is
        media to keep (`may_wait`): then the upload goes on trying for its own, longer time.
        """
        settings, wanted = self._settings, self._config.upload_timeout
        self.outputs = await open_outputs(
            self._config,
            credentials_root=settings.credentials_root,
            volumes_root=settings.volumes_root,
            policy=settings.retry if wanted is None else replace(settings.retry, total=wanted),
            deadlines=self._deadlines,
        )
        writer = ManifestWriter(manifest_places(self._config, self.outputs), self._account.manifest)
        on_writer(writer)
        for output in self.outputs:
            if output.backup is not None:
                self._backups[output.name] = asyncio.create_task(self._probe_backup(output))
        try:
            await probe_destinations(
                writer,
                on_earlier=self._account.adopt,
                patience=settings.probe_patience,
                spared=self._is_spared,
            )
        except RecorderError as error:
            waits = may_wait() or self._config.prior.started_at is not None
            if not (waits and isinstance(error, UnreachableError)):
                self._refused(writer)
                raise
            logger.warning("a destination does not answer yet, the upload goes on trying")
        self.writer = writer
        writer.start()
        writer.request()

    def _refused(self, writer: ManifestWriter) -> None:
        """Keep what answers: an earlier recorder's media there, and the manifest, which must tell the end."""
        silent = {name for place in writer.faults for name in place.sharers}
        self.outputs = [output for output in self.outputs if output.name not in silent]
        self.writer = writer if writer.give_up_refused() else None

    def use_backup(self, output: Output) -> None:
        """A file went to the output's backup storage: the manifest goes there as well."""
        if self.writer is not None:
            self.writer.add(backup_place(self._config, output))

    def close(self) -> None:
        """Nobody needs to know any more whether the backups answer."""
        for task in self._backups.values():
            task.cancel()

    async def _is_spared(self, place: ManifestPlace, fault: RecorderError) -> bool:
        """A refused destination is corrected before there is media to lose; later the backup is worth more."""
        if not isinstance(fault, UnreachableError) and self._config.part == 1:
            return False
        backups = [self._backups.get(name) for name in place.sharers]
        for task in backups:
            if task is None or await asyncio.shield(task) is not None:
                return False
        logger.warning(
            "a destination cannot be used and its backup storage can: the recording goes on",
            extra={"output": place.name, "error": str(fault)},
        )
        return bool(backups)

    async def _probe_backup(self, output: Output) -> RecorderError | None:
        error = await probe_backup(backup_place(self._config, output), patience=self._settings.probe_patience)
        if error is not None:
            logger.warning(
                "a backup storage cannot be used", extra={"output": output.name, "error": str(error)}
            )
            self._account.report(
                Trouble.BACKUP_UNUSABLE,
                f"the backup storage could not be written at the start; the recording goes on without it: {error}",
            )
        return error
