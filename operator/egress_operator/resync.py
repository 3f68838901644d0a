"""Owns the periodic resync: everything is listed and looked at again, which heals whatever a watch has lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from time import monotonic

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
_PATIENCE = 60.0
"""Seconds that definitions and rights may come after the operator, as they do when all is applied at once."""
_PARTLY = 15.0
"""Seconds after which the operator begins with one kind only."""
_LOOK_AGAIN = 5.0


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
        self.served = tuple(RECORDINGS)

    async def check_definitions(self, *, patience: float = _PATIENCE, partly: float = _PARTLY) -> None:
        """Wait until both kinds can be read, for a while only; then `served` has the one that can.

        One without the other happens when the definitions are being deleted: what still records has to end in good
        order. Raises StartupError when neither is there for long. Times in seconds.
        """
        begun = monotonic()
        while problems := await self._problems(tuple(RECORDINGS)):
            waited = monotonic() - begun
            self.served = tuple(kind for kind in RECORDINGS if kind not in problems)
            if self.served and waited >= partly:
                return
            if waited >= patience:
                raise StartupError("; ".join(problems.values()))
            _LOG.warning(
                "the cluster is not ready for the operator", extra={"fields": {"problems": problems}}
            )
            await asyncio.sleep(_LOOK_AGAIN)
        self.served = tuple(RECORDINGS)

    async def has_more(self) -> bool:
        """Return True when a kind that is not served can be read now."""
        absent = tuple(kind for kind in RECORDINGS if kind not in self.served)
        return bool(absent) and len(await self._problems(absent)) < len(absent)

    async def _problems(self, kinds: tuple[str, ...]) -> dict[str, str]:
        problems = {}
        for kind in kinds:
            resource = RECORDINGS[kind]
            try:
                async for _ in self._kube.list(resource, self._namespaces()[0]):
                    break
            except ApiError as error:
                if error.status not in {403, 404}:
                    raise
                problems[kind] = (
                    f"the cluster does not know {kind}: apply crds/ of this release"
                    if error.status == 404
                    else f"the operator may not list {resource.plural}: {error.message}"
                )
        return problems

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
        for kind in self.served:
            async for body in self._bodies(RECORDINGS[kind]):
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
