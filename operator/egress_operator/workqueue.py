"""Owns the work queue: each key at most once in it, never twice at work at a time, with delays and back-off.

When more is to be done than the workers can do, urgent keys come first, but never without an end: each fourth turn
goes to the others.

Bounded by the number of recordings (a set, not a list of events): a key that is added while it waits is the same
entry; one that is added while it is at work runs once more afterwards.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable

from egress_operator.names import Key

_BACKOFF_FIRST = 0.2
_BACKOFF_LIMIT = 60.0
_OTHERS_EVERY = 4


class WorkQueue:
    """Keys to reconcile. All methods belong to the event loop's thread; times are in its seconds."""

    def __init__(
        self,
        *,
        jitter: Callable[[], float] = random.random,
        is_urgent: Callable[[Key], bool] = lambda _: False,
    ) -> None:
        """``is_urgent`` is asked when a key becomes ready."""
        self._jitter = jitter
        self._is_urgent = is_urgent
        self._ready: deque[Key] = deque()
        self._urgent: deque[Key] = deque()
        self._turns = 0
        self._queued: set[Key] = set()
        self._busy: dict[Key, float] = {}
        self._again: set[Key] = set()
        self._delayed: list[tuple[float, Key]] = []
        self._due: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._ready) + len(self._urgent)

    def add(self, key: Key) -> None:
        """Work on the key as soon as a worker is free."""
        self._due.pop(key, None)
        if key in self._busy:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            (self._urgent if self._is_urgent(key) else self._ready).append(key)
            self._wake_one()

    def add_after(self, key: Key, seconds: float) -> None:
        """Work on the key later; an earlier appointment of the same key stays."""
        due = asyncio.get_running_loop().time() + max(0.0, seconds)
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            heapq.heappush(self._delayed, (due, key))
            self._set_timer()

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
            if self:
                key = self._next()
                self._queued.discard(key)
                self._busy[key] = asyncio.get_running_loop().time()
                return key
            await self._turn()
        return None

    def _next(self) -> Key:
        self._turns += 1
        others_turn = self._turns % _OTHERS_EVERY == 0
        if self._urgent and not (self._ready and others_turn):
            return self._urgent.popleft()
        return self._ready.popleft()

    def done(self, key: Key) -> None:
        """The worker has finished with the key."""
        self._busy.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """No more work is given out; what is at work ends by itself."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiters:
            self._wake_one()

    def oldest_busy(self) -> float:
        """Return for how many seconds the oldest key has been at work; 0 when there is none."""
        now = asyncio.get_running_loop().time()
        return max((now - since for since in self._busy.values()), default=0.0)

    async def _turn(self) -> None:
        """Wait until one key, or the end, is announced to this worker. One key wakes one worker, not all of them."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiters.remove(waiter)
            else:
                # It was this worker's turn already: the next one takes it.
                self._wake_one()
            raise

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _set_timer(self) -> None:
        """Be called when the first appointment is due."""
        while self._delayed and self._due.get(self._delayed[0][1]) != self._delayed[0][0]:
            heapq.heappop(self._delayed)
        if not self._delayed or self._closed:
            return
        due = self._delayed[0][0]
        if self._timer is None or due < self._timer.when():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_at(due, self._promote)

    def _promote(self) -> None:
        self._timer = None
        # Timers are as fine as the clock: what is due within its resolution is due.
        now = asyncio.get_running_loop().time() + 1e-3
        while self._delayed and self._delayed[0][0] <= now:
            due, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                self.add(key)
        self._set_timer()
