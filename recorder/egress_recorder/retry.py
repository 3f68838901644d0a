"""Owns how long and how often an upload is tried again, and the end of all patience when the process has to go."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from egress_recorder.errors import AuthorizationError, RecorderError, UnreachableError
from egress_recorder.waiting import happens


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long, in seconds, an upload is tried again."""

    total: float = 3600.0
    """While the storage does not answer."""
    refused: float = 150.0
    """While it refuses the credentials: a rotated Secret reaches the pod after up to 90 s."""
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def allowance(self, error: RecorderError) -> float:
        """Return for how long after the first fault this kind of error is tried again."""
        if isinstance(error, UnreachableError):
            return self.total
        return min(self.refused, self.total) if isinstance(error, AuthorizationError) else 0.0

    def pauses(self) -> Iterator[float]:
        """Yield pauses that double, each with jitter of half its length."""
        pause = self.first_pause
        while True:
            yield pause * random.uniform(0.5, 1.0)
            pause = min(pause * 2, self.longest_pause)


class Deadline:
    """A moment after which nothing is tried again, once somebody has set it. Loop time; one per kind of storage."""

    def __init__(self) -> None:
        self._at = math.inf
        self._set = asyncio.Event()

    def within(self, seconds: float) -> None:
        """Set it; a later moment does not replace an earlier one."""
        self._at = min(self._at, asyncio.get_running_loop().time() + seconds)
        self._set.set()

    @property
    def at(self) -> float:
        """The moment, infinity while there is none."""
        return self._at

    async def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the moment at which the deadline is set: what is left of the time counts then."""
        if self._set.is_set():
            await asyncio.sleep(seconds)
            return
        await happens(self._set, within=seconds)
