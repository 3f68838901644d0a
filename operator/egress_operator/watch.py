"""Owns kopf: it tells when to look and nothing else. No change handlers, daemons, timers or indexes.

Handlers put what they were shown into `Seen` and the recording's key into the work queue; they do no I/O.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import kopf

from egress_operator import names, views
from egress_operator.errors import StartupError
from egress_operator.model import Document
from egress_operator.names import Key
from egress_operator.seen import Seen
from egress_operator.settings import Settings

_LOG = logging.getLogger(__name__)
_BACKOFF_LIMIT = 30.0
_WATCHER = "watcher for "
"""How kopf 1.45 names the tasks of its watches."""
WATCH_ENDED = (
    "a watch of the API server has ended: the definitions of crds/ or the operator's rights were taken away;"
    " it has to be started anew"
)
_GUARD_EVERY = 5.0


class _EndlessBackoffs:
    """Jittered, re-iterable, without end: an API server that is away must not end the operator."""

    def __iter__(self) -> Iterator[float]:
        delay = 1.0
        while True:
            yield delay * (0.5 + random.random() / 2)
            delay = min(_BACKOFF_LIMIT, delay * 2)


class _NoDifferences(kopf.DiffBaseStorage):  # type: ignore[misc]  # kopf's types are not followed
    """Tells kopf that nothing has ever changed: it would copy every object of every event to find out what has.

    Only its change handlers, daemons and timers would ask, and there are none.
    """

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return


class Watch:
    """Watches both kinds, and our Jobs and pods by label."""

    def __init__(
        self,
        settings: Settings,
        seen: Seen,
        *,
        wake: Callable[[Key], None],
        is_settled: Callable[[Key, Document], bool],
        kinds: Sequence[str] = tuple(names.PLURALS),
    ) -> None:
        self._settings = settings
        self._seen = seen
        self._wake = wake
        self._is_settled = is_settled
        self._kinds = kinds

    async def run(self, *, ready: asyncio.Event, stop: asyncio.Event) -> None:
        """Watch until `stop` is set. Raises when the credentials are refused."""
        namespaces = self._settings.watch_namespaces
        await kopf.operator(
            registry=self._registry(),
            settings=_kopf_settings(),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            # Given, because kopf would ask for the user's name, and a container's user has none.
            identity="egress-operator",
            ready_flag=ready,
            stop_flag=stop,
        )

    async def guard(self, ready: asyncio.Event, *, has_more: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the watches are not the right ones any more. Raises StartupError then; never returns.

        kopf logs one that has died, and may go on without: definitions that were deleted (404) or rights that were
        taken away (403) would leave an operator that sees nothing, also when they are back. `has_more`: whether a
        definition that was missing at the start is there now.
        """
        await ready.wait()
        complete = False
        wanted = (len(self._kinds) + 2) * max(1, len(self._settings.watch_namespaces))
        while True:
            await asyncio.sleep(_GUARD_EVERY)
            alive = sum(task.get_name().startswith(_WATCHER) for task in asyncio.all_tasks())
            if complete and alive < wanted:
                raise StartupError(WATCH_ENDED)
            if len(self._kinds) < len(names.PLURALS) and await has_more():
                raise StartupError(
                    "a definition of crds/ that was missing is there now: starting anew with it"
                )
            complete = complete or alive >= wanted

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        login = kopf.login_with_kubeconfig if self._settings.kubeconfig else kopf.login_with_service_account
        kopf.on.login(registry=registry)(login)
        for kind in self._kinds:
            plural = names.PLURALS[kind]
            kopf.on.event(names.GROUP, names.VERSION, plural, registry=registry, id=plural)(
                self._on_recording(kind)
            )
        kopf.on.event("batch", "v1", "jobs", registry=registry, id="jobs")(self._on_job)
        kopf.on.event("", "v1", "pods", registry=registry, id="pods")(self._on_pod)
        return registry

    def _on_recording(self, kind: str) -> Callable[..., Any]:
        async def handler(*, type: str | None, body: Any, **_: Any) -> None:  # noqa: A002 - kopf's name
            document = _plain(body)
            metadata = document["metadata"]
            key = Key(kind, metadata["namespace"], metadata["name"])
            if type == "DELETED":
                self._seen.drop(key)
                self._wake(key)
            elif self._is_settled(key, document):
                self._seen.drop(key)
            elif self._seen.put(key, document):
                self._wake(key)

        return handler

    async def _on_job(self, *, type: str | None, body: Any, **_: Any) -> None:  # noqa: A002 - kopf's name
        document = _plain(body)
        uid = views.owner_uid(document)
        if uid and self._seen.put_job(uid, views.job(document), gone=type == "DELETED"):
            self._wake_owner(document)

    async def _on_pod(self, *, type: str | None, body: Any, **_: Any) -> None:  # noqa: A002 - kopf's name
        document = _plain(body)
        uid = views.owner_uid(document)
        if uid and self._seen.put_pod(uid, views.pod(document, gone=type == "DELETED")):
            self._wake_owner(document)

    def _wake_owner(self, document: Document) -> None:
        key = views.owner_key(document)
        # Children of finished recordings change on (TTL, deletion): nobody is waiting for that.
        if key is not None and self._seen.body(key) is not None:
            self._wake(key)


def _plain(body: Any) -> Document:
    """Kopf's body is a view over the raw dict."""
    return {key: body[key] for key in body}


def _kopf_settings() -> kopf.OperatorSettings:
    """Return what reference/kopf.md §5 asks for."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.watching.server_timeout = 600
    settings.watching.reconnect_backoff = 1.0
    settings.watching.chunk_size = 500
    settings.watching.label_selectors["batch", "v1", "jobs"] = names.CHILD_SELECTOR
    settings.watching.label_selectors["", "v1", "pods"] = names.CHILD_SELECTOR
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = _EndlessBackoffs()
    settings.queueing.idle_timeout = 1.0
    settings.process.ultimate_exiting_timeout = 30
    settings.persistence.finalizer = f"{names.GROUP}/unused"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.GROUP)
    settings.persistence.diffbase_storage = _NoDifferences()
    return settings
