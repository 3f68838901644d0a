"""Owns what all pods of one runner share: API access that waits for the server, Events, addresses, claims, nodes."""

from __future__ import annotations

import contextlib
import random
import secrets
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from devstack.kubeapi import STRATEGIC, ApiError, ApiUnavailableError, KubeApi, Object
from devstack.podrunner.informer import Informer
from devstack.podrunner.podstatus import timestamp

T = TypeVar("T")

NODE = "devstack"
_RETRY = 0.3


class PodGoneError(Exception):
    """The pod object is gone, or another one has its name."""


class RunnerStoppedError(Exception):
    """The runner was stopped while a pod waited."""


class Host:
    """Shared by the workers; every method may be called from any thread."""

    def __init__(self, api: KubeApi, directory: Path, *, secret_delay: float) -> None:
        self.api, self.directory, self.secret_delay = api, directory, secret_delay
        self.secrets = Informer(api, "secrets")
        self.scheduling = threading.Lock()
        """Held from choosing a node until the worker counts as running there."""
        self.stopped = threading.Event()
        self.unpaused = threading.Event()
        self.unpaused.set()
        self._addresses: set[str] = set()
        # Stacks of several users of one machine share 127/8: each begins somewhere else.
        self._next_address = random.randrange(1, 65000)
        self._lock = threading.Lock()
        self._events: dict[tuple[str, str, str], str] = {}

    # -- API --

    def call(self, request: Callable[[], T]) -> T:
        """Run a request; wait while the runner is paused or the API server is away.

        Raises PodGoneError for 404 and 409, RunnerStoppedError.
        """
        while True:
            self.wait_unpaused()
            try:
                return request()
            except ApiUnavailableError:
                if self.stopped.wait(_RETRY):
                    raise RunnerStoppedError from None
            except ApiError as error:
                if error.status in {404, 409}:
                    raise PodGoneError from error
                if error.status < 500 and error.status != 429:
                    raise
                self.stopped.wait(_RETRY)

    def wait_unpaused(self) -> None:
        """Wait while the runner is paused. Raises RunnerStoppedError."""
        while not self.unpaused.wait(0.5):
            if self.stopped.is_set():
                break
        if self.stopped.is_set():
            raise RunnerStoppedError

    def lookup(self, namespace: str) -> Callable[[str, str], Object | None]:
        """Return a live look-up of Secrets and ConfigMaps of one namespace."""

        def find(plural: str, name: str) -> Object | None:
            return self.call(lambda: self.api.find(plural, namespace, name))

        return find

    def patch_status(self, pod: Object, status: Object) -> Object:
        """Write a part of a pod's status. Raises PodGoneError when it is another pod by now."""
        meta = pod["metadata"]
        body = {"metadata": {"uid": meta["uid"]}, "status": status}
        return self.call(
            lambda: self.api.patch(
                "pods",
                meta["namespace"],
                meta["name"],
                body,
                subresource="status",
                content_type=STRATEGIC,
            )
        )

    def bind(self, pod: Object, node: str) -> None:
        """Bind a pod to a node. Raises PodGoneError."""
        meta = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta["name"], "uid": meta["uid"]},
            "target": {"kind": "Node", "name": node},
        }
        where, name = meta["namespace"], meta["name"]
        try:
            self.call(lambda: self.api.create("pods", where, body, name=name, subresource="binding"))
        except PodGoneError:
            # The answer to a first attempt may have been lost with the API server: then it is bound already.
            newest = self.call(lambda: self.api.find("pods", where, name))
            if newest is None or newest["spec"].get("nodeName") != node:
                raise

    def confirm_deletion(self, pod: Object) -> None:
        """Remove a pod object whose processes are gone (finalizers still hold it)."""
        meta = pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        with contextlib.suppress(PodGoneError):
            self.call(lambda: self.api.delete("pods", meta["namespace"], meta["name"], options))

    # -- Events --

    def event(self, pod: Object, reason: str, message: str, *, warning: bool = True) -> None:
        """Record an Event of a pod, best effort; the same one again only counts up."""
        meta = pod["metadata"]
        key = (meta["uid"], reason, message)
        now = timestamp(datetime.now(UTC))
        with contextlib.suppress(ApiError, ApiUnavailableError):
            with self._lock:
                name = self._events.get(key)
            if name is None:
                name = f"{meta['name']}.{secrets.token_hex(8)}"
                self.api.create("events", meta["namespace"], _event(pod, name, reason, message, now, warning))
                with self._lock:
                    self._events[key] = name
            else:
                known = self.api.get("events", meta["namespace"], name)
                body = {"count": int(known.get("count") or 1) + 1, "lastTimestamp": now}
                self.api.patch("events", meta["namespace"], name, body)

    def forget(self, uid: str) -> None:
        """Forget the Events of a pod that is gone."""
        with self._lock:
            self._events = {key: name for key, name in self._events.items() if key[0] != uid}

    # -- addresses --

    def take_address(self, ports: list[int]) -> str:
        """Return a loopback address of this pod's own on which its ports are free."""
        while True:
            with self._lock:
                number = self._next_address
                self._next_address = number + 1
                # No .0 and .255: some tools take them for network and broadcast.
                address = f"127.77.{number // 250 % 250}.{number % 250 + 1}"
                if address in self._addresses:
                    continue
                self._addresses.add(address)
            if all(_is_free(address, port) for port in ports or [0]):
                return address

    def return_address(self, address: str) -> None:
        """Let another pod have the address."""
        with self._lock:
            self._addresses.discard(address)

    # -- claims --

    def bind_claims(self, pod: Object) -> str:
        """Bind the pod's claims; return the scheduler's words for the first that does not exist."""
        namespace = pod["metadata"]["namespace"]
        for volume in pod["spec"].get("volumes", []):
            name = volume.get("persistentVolumeClaim", {}).get("claimName")
            if not name:
                continue
            claim = self.call(partial(self.api.find, "persistentvolumeclaims", namespace, name))
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if claim["metadata"].get("deletionTimestamp"):
                return f'persistentvolumeclaim "{name}" is being deleted'
            if claim.get("status", {}).get("phase") != "Bound":
                self._bind_claim(namespace, claim)
        return ""

    def _bind_claim(self, namespace: str, claim: Object) -> None:
        spec = claim["spec"]
        status = {
            "phase": "Bound",
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
        }
        name = claim["metadata"]["name"]
        with contextlib.suppress(PodGoneError):
            self.call(
                lambda: self.api.patch(
                    "persistentvolumeclaims", namespace, name, {"status": status}, subresource="status"
                )
            )


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _event(pod: Object, name: str, reason: str, message: str, now: str, warning: bool) -> Object:
    meta = pod["metadata"]
    scheduler = reason in {"FailedScheduling", "Scheduled"}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": message[:1024],
        "source": {"component": "default-scheduler"} if scheduler else {"component": "kubelet", "host": NODE},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
