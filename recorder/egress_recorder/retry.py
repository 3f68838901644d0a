"""Owns how long and how often an upload is tried again. Pure but for its jitter."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from egress_recorder.errors import AuthorizationError, RecorderError, UnreachableError


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
