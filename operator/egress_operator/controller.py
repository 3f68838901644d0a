"""Owns the loop: key in, observe, plan, act, write status once. Decides nothing itself.

Every step may be repeated after a crash: names are deterministic, "already exists" and "not found" are values, and
the status is written with its resourceVersion, so that a second operator does no harm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter

from egress_operator import events, status, views
from egress_operator.actions import Actions, Refusal
from egress_operator.errors import ApiError
from egress_operator.kube import RECORDINGS, Kube, Outcome
from egress_operator.metrics import Metrics
from egress_operator.model import Document, Observed, Plan, RemoveFinalizer
from egress_operator.names import Key, egress_id
from egress_operator.observe import Observer
from egress_operator.plan import plan, refuse
from egress_operator.progress import Poller
from egress_operator.rooms import RoomWatch
from egress_operator.seen import Seen
from egress_operator.webhooks import Webhooks
from egress_operator.workqueue import WorkQueue

_LOG = logging.getLogger(__name__)


class Controller:
    """Reconciles one key at a time per worker."""

    def __init__(  # noqa: PLR0913 - the parts it drives, all by keyword
        self,
        *,
        kube: Kube,
        seen: Seen,
        queue: WorkQueue,
        observer: Observer,
        actions: Actions,
        poller: Poller,
        rooms: RoomWatch,
        webhooks: Webhooks,
        metrics: Metrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._kube = kube
        self._seen = seen
        self._queue = queue
        self._observer = observer
        self._actions = actions
        self._poller = poller
        self._rooms = rooms
        self._webhooks = webhooks
        self._metrics = metrics
        self._clock = clock

    async def work(self) -> None:
        """Reconcile until the queue is closed; whatever goes wrong with one recording is tried again later."""
        while (key := await self._queue.get()) is not None:
            started = perf_counter()
            try:
                outcome = await self._reconcile(key)
            except ApiError as error:
                outcome = "error"
                _LOG.warning("request failed", extra={"fields": {**_fields(key), "error": str(error)}})
            except Exception:  # noqa: BLE001 - one recording must not end the operator
                outcome = "fault"
                _LOG.exception("reconcile failed", extra={"fields": _fields(key)})
            if outcome == "conflict":
                _LOG.debug("observation was outdated", extra={"fields": _fields(key)})
            if outcome in {"error", "fault", "conflict"}:
                self._seen.mark_stale(key)
                self._queue.retry(key)
            else:
                self._queue.succeeded(key)
            self._queue.done(key)
            self._metrics.reconciles.labels(outcome).inc()
            self._metrics.reconcile_seconds.observe(perf_counter() - started)

    async def _reconcile(self, key: Key) -> str:
        now = self._clock()
        live = self._seen.take_stale(key)
        if self._seen.body(key) is None and not live:
            # Deleted, or over and tidied: whoever has work to do puts the body there first.
            self._forget(key)
            return "gone"
        observed = await self._observer.observe(key, now=now, live=live)
        made = plan(observed, now=now) if observed else Plan()
        if made.look_closer:
            observed = await self._observer.observe(key, now=now, live=True)
            made = plan(observed, now=now) if observed else Plan()
        if observed is None:
            self._forget(key)
            return "gone"
        return await self._carry_out(observed, made, now)

    async def _carry_out(self, observed: Observed, made: Plan, now: datetime) -> str:
        key = observed.recording.key
        try:
            for action in made.before:
                if not await self._actions.do(observed, action):
                    return "conflict"
        except Refusal as refusal:
            made = refuse(observed, refusal.reason, now=now)
        if made.status is not None and not await self._write(observed, made.status):
            return "conflict"
        if made.event is not None:
            await events.post(self._kube, observed.recording, made.event)
        for notice in made.notices:
            await events.post(self._kube, observed.recording, notice)
        for action in made.after:
            if not await self._actions.do(observed, action):
                return "conflict"
        self._follow(observed, made)
        if made.requeue is not None:
            self._queue.add_after(key, made.requeue)
        return "ok"

    async def _write(self, observed: Observed, document: Document) -> bool:
        """Write the status against the version it was made from. False: somebody else wrote in between."""
        recording = observed.recording
        key, terminal = recording.key, status.is_terminal(document)
        changed = document["phase"] != recording.status.get("phase")
        if terminal and changed:
            self._actions.crash("before-final-status")
        body = self._seen.body(key)
        if body is not None and (body.get("status") or {}) != recording.status:
            # A second operator: its word came in by the watch while we were acting on the one before.
            return False
        # Our own finalizer may have made the object newer than the observation.
        version = body["metadata"]["resourceVersion"] if body else recording.resource_version
        patch = {
            "metadata": {"resourceVersion": version},
            "status": status.merge_patch(recording.status, document),
        }
        resource = RECORDINGS[key.kind]
        answer = await self._kube.patch(resource, key.namespace, key.name, patch, subresource="status")
        if isinstance(answer, Outcome):
            return False
        self._seen.put(key, answer)
        if changed:
            fields = {**_fields(key), "phase": document["phase"], "egressId": document["egressId"]}
            _LOG.info("phase changed", extra={"fields": fields})
            if terminal:
                self._metrics.finished.labels(document["phase"]).inc()
                self._metrics.backed_up.inc(bool(document.get("backupStorageUsed")))
        return True

    def _follow(self, observed: Observed, made: Plan) -> None:
        key = observed.recording.key
        over = status.is_terminal(observed.recording.status) and not observed.recording.has_finalizer
        if over or RemoveFinalizer() in made.after:
            # All were told; of a deleted recording the status does not say so any more.
            self._webhooks.forget(key)
        else:
            shown = made.status or observed.recording.status
            self._webhooks.offer(observed.recording, shown, observed.receivers)
        if made.poll is not None:
            self._poller.follow(key, egress_id(observed.recording.uid), made.poll)
        elif made.status is None or "podName" not in made.status or status.is_terminal(made.status):
            self._poller.unfollow(key)

    def _forget(self, key: Key) -> None:
        self._seen.drop(key)
        self._poller.unfollow(key)
        self._rooms.forget(key)
        self._webhooks.forget(key)
        self._queue.forget(key)


def _fields(key: Key) -> dict[str, str]:
    return {"kind": key.kind, "namespace": key.namespace, "name": key.name}


def is_settled(key: Key, body: Document) -> bool:
    """Return True for a recording that needs nothing more: over, tidied, its last change noticed, no end of its own."""
    recording = views.recording(key.kind, body)
    seen = recording.status.get("observedGeneration", 0) >= recording.generation
    expires = (body.get("spec") or {}).get("ttlSecondsAfterFinished") is not None
    return status.is_terminal(recording.status) and not recording.has_finalizer and seen and not expires
