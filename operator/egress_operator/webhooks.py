"""Owns the delivery of events: per recording and receiver one lane, in order, with back-off and an end.

A lane's queue is what `status.webhooks.events` holds beyond the receiver's place: at most 8 events, the oldest
`egress_updated` goes first. Lanes do not wait for each other, but at most 4 requests at a time go to one origin. Nothing
is kept here that the status does not bring back: after a crash what was not noted is sent again, with the same id.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from egress_operator import webhook_event, webhook_log
from egress_operator.metrics import Metrics
from egress_operator.model import PhaseEvent, Recording
from egress_operator.names import Key
from egress_operator.webhook_model import Answer, Delivered, Entry, Receiver

_LOG = logging.getLogger(__name__)
ANSWERS_LIMIT = 10
"""So many answers that are not 2xx to one event, and it is given up: its receiver is there and does not want it."""
PER_ORIGIN = 4
_BACKOFF_FIRST = 1.0
_BACKOFF_LIMIT = 60.0

Tell = Callable[[Recording, PhaseEvent], Awaitable[None]]


class _Sends(Protocol):
    async def send(
        self, recording: Recording, receiver: Receiver, body: bytes, *, sequence: int, event_id: str
    ) -> Answer: ...


@dataclass(slots=True, eq=False)
class _Lane:
    """`recording` and `status` are the newest that was offered."""

    receiver: Receiver
    recording: Recording
    status: Mapping[str, Any]
    done: Delivered
    missed: int = 0
    told: bool = False
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def next(self) -> Entry | None:
        waiting = webhook_log.waiting(self.status, self.done)
        return waiting[0] if waiting else None


class Webhooks:
    """Delivers what it is offered. All methods belong to the event loop's thread."""

    def __init__(
        self,
        poster: _Sends,
        metrics: Metrics,
        *,
        wake: Callable[[Key], None],
        tell: Tell,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``wake`` is called when a finished recording has no event left; ``tell`` posts an Event about a recording."""
        self._poster = poster
        self._metrics = metrics
        self._wake = wake
        self._tell = tell
        self._clock = clock
        self._lanes: dict[str, dict[str, _Lane]] = {}
        self._uids: dict[Key, str] = {}
        self._origins: dict[str, tuple[asyncio.Semaphore, int]] = {}

    def offer(self, recording: Recording, status: Mapping[str, Any], receivers: Sequence[Receiver]) -> None:
        """Deliver what the status says is waiting; called with each new status."""
        if not receivers or "webhooks" not in status:
            return
        if self._uids.get(recording.key) != recording.uid:
            # Another resource of the same name: the one before is gone.
            self.forget(recording.key)
            self._uids[recording.key] = recording.uid
        lanes = self._lanes.setdefault(recording.uid, {})
        for receiver in receivers:
            lane = lanes.get(receiver.id)
            if lane is None:
                done = webhook_log.delivered(status, {}, receiver.id)
                if not webhook_log.waiting(status, done):
                    continue
                lane = lanes[receiver.id] = _Lane(receiver, recording, status, done)
            if recording.deleting and _stage(recording, status) != _stage(lane.recording, lane.status):
                lane.hurry.set()
            lane.recording, lane.status = recording, status
            if lane.task is None and lane.next() is not None:
                lane.task = asyncio.create_task(self._work(lane), name=f"webhook-{receiver.id}")
                self._metrics.webhook_queue.inc()

    def delivered(self, uid: str) -> dict[str, Delivered]:
        """Return how far the receivers of a recording have got."""
        return {name: lane.done for name, lane in self._lanes.get(uid, {}).items()}

    def forget(self, key: Key) -> None:
        """The recording is gone, or over and told: what still waits is dropped."""
        for lane in self._lanes.pop(self._uids.pop(key, ""), {}).values():
            if lane.task is not None:
                lane.task.cancel()

    async def close(self) -> None:
        """End all lanes; what waits is sent by the next operator."""
        tasks = [lane.task for lanes in self._lanes.values() for lane in lanes.values() if lane.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, lane: _Lane) -> None:
        try:
            while (entry := lane.next()) is not None:
                # Events in between that went by when too many waited.
                lane.missed += entry["sequence"] - lane.done.sequence - 1
                if not lane.receiver.wants(entry["event"]):
                    lane.done = Delivered(entry["sequence"], lane.done.dropped, lane.done.message)
                    continue
                await self._deliver(lane, entry)
        finally:
            lane.task = None
            self._metrics.webhook_queue.dec()
        if webhook_log.is_over(lane.status):
            self._wake(lane.recording.key)

    async def _deliver(self, lane: _Lane, entry: Entry) -> None:
        """Try until the event is taken or its time is over; at least once, also after a long stop of the operator."""
        identity = webhook_event.event_id(lane.recording.uid, entry["sequence"])
        try:
            body = webhook_event.body(lane.recording, lane.status, entry, missed=lane.missed)
        except Exception:  # noqa: BLE001 - what cannot be told must not keep the finalizer for ever
            _LOG.exception("webhook cannot be made", extra={"fields": _fields(lane)})
            await self._give_up(lane, entry, Answer("the event cannot be made: the operator's log says why"))
            return
        answers = tries = 0
        while True:
            answer = await self._attempt(lane, body, entry["sequence"], identity)
            if not answer.message:
                lane.done, lane.missed = Delivered(entry["sequence"], lane.done.dropped, lane.done.message), 0
                return
            tries, answers = tries + 1, answers + answer.answered
            until = webhook_log.give_up_at(entry, lane.status, deleting=lane.recording.deleting)
            left = (until - self._clock()).total_seconds()
            if answers >= ANSWERS_LIMIT or left <= 0:
                await self._give_up(lane, entry, answer)
                return
            pause = min(_BACKOFF_LIMIT, _BACKOFF_FIRST * 2.0 ** (tries - 1)) * (0.75 + random.random() / 4)
            lane.hurry.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(lane.hurry.wait(), min(pause, left))

    async def _attempt(self, lane: _Lane, body: bytes, sequence: int, identity: str) -> Answer:
        async with self._turn(lane.receiver.origin):
            try:
                answer = await self._poster.send(
                    lane.recording, lane.receiver, body, sequence=sequence, event_id=identity
                )
            except Exception:  # noqa: BLE001 - one receiver must not end the operator
                _LOG.exception("webhook not sent", extra={"fields": _fields(lane)})
                answer = Answer("the event cannot be sent: the operator's log says why", answered=True)
        self._metrics.webhooks.labels("failed" if answer.message else "delivered").inc()
        if answer.message:
            fields = {**_fields(lane), "id": identity, "problem": answer.message}
            _LOG.info("webhook not taken", extra={"fields": fields})
        return answer

    async def _give_up(self, lane: _Lane, entry: Entry, answer: Answer) -> None:
        lane.done = Delivered(entry["sequence"], lane.done.dropped + 1, answer.message)
        lane.missed += 1
        self._metrics.webhooks.labels("dropped").inc()
        _LOG.warning("webhook given up", extra={"fields": {**_fields(lane), "problem": answer.message}})
        if not lane.told:
            lane.told = True
            message = f"{entry['event']} was given up for a receiver of webhooks: {answer.message}"
            await self._tell(lane.recording, PhaseEvent("Warning", "WebhookDropped", message))

    def _turn(self, origin: str) -> _Turn:
        return _Turn(self._origins, origin)


class _Turn:
    """One of the few places that an origin has; who waits for one waits for nobody else's receiver."""

    def __init__(self, origins: dict[str, tuple[asyncio.Semaphore, int]], origin: str) -> None:
        self._origins, self._origin = origins, origin

    async def __aenter__(self) -> None:
        semaphore, users = self._origins.get(self._origin, (asyncio.Semaphore(PER_ORIGIN), 0))
        self._origins[self._origin] = (semaphore, users + 1)
        try:
            await semaphore.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._origins[self._origin][0].release()
        self._leave()

    def _leave(self) -> None:
        semaphore, users = self._origins[self._origin]
        if users == 1:
            del self._origins[self._origin]
        else:
            self._origins[self._origin] = (semaphore, users - 1)


def _stage(recording: Recording, status: Mapping[str, Any]) -> tuple[bool, bool]:
    """What a deletion's patience depends on."""
    return recording.deleting, webhook_log.is_over(status)


def _fields(lane: _Lane) -> dict[str, str]:
    key = lane.recording.key
    return {
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
        "receiver": lane.receiver.id,
        "origin": lane.receiver.origin,
    }
