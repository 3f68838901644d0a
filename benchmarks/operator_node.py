"""Owns the faked kubelet of the operator's benchmark: pods run, get ready and end without any process."""

from __future__ import annotations

import base64
import heapq
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

from operator_fakes import POD_IP, FakeServers, Recorder

from devstack.kubeapi import ApiUnavailableError, KubeApi
from egress_operator import names
from egress_recorder.contract import Phase

_READY_AFTER = 2.0
_END_AFTER = 0.3


class FakeNode:
    """Follows the pods of one namespace by a watch; each is patched three times: running, ready, ended."""

    def __init__(self, api: KubeApi, servers: FakeServers, namespace: str) -> None:
        self._api, self._servers, self._namespace = api, servers, namespace
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="kubelet")
        self._stopping = False

    def start(self) -> None:
        """Begin to look for pods."""
        version = self._api.request("GET", "/api/v1/pods")["metadata"]["resourceVersion"]
        for target, arguments in ((self._watch, (version,)), (self._tick, ())):
            threading.Thread(target=target, args=arguments, name="node", daemon=True).start()

    def stop(self) -> None:
        """No pod moves on any more; the watch ends with the API server. Raises nothing."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._pool.shutdown()

    def _watch(self, version: str) -> None:
        try:
            while not self._stopping:
                for kind, pod in self._api.watch("pods", version, timeout=3600):
                    version = pod["metadata"]["resourceVersion"]
                    if kind == "ADDED" and pod["metadata"]["namespace"] == self._namespace:
                        self._later(0.0, partial(self._run, pod))
        except ApiUnavailableError:
            if not self._stopping:
                raise

    def _later(self, seconds: float, step: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), step))
            self._changed.notify()

    def _tick(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and (not self._due or self._due[0][0] > time.monotonic()):
                    left = self._due[0][0] - time.monotonic() if self._due else None
                    self._changed.wait(left)
                if self._stopping:
                    return
                _, _, step = heapq.heappop(self._due)
                # Within the lock: after `stop` the pool takes nothing any more.
                self._pool.submit(step)

    # -- the three steps of a pod --

    def _run(self, pod: dict[str, Any]) -> None:
        uid = pod["metadata"]["labels"][names.LABEL_UID]
        name = pod["metadata"]["annotations"][names.ANNOTATION_NAME]
        secret = self._api.get("secrets", self._namespace, names.base_name(name, uid))
        recorder = Recorder(
            names.egress_id(uid),
            f"{name}.mp4",
            pod["metadata"]["name"],
            stopped=lambda one: self._later(_END_AFTER, lambda: self._end(one)),
            running_at=time.monotonic(),
        )
        token = base64.b64decode(secret["data"]["control-token"]).decode()
        self._servers.recorders[token] = recorder
        self._patch(recorder, {"running": {"startedAt": _now()}}, ready=False, phase="Running")
        self._later(_READY_AFTER, lambda: self._get_ready(recorder))

    def _get_ready(self, recorder: Recorder) -> None:
        recorder.ready_at, recorder.started = time.monotonic(), datetime.now(UTC)
        self._patch(recorder, {"running": {"startedAt": _now()}}, ready=True, phase="Running")

    def _end(self, recorder: Recorder) -> None:
        message = recorder.word(Phase.COMPLETE).to_termination_message().decode()
        ended = {"exitCode": 0, "reason": "Completed", "finishedAt": _now(), "message": message}
        self._patch(recorder, {"terminated": ended}, ready=False, phase="Succeeded")

    def _patch(self, recorder: Recorder, state: dict[str, Any], *, ready: bool, phase: str) -> None:
        flag = "True" if ready else "False"
        container = {"name": "recorder", "image": "x", "imageID": "x", "ready": ready, "restartCount": 0}
        status = {
            "phase": phase,
            "podIP": POD_IP,
            "podIPs": [{"ip": POD_IP}],
            "conditions": [{"type": kind, "status": flag} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [{**container, "state": state}],
        }
        self._api.patch("pods", self._namespace, recorder.pod, {"status": status}, subresource="status")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
