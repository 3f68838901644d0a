"""Owns the finalizer process: turns the file that a crashed capture left into a clean one."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from egress_recorder.redact import redact
from egress_recorder.supervisor.process import OWN_CHILDREN, child_environment
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)

_SECONDS = 120.0
_BYTES_PER_SECOND = 5_000_000
"""A remux reads and writes the whole file; a slow network disk does this much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """What was left of a part. `duration` None: the finalizer failed too, the file is as the crash left it."""

    path: Path
    duration: float | None
    frames: int = 0


async def salvage(path: Path, *, command: Sequence[str], room: int) -> Salvaged | None:
    """Return the file to upload in place of `path`; None when it holds no media at all.

    `room`: bytes that a clean copy may take. Without enough the file stays as it is.
    """
    size = await in_thread("stat", lambda: path.stat().st_size if path.exists() else 0)
    if not size:
        return None
    if size > room:
        logger.warning("no room for a finalised copy, the file is kept as it is", extra={"size": size})
        return Salvaged(path=path, duration=None)
    clean = path.with_name(f"{path.stem}.final{path.suffix}")
    process = await asyncio.create_subprocess_exec(
        *command,
        str(path),
        str(clean),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=child_environment(os.environ),
    )
    OWN_CHILDREN.add(process.pid)
    try:
        async with asyncio.timeout(_SECONDS + size / _BYTES_PER_SECOND):
            output, errors = await process.communicate()
    except TimeoutError:
        output, errors = b"", b"it took too long"
        process.kill()
        await process.wait()
    except asyncio.CancelledError:
        process.kill()
        raise
    finally:
        OWN_CHILDREN.discard(process.pid)
    report = _report(output) if process.returncode == 0 else None
    if report is None or not await in_thread("stat", clean.exists):
        # Never thrown away: fragments play as they are in most players.
        logger.error(
            "the finalizer failed, the file is kept as it is",
            extra={
                "returncode": process.returncode,
                "stderr": redact(errors.decode(errors="replace"))[-2000:],
            },
        )
        return Salvaged(path=path, duration=None)
    duration, frames = report
    if duration <= 0:
        return None
    await in_thread("remove", lambda: path.unlink(missing_ok=True))
    return Salvaged(path=clean, duration=duration, frames=frames)


def _report(output: bytes) -> tuple[float, int] | None:
    try:
        document = json.loads(output.strip().splitlines()[-1])
        return float(document["duration"]), int(document["frames"])
    except (ValueError, LookupError, TypeError):
        return None
