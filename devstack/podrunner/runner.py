"""Owns the pod runner: one worker per pod, the nodes, and what tests may do to them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from devstack import guard
from devstack.kubeapi import KubeApi, Object
from devstack.podrunner import scheduling
from devstack.podrunner.host import NODE, Host
from devstack.podrunner.informer import Informer
from devstack.podrunner.nodes import create_node, set_node_ready
from devstack.podrunner.podstatus import timestamp
from devstack.podrunner.scheduling import Placement
from devstack.podrunner.worker import PodWorker
from devstack.process import wait_for

CAPACITY = {"cpu": "64", "memory": "64Gi", "ephemeral-storage": "500Gi", "pods": "500"}

_UNREACHABLE = "node.kubernetes.io/unreachable"


class PodRunner:
    """Runs every pod of a cluster as a host process. Works in threads, beside any event loop.

    ``secret_delay`` is how many seconds a changed Secret needs to reach its volumes (a kubelet needs up to 90).
    """

    def __init__(
        self,
        api: KubeApi,
        directory: Path,
        *,
        secret_delay: float = 1.0,
        capacity: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = directory
        self._capacity = dict(capacity or CAPACITY)
        self._host = Host(api, directory, secret_delay=secret_delay)
        self._pods = Informer(api, "pods", self._on_pod)
        self._workers: dict[str, PodWorker] = {}
        self._lock = threading.Lock()
        self._guard: subprocess.Popen[bytes] | None = None

    # -- life --

    def start(self) -> None:
        """Create the node ``devstack`` and begin."""
        for name in ("pods", "logs", "volumes"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(self._directory / "pods")],
            stdin=subprocess.PIPE,
            env={},
            start_new_session=True,
        )
        self.add_node(NODE)
        self._host.secrets.start()
        self._pods.start()

    def stop(self) -> None:
        """Kill all containers and write nothing more. The guard kills what was missed."""
        self._host.stopped.set()
        self._host.unpaused.set()
        for informer in (self._pods, self._host.secrets):
            informer.stop()
        for worker in self._all():
            if worker.process is not None:
                worker.process.kill()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait(10)

    def pause(self) -> None:
        """Do nothing more until `resume`: no pod starts, no status is written, no Secret is updated; processes go on."""
        self._host.unpaused.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._host.unpaused.set()

    @property
    def secret_delay(self) -> float:
        """Seconds after which a changed Secret reaches its volumes."""
        return self._host.secret_delay

    @secret_delay.setter
    def secret_delay(self, seconds: float) -> None:
        self._host.secret_delay = seconds

    # -- nodes --

    def add_node(self, name: str, *, labels: Mapping[str, str] | None = None) -> None:
        """Create a ready node; taints and labels may be patched on the object afterwards."""
        create_node(self._host.api, name, labels=dict(labels or {}), capacity=self._capacity)

    def lose_node(self, name: str) -> None:
        """Lose a node with all it runs: processes gone, no status written, what the node controller would say.

        The node is Unknown and tainted unreachable, its pods' Ready condition False. Deleted pods of it stay
        Terminating, as no kubelet confirms.
        """
        lost = [worker for worker in self._all() if worker.node == name]
        for worker in lost:
            worker.lose()
        api = self._host.api
        taint = {"key": _UNREACHABLE, "effect": "NoSchedule"}
        api.patch("nodes", "", name, {"spec": {"taints": [taint]}})
        set_node_ready(api, name, ready=False)
        for worker in lost:
            self._mark_not_ready(worker.pod)

    def restore_node(self, name: str) -> None:
        """Bring a lost node back, empty: its old pods are not run again."""
        self._host.api.patch("nodes", "", name, {"spec": {"taints": None}})
        set_node_ready(self._host.api, name, ready=True)

    def _mark_not_ready(self, pod: Object) -> None:
        with contextlib.suppress(Exception):
            lost = {"type": "Ready", "status": "False", "lastTransitionTime": timestamp(datetime.now(UTC))}
            self._host.patch_status(pod, {"conditions": [lost]})

    # -- pods, for tests --

    def pid(self, namespace: str, pod: str, timeout: float = 20.0) -> int:
        """Return the PID of the container's first process; wait until it runs. Raises TimeoutError."""

        def running() -> int | None:
            worker = self._find(namespace, pod)
            return worker.process.pid if worker is not None and worker.process is not None else None

        return wait_for(f"pod {namespace}/{pod} runs", running, timeout)

    def pids(self, namespace: str, pod: str) -> list[int]:
        """Return the PIDs of all processes of a pod, empty when there are none."""
        worker = self._find(namespace, pod)
        return [] if worker is None or worker.process is None else worker.process.pids()

    def kill(self, namespace: str, pod: str) -> None:
        """``kill -9`` for every process of a pod: the container ends with 137, as after a crash."""
        worker = self._find(namespace, pod)
        if worker is not None and worker.process is not None:
            worker.process.kill()

    def lose_pod(self, namespace: str, pod: str) -> None:
        """End a pod's processes without any word, as if its node were gone; only its Ready condition turns False."""
        worker = self._find(namespace, pod)
        if worker is not None:
            worker.lose()
            self._mark_not_ready(worker.pod)

    def evict(self, namespace: str, pod: str) -> None:
        """Evict a pod by the API, as ``kubectl drain`` does: condition DisruptionTarget, SIGTERM, grace period."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        }
        self._host.api.create("pods", namespace, body, name=pod, subresource="eviction")

    def evict_by_kubelet(self, namespace: str, pod: str) -> None:
        """Evict a pod as under node pressure: killed without grace, phase Failed, reason Evicted."""
        worker = self._find(namespace, pod)
        if worker is not None:
            worker.evict_by_kubelet("The node was low on resource: ephemeral-storage.")

    def log(self, namespace: str, pod: str) -> str:
        """Return what the container wrote so far; it stays after the pod is gone."""
        path = self._directory / "logs" / f"{namespace}_{pod}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def claim_directory(self, namespace: str, claim: str) -> Path:
        """Return where the files of a PersistentVolumeClaim lie."""
        return self._directory / "volumes" / namespace / claim

    # -- workers --

    def _on_pod(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        with self._lock:
            worker = self._workers.get(uid)
            if kind == "DELETED":
                self._workers.pop(uid, None)
            elif worker is None and _is_ours(pod):
                worker = self._workers[uid] = PodWorker(self._host, pod, self._choose)
                worker.start()
                return
        if worker is None:
            return
        worker.update(pod)
        if kind == "DELETED":
            self._host.forget(uid)
            threading.Thread(target=self._remove, args=(worker,), name=f"remove-{uid}", daemon=True).start()

    @staticmethod
    def _remove(worker: PodWorker) -> None:
        """A pod object that is gone (for example by a forced deletion) has no processes."""
        worker.lose()
        worker.clean_up()

    def _choose(self, pod: Object) -> Placement:
        nodes = self._host.call(lambda: self._host.api.list("nodes"))
        problem = self._host.bind_claims(pod)
        if problem:
            return scheduling.unavailable(problem, len(nodes))
        usage: dict[str, Counter[str]] = {}
        for worker in self._all():
            if worker.occupies:
                usage.setdefault(worker.node, Counter()).update(scheduling.requests(worker.pod))
        return scheduling.place(pod, nodes, usage)

    def _all(self) -> list[PodWorker]:
        with self._lock:
            return list(self._workers.values())

    def _find(self, namespace: str, pod: str) -> PodWorker | None:
        return next((worker for worker in self._all() if worker.name == f"{namespace}/{pod}"), None)


def _is_ours(pod: Object) -> bool:
    """A pod that is over, or that was bound by somebody else (a test that plays kubelet itself), is left alone."""
    return not pod["spec"].get("nodeName") and pod.get("status", {}).get("phase") in {None, "Pending"}
