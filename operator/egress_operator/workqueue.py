"""Owns the work queue: each key at most once in it, never twice at work at a time, with delays and back-off.

Bounded by the number of recordings (a set, not a list of events): a key that is added while it waits is the same
entry; one that is added while it is at work runs once more afterwards.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from egress_operator.names import Key

_BACKOFF_FIRST = 0.2
_BACKOFF_LIMIT = 60.0


class WorkQueue:
    """Keys to reconcile. All methods belong to the event loop's thread; times are in its seconds."""

    def __init__(self, *, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._ready: deque[Key] = deque()
        self._queued: set[Key] = set()
        self._busy: dict[Key, float] = {}
        self._again: set[Key] = set()
        self._delayed: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._wakeup = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: Key) -> None:
        """Work on the key as soon as a worker is free."""
        self._due.pop(key, None)
        if key in self._busy:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._wakeup.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Work on the key later; an earlier appointment of the same key stays."""
        due = asyncio.get_running_loop().time() + max(0.0, seconds)
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._delayed, (due, key))
            self._wakeup.set()

    def retry(self, key: Key) -> float:
        """Work on the key again after an exponential back-off with jitter. Returns the seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        ceiling = min(_BACKOFF_LIMIT, _BACKOFF_FIRST * 2.0 ** (failures - 1))
        delay = ceiling * (0.5 + self._jitter() / 2)
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: Key) -> None:
        """The back-off begins anew."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """The recording is gone: nothing of it stays here."""
        self._failures.pop(key, None)
        self._due.pop(key, None)

    async def get(self) -> Key | None:
        """Wait for a key and mark it busy until `done`. None: the queue is closed."""
        while not self._closed:
            self._promote()
            if self._ready:
                key = self._ready.popleft()
                self._queued.discard(key)
                self._busy[key] = asyncio.get_running_loop().time()
                if self._ready:
                    self._wakeup.set()
                return key
            self._wakeup.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wakeup.wait(), self._next_delay())
        return None

    def done(self, key: Key) -> None:
        """The worker has finished with the key."""
        self._busy.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """No more work is given out; what is at work ends by itself."""
        self._closed = True
        self._wakeup.set()

    def oldest_busy(self) -> float:
        """Return for how many seconds the oldest key has been at work; 0 when there is none."""
        now = asyncio.get_running_loop().time()
        return max((now - since for since in self._busy.values()), default=0.0)

    def _promote(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._delayed and self._delayed[0][0] <= now:
            due, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                self.add(key)

    def _next_delay(self) -> float | None:
        while self._delayed and self._due.get(self._delayed[0][1]) != self._delayed[0][0]:
            heapq.heappop(self._delayed)
        if not self._delayed:
            return None
        return max(0.0, self._delayed[0][0] - asyncio.get_running_loop().time())
