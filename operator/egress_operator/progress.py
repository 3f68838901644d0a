"""Owns the requests to recorders' HTTP endpoints: progress, the nudge to stop, the acknowledgement. Best effort.

A failed poll never changes a phase: the certain channels are the pod's status (back) and the Secret (forth).
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

import aiohttp

from egress_operator.metrics import Metrics
from egress_operator.model import Poll
from egress_operator.names import Key
from egress_operator.workqueue import WorkQueue
from egress_recorder.contract import CONTROL_PORT, ContractError, DesiredState, RecorderStatus

_LOG = logging.getLogger(__name__)
_WORKERS = 8
_POLLS_PER_SECOND = 100.0
_TIMEOUT = aiohttp.ClientTimeout(total=3, connect=1)
_BACKOFF_LIMIT = 30.0
_NUMBERS_EVERY = 10.0
_NUMBERS_PER_SECOND = 33.0
_NUMBERS_LIMIT = 30.0
_BODY_LIMIT = 1 << 20


@dataclass(slots=True)
class _Target:
    egress_id: str
    poll: Poll
    token: str = ""
    failures: int = 0
    silent_since: float | None = None
    status: RecorderStatus | None = None
    woken_at: float = 0.0
    acknowledged: bool = False


class Poller:
    """Polls the recorders it is told to follow with at most 8 requests at a time."""

    def __init__(
        self, wake: Callable[[Key], None], metrics: Metrics, *, read_token: Callable[[Key], Awaitable[str]]
    ) -> None:
        self._wake = wake
        self._metrics = metrics
        self._read_token = read_token
        self._targets: dict[Key, _Target] = {}
        self._queue = WorkQueue()

    def follow(self, key: Key, egress_id: str, poll: Poll) -> None:
        """Poll this recorder from now on; another pod begins anew."""
        target = self._targets.get(key)
        if target is None or target.poll.pod_uid != poll.pod_uid:
            self._targets[key] = _Target(egress_id, poll)
            self._queue.add(key)
            return
        urgent = poll.interval < target.poll.interval or poll.stop_generation != target.poll.stop_generation
        target.poll = poll
        if urgent or (poll.acknowledge and not target.acknowledged):
            self._queue.add(key)

    def unfollow(self, key: Key) -> None:
        """The recorder is not polled any more and its last word is forgotten."""
        if self._targets.pop(key, None) is not None:
            self._queue.forget(key)

    def latest(self, key: Key) -> tuple[int, RecorderStatus] | None:
        """Return part and the last status of the recorder that is followed."""
        target = self._targets.get(key)
        return (target.poll.part, target.status) if target and target.status else None

    def silent_seconds(self, key: Key) -> float:
        """Return for how long a recorder that had answered before has not done so any more."""
        target = self._targets.get(key)
        return monotonic() - target.silent_since if target and target.status and target.silent_since else 0.0

    async def run(self) -> None:
        """Poll until `close`."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, asyncio.TaskGroup() as tasks:
            for number in range(_WORKERS):
                tasks.create_task(self._worker(session), name=f"poll-{number}")

    def close(self) -> None:
        """End `run`."""
        self._queue.close()

    async def _worker(self, session: aiohttp.ClientSession) -> None:
        while (key := await self._queue.get()) is not None:
            target = self._targets.get(key)
            if target is not None:
                await self._poll(session, key, target)
            self._queue.done(key)
            if target is not None and self._targets.get(key) is target:
                self._queue.add_after(key, self._pause(target))

    def _pause(self, target: _Target) -> float:
        """Return the seconds to the next poll: longer with many recorders, and for one that does not answer."""
        pause = max(target.poll.interval, len(self._targets) / _POLLS_PER_SECOND)
        # The first failures are a recorder that is still starting.
        return min(pause * 2.0 ** min(max(0, target.failures - 5), 10), max(_BACKOFF_LIMIT, pause))

    async def _poll(self, session: aiohttp.ClientSession, key: Key, target: _Target) -> None:
        try:
            if not target.token:
                target.token = await self._read_token(key)
            await self._exchange(session, key, target)
        except Exception as error:  # noqa: BLE001 - best effort: whatever a recorder answers must not end the operator
            self._metrics.polls.labels("error").inc()
            target.failures += 1
            target.silent_since = target.silent_since or monotonic()
            if isinstance(error, aiohttp.ClientResponseError) and error.status in {401, 403}:
                target.token = ""
            _LOG.debug("recorder does not answer", extra={"fields": {"error": type(error).__name__}})
        else:
            self._metrics.polls.labels("ok").inc()
            target.failures = 0
            target.silent_since = None

    async def _exchange(self, session: aiohttp.ClientSession, key: Key, target: _Target) -> None:
        poll = target.poll
        base = f"http://{poll.ip}:{CONTROL_PORT}"
        headers = {"Authorization": f"Bearer {target.token}"}
        async with session.get(f"{base}/v1/status", headers=headers, raise_for_status=True) as response:
            text = await response.content.read(_BODY_LIMIT)
        news = RecorderStatus.parse(text)
        if news.egress_id != target.egress_id:
            raise ContractError("another recorder answers at this address")
        if poll.stop_generation is not None and news.desired_generation < poll.stop_generation:
            wish = DesiredState(generation=poll.stop_generation, desired_state="Stopped")
            await _send(session, "PUT", f"{base}/v1/desired-state", headers, wish.to_json())
        self._take(key, target, news)
        if poll.acknowledge and not target.acknowledged:
            await _send(session, "POST", f"{base}/v1/ack", headers, "{}")
            target.acknowledged = True

    def _take(self, key: Key, target: _Target, news: RecorderStatus) -> None:
        """Wake the recording for a change of state at once, for numbers alone every 10 s, every 30 s with a thousand."""
        before, target.status = target.status, news
        changed = before is None or _state(before) != _state(news)
        pause = min(_NUMBERS_LIMIT, max(_NUMBERS_EVERY, len(self._targets) / _NUMBERS_PER_SECOND))
        if changed or monotonic() - target.woken_at >= pause:
            target.woken_at = monotonic()
            self._wake(key)


async def _send(
    session: aiohttp.ClientSession, method: str, url: str, headers: dict[str, str], body: str
) -> None:
    full = {**headers, "Content-Type": "application/json"}
    async with session.request(method, url, headers=full, data=body, raise_for_status=True):
        pass


def _state(status: RecorderStatus) -> tuple[object, ...]:
    parts = tuple((part.part, part.output, part.location, part.end_reason) for part in status.parts)
    return (
        status.phase,
        status.in_room,
        status.recording,
        status.degraded,
        tuple(sorted(status.troubles.items())),
        status.room_id,
        status.error,
        parts,
        len(status.gaps),
    )


def decode_token(data: str) -> str:
    """Return a token from a Secret's base64 data."""
    return base64.b64decode(data).decode()
