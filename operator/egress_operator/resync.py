"""Owns the periodic resync: everything is listed and looked at again, which heals whatever a watch has lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable

from egress_operator import names, views
from egress_operator.errors import ApiError, StartupError
from egress_operator.kube import JOBS, PODS, RECORDINGS, Kube, Resource
from egress_operator.metrics import Metrics
from egress_operator.model import Document, JobView, PodView
from egress_operator.names import Key
from egress_operator.seen import Seen
from egress_operator.settings import Settings
from egress_operator.workqueue import WorkQueue

_LOG = logging.getLogger(__name__)


class Resync:
    """Lists in pages; the number of calls does not depend on the number of recordings."""

    def __init__(
        self,
        settings: Settings,
        *,
        kube: Kube,
        seen: Seen,
        queue: WorkQueue,
        metrics: Metrics,
        is_settled: Callable[[Key, Document], bool],
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._seen = seen
        self._queue = queue
        self._metrics = metrics
        self._is_settled = is_settled

    async def check_definitions(self) -> None:
        """Read both kinds once. Raises StartupError when a CRD is missing or may not be read."""
        for kind, resource in RECORDINGS.items():
            try:
                async for _ in self._kube.list(resource, self._namespaces()[0]):
                    break
            except ApiError as error:
                if error.status == 404:
                    raise StartupError(
                        f"the cluster does not know {kind}: apply crds/ of this release before the operator starts"
                    ) from None
                if error.status == 403:
                    raise StartupError(
                        f"the operator may not list {resource.plural}: {error.message}"
                    ) from None
                raise

    async def run(self) -> None:
        """Resync for ever; a failure is logged and tried again at the next turn."""
        while True:
            await asyncio.sleep(self._settings.resync_seconds * (0.9 + random.random() / 5))
            try:
                await self.once()
            except ApiError as error:
                _LOG.warning("resync failed", extra={"fields": {"error": str(error)}})

    async def once(self) -> None:
        """List recordings, Jobs and pods and queue every recording that is not settled."""
        before = set(self._seen.recordings())
        present: set[Key] = set()
        phases: Counter[str] = Counter()
        for kind, resource in RECORDINGS.items():
            async for body in self._bodies(resource):
                key = Key(kind, body["metadata"]["namespace"], body["metadata"]["name"])
                present.add(key)
                phases[(body.get("status") or {}).get("phase", "Pending")] += 1
                if not self._is_settled(key, body):
                    self._seen.put(key, body)
        await self._refresh_children(present)
        for key in before - present:
            # A lost DELETED event: the reconciliation finds it gone and forgets it.
            self._seen.mark_stale(key)
            self._queue.add(key)
        for key in self._seen.recordings():
            self._queue.add(key)
        for phase in (
            "Pending",
            "Starting",
            "Active",
            "Ending",
            "Complete",
            "Failed",
            "Aborted",
            "LimitReached",
        ):
            self._metrics.recordings.labels(phase).set(phases[phase])

    async def _refresh_children(self, present: set[Key]) -> None:
        uids = {body["metadata"]["uid"] for key in present if (body := self._seen.body(key))}
        known = {uid: self._seen.snapshot(uid) for uid in uids}
        jobs: dict[str, list[JobView]] = defaultdict(list)
        pods: dict[str, list[PodView]] = defaultdict(list)
        async for body in self._bodies(JOBS, labels=names.CHILD_SELECTOR):
            jobs[views.owner_uid(body)].append(views.job(body))
        async for body in self._bodies(PODS, labels=names.CHILD_SELECTOR):
            pods[views.owner_uid(body)].append(views.pod(body))
        for uid in uids:
            self._seen.replace_children(uid, jobs=jobs[uid], pods=pods[uid], known=known[uid])

    async def _bodies(self, resource: Resource, labels: str = "") -> AsyncIterator[Document]:
        for namespace in self._namespaces():
            async for body in self._kube.list(resource, namespace, labels=labels):
                yield body

    def _namespaces(self) -> tuple[str, ...]:
        return self._settings.watch_namespaces or ("",)
