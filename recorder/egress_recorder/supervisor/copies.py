"""Owns how one file gets to all outputs: into each one's storage, and into its backup when that has failed for good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from egress_recorder.begun import BegunUpload
from egress_recorder.errors import MediaError, RecorderError
from egress_recorder.supervisor.outputs import Output
from egress_recorder.upload import Uploaded

logger = logging.getLogger(__name__)

OnDone = Callable[[Output, Uploaded, RecorderError | None], None]
"""Gets the output, what is there, and why it is in the backup storage (None: it is not)."""


async def upload_everywhere(
    outputs: Sequence[Output],
    names: Sequence[str],
    path: Path,
    *,
    on_done: OnDone,
    on_sent: Callable[[int], None],
    begun: Callable[[Output], Awaitable[BegunUpload | None]],
    patient: bool = True,
) -> list[RecorderError]:
    """Upload one file to all outputs at the same time; return the failures, one per output that has no file.

    `begun` gives what was uploaded of it while it grew. `patient`: False tries each storage once.
    """

    async def one(output: Output) -> RecorderError | None:
        name = names[output.index]
        uploader = output.uploader if patient else output.uploader.impatient()
        try:
            uploaded = await uploader.upload(name, path, on_sent=on_sent, begun=await begun(output))
            on_done(output, uploaded, None)
        except RecorderError as error:
            if output.backup is None or isinstance(error, MediaError):
                return error
            return await spare(output, name, error)
        return None

    async def spare(output: Output, name: str, why: RecorderError) -> RecorderError | None:
        assert output.backup is not None
        logger.warning(
            "the storage has failed for good, the file goes to the backup storage",
            extra={"output": output.name, "error": str(why)},
        )
        uploader = output.backup.uploader if patient else output.backup.uploader.impatient()
        try:
            on_done(output, await uploader.upload(name, path, on_sent=on_sent), why)
        except RecorderError as error:
            return type(why)(f"storage: {why}; backup: {error}")
        return None

    return [error for error in await asyncio.gather(*map(one, outputs)) if error is not None]
