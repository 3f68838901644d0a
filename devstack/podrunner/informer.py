"""Owns a local copy of all objects of one kind, kept by list and watch; knows nothing of what is done with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from devstack.kubeapi import ApiError, ApiUnavailableError, KubeApi, Object, path

Key = tuple[str, str]
Handler = Callable[[str, Object], None]
"""Called from the informer's thread with ADDED, MODIFIED or DELETED and the object."""

_RELIST_DELAY = 0.3


def key_of(item: Object) -> Key:
    """Return (namespace, name)."""
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


class Informer:
    """Lists, then watches, and starts over when the API server was away. `get` and `changed_at` never block."""

    def __init__(self, api: KubeApi, plural: str, handler: Handler | None = None) -> None:
        self._api, self._plural, self._handler = api, plural, handler
        self._items: dict[Key, Object] = {}
        self._changed: dict[Key, float] = {}
        self._stopped = threading.Event()
        self._synced = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"informer-{plural}", daemon=True)

    def start(self, timeout: float = 10.0) -> None:
        """Start and return after the first list. Raises TimeoutError."""
        self._thread.start()
        if not self._synced.wait(timeout):
            raise TimeoutError(f"no list of {self._plural} within {timeout:.0f} s")

    def stop(self) -> None:
        """Deliver nothing more. The thread ends with its connection, at the latest with the API server."""
        self._stopped.set()

    def get(self, namespace: str, name: str) -> Object | None:
        """Return the newest known object, None when there is none."""
        return self._items.get((namespace, name))

    def changed_at(self, namespace: str, name: str) -> float:
        """Return when (monotonic seconds) the object was last seen to change; 0 when it was never seen."""
        return self._changed.get((namespace, name), 0.0)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._watch(self._list())
            except (ApiError, ApiUnavailableError):
                self._stopped.wait(_RELIST_DELAY)

    def _list(self) -> str:
        answer = self._api.request("GET", path(self._plural))
        current = {key_of(item): item for item in answer["items"]}
        for key in self._items.keys() - current.keys():
            self._deliver("DELETED", self._items[key])
        for key, item in current.items():
            known = self._items.get(key)
            if known is None or _version(known) != _version(item):
                self._deliver("ADDED" if known is None else "MODIFIED", item)
        self._synced.set()
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> None:
        while not self._stopped.is_set():
            for kind, item in self._api.watch(self._plural, version):
                if self._stopped.is_set():
                    return
                if kind == "ERROR":  # mostly 410 Gone: what we have is too old
                    raise ApiError(int(item.get("code", 0)), str(item.get("reason", "")), "the watch failed")
                version = _version(item)
                if kind != "BOOKMARK":
                    self._deliver(kind, item)

    def _deliver(self, kind: str, item: Object) -> None:
        key = key_of(item)
        self._changed[key] = time.monotonic()
        if kind == "DELETED":
            self._items.pop(key, None)
            self._changed.pop(key, None)
        else:
            self._items[key] = item
        if self._handler is not None:
            self._handler(kind, item)


def _version(item: Object) -> str:
    return str(item["metadata"]["resourceVersion"])
