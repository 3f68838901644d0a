"""Owns the recorder's status as others see it: one value, a sequence number, and those who wait for the next one."""

from __future__ import annotations

import asyncio
from typing import Any

from egress_recorder.contract import CONTRACT_VERSION, RecorderStatus


class StatusBoard:
    """Holds the newest status. Used from the event loop only; readers may miss steps, never the last one."""

    def __init__(self, egress_id: str, *, contract_version: int = CONTRACT_VERSION) -> None:
        self._status = RecorderStatus(contract_version=contract_version, egress_id=egress_id, sequence=1)
        self._changed = asyncio.Event()

    @property
    def status(self) -> RecorderStatus:
        """The newest status."""
        return self._status

    def update(self, **changes: Any) -> None:
        """Replace fields; the sequence grows only when one of them really changed."""
        changed = {name: value for name, value in changes.items() if getattr(self._status, name) != value}
        if not changed:
            return
        self._status = self._status.model_copy(update={**changed, "sequence": self._status.sequence + 1})
        waiters, self._changed = self._changed, asyncio.Event()
        waiters.set()

    async def after(self, sequence: int, timeout: float) -> RecorderStatus:  # noqa: ASYNC109 - the long poll's own parameter
        """Return the first status newer than `sequence`, or the present one after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._status.sequence <= sequence:
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self._status
