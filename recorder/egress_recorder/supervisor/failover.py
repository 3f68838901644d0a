"""Owns where the many objects of one output go now: its storage, or for good its backup storage after that one has failed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from egress_recorder.errors import MediaError, RecorderError
from egress_recorder.supervisor.account import Account
from egress_recorder.supervisor.outputs import Output, Target

logger = logging.getLogger(__name__)

_Sent = TypeVar("_Sent")


class Failover:
    """`target` is where objects go; `store` sends one there."""

    def __init__(
        self, account: Account, output: Output, *, what: str, on_backup: Callable[[Output], None]
    ) -> None:
        """`what` are the objects, for the log; `on_backup` is called once, when the backup storage has taken the first."""
        self._account, self._output, self._what, self._on_backup = account, output, what, on_backup
        self.target = Target(storage=output.storage, uploader=output.uploader)

    @property
    def moved(self) -> bool:
        """True when objects go to the backup storage."""
        return self.target is self._output.backup

    async def store(self, send: Callable[[Target], Awaitable[_Sent]]) -> _Sent:
        """Send one object; what the storage has refused for good goes to the backup storage. Raises RecorderError."""
        try:
            return await send(self.target)
        except RecorderError as error:
            backup = self._output.backup
            if isinstance(error, MediaError) or backup is None or self.moved:
                raise
            logger.warning(
                "the storage has failed for good, %s go to the backup storage from here on",
                self._what,
                extra={"output": self._output.name, "error": str(error)},
            )
            sent = await send(backup)
            self.target = backup
            self._account.backed_up(self._output.name, error)
            self._on_backup(self._output)
            return sent
