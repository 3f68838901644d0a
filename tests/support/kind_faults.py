"""Owns what is done to a real cluster in its tests: nodes drained and restarted, recorders frozen, operators killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from devstack.e2e import cluster, deploy, manifests
from devstack.e2e.deploy import kubectl
from egress_operator import names
from support import kind_watch
from support.kind_scene import KindRecording

KUBELET = 200.0
"""Seconds that a kubelet may take: it measures volumes once a minute, and kills what hangs after a minute and a half."""
_NODE_READY = 150
_OPERATOR_READY = 90
_DEPLOYMENT = (f"deployment/{manifests.OPERATOR}", "--namespace", manifests.OPERATOR_NAMESPACE)

_FIND_SUPERVISOR = r"""
for directory in /proc/[0-9]*; do
  grep -qE 'UID' "$directory/cgroup" 2>/dev/null || continue
  [ "$(awk '/^NSpid:/ {print $NF}' "$directory/status" 2>/dev/null)" = 1 ] || continue
  if tr '\0' ' ' <"$directory/cmdline" | grep -q egress-recorder; then echo "${directory#/proc/}"; fi
done
"""
"""Prints PID 1 of the recorder's container as the node numbers it; that of the pod's sandbox has another command."""


def next_pod(recording: KindRecording, *before: str, timeout: float = 120) -> str:
    """Wait until another pod than those before records; return its name."""
    known = {"", None, *before}
    recording.until(lambda status: status.get("podName") not in known, "next pod", timeout)
    status = recording.wait("condition=Recording", 120)
    # Between two parts it stays Active: Ending would be read as the end of the recording.
    assert status["phase"] == "Active", status
    return str(status["podName"])


def delete_pod(recording: KindRecording, pod: str) -> None:
    """Ask a recorder's pod to go, as a drain does, and return at once."""
    kubectl("delete", "pod", "--namespace", recording.scene.namespace, pod, "--wait=false")


def jobs_of(recording: KindRecording) -> list[str]:
    """Return the names of all Jobs that a recording has had; finished ones stay for an hour."""
    selector = f"{names.LABEL_UID}={recording.body()['metadata']['uid']}"
    return sorted(job["metadata"]["name"] for job in recording.scene.get("jobs", "--selector", selector))


@contextmanager
def drained(node: str) -> Iterator[str]:
    """Drain a node as an administrator does (Eviction API) and give what kubectl said; uncordon it at the end."""
    try:
        options = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
        yield kubectl("drain", node, *options)
    finally:
        kubectl("uncordon", node)


def restart_node(node: str) -> None:
    """Restart a node without any notice, as a power failure does; return when it runs again, not yet Ready.

    Not `docker restart -t 0`: that tells systemd first, and a quick machine's recorder then finishes its file.
    """
    cluster.docker("kill", "--signal=KILL", node, timeout=60)
    cluster.docker("start", node, timeout=60)


def wait_node(node: str) -> None:
    """Wait until a node is Ready. Raises E2EError."""
    wait = ("--for=condition=Ready", f"node/{node}", f"--timeout={_NODE_READY}s")
    kubectl("wait", *wait, timeout=_NODE_READY + 10)


@contextmanager
def frozen_supervisor(pod: dict[str, Any]) -> Iterator[None]:
    """Stop (SIGSTOP) the PID 1 of a recorder: it lives and does not answer any more; at the end it is killed.

    A kubelet's own kill comes at the end of the pod's grace period, for which no test waits. Raises AssertionError.
    """
    uid, node = pod["metadata"]["uid"], pod["spec"]["nodeName"]
    # The systemd cgroup driver writes the UID with underscores.
    script = _FIND_SUPERVISOR.replace("UID", f"{uid}|{uid.replace('-', '_')}")
    found = cluster.node_shell(node, script).split()
    assert len(found) == 1, f"not one supervisor of pod {pod['metadata']['name']} on {node}: {found}"
    cluster.node_shell(node, f"kill -STOP {found[0]}")
    try:
        yield
    finally:
        cluster.node_shell(node, f"kill -KILL {found[0]}")


def event_messages(namespace: str, reason: str) -> list[str]:
    """Return the messages of a namespace's Events of one reason."""
    found = deploy.get("events", "--namespace", namespace, "--field-selector", f"reason={reason}")["items"]
    return [str(event["message"]) for event in found]


def kill_operator() -> list[str]:
    """Delete the operator's pods by force: no grace, no last word. Return their names; nobody is there to take over."""
    before = [pod["metadata"]["name"] for pod in kind_watch.operator_pods()]
    assert before, "there is no operator to kill"
    kubectl("delete", "pods", *kind_watch.OPERATOR, "--force", "--grace-period=0")
    return before


def wait_operator(*, replicas: int = 1, without: list[str] | None = None) -> list[str]:
    """Wait until so many operators and no others are there, all ready; return their pods' names."""
    deadline = time.monotonic() + _OPERATOR_READY
    while True:
        pods = kind_watch.operator_pods()
        found = [pod["metadata"]["name"] for pod in pods]
        if [_is_ready(pod) for pod in pods] == [True] * replicas and not set(found) & set(without or ()):
            return found
        assert time.monotonic() < deadline, f"not {replicas} ready operators in {_OPERATOR_READY} s: {found}"
        time.sleep(0.3)


@contextmanager
def scaled_operator(replicas: int) -> Iterator[list[str]]:
    """Run several operators at once, by mistake; one is left at the end. Gives the pods' names."""
    kubectl("scale", *_DEPLOYMENT, f"--replicas={replicas}")
    try:
        yield wait_operator(replicas=replicas)
    finally:
        kubectl("scale", *_DEPLOYMENT, "--replicas=1")
        wait_operator()


def operator_images() -> set[str]:
    """Return the images of the operator's pods."""
    return {pod["spec"]["containers"][0]["image"] for pod in kind_watch.operator_pods()}


def recorder_image(recording: KindRecording) -> str:
    """Return the image of the recorder's pod that the status names."""
    pod = deploy.get("pod", "--namespace", recording.scene.namespace, recording.status()["podName"])
    return str(pod["spec"]["containers"][0]["image"])


def _is_ready(pod: dict[str, Any]) -> bool:
    if "deletionTimestamp" in pod["metadata"]:
        return False
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
