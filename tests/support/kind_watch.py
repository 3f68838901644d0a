"""Owns what a test on the cluster must not leave or cause: errors in logs, restarts, objects that do not go away."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from devstack.e2e import deploy, manifests
from devstack.e2e.deploy import kubectl
from devstack.e2e.shell import E2EError
from support.kind_scene import CHILDREN

OPERATOR = ("--namespace", manifests.OPERATOR_NAMESPACE, "--selector", manifests.OPERATOR_SELECTOR)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def operator_pods() -> list[dict[str, Any]]:
    """The operator's pods, terminating ones included."""
    pods: list[dict[str, Any]] = deploy.get("pods", *OPERATOR)["items"]
    return [pod for pod in pods if pod["spec"]["containers"][0]["name"] == "operator"]


def operator_errors(since: str) -> list[str]:
    """Lines of level error in the log of the operator's pods since a moment (RFC 3339)."""
    found = []
    for pod in operator_pods():
        if pod["status"].get("phase") != "Running":  # it has no log yet, or none any more
            continue
        name = pod["metadata"]["name"]
        text = kubectl("logs", "--namespace", manifests.OPERATOR_NAMESPACE, name, f"--since-time={since}")
        found += _errors(text)
    return found


def operator_restarts() -> int:
    """Restarts of the operator's containers."""
    return _restarts(operator_pods())


def recorder_errors(namespace: str) -> list[str]:
    """Lines of level error in the logs of the recorders' pods that are still there."""
    found = []
    for pod in _recorder_pods(namespace):
        try:
            found += _errors(kubectl("logs", "--namespace", namespace, pod["metadata"]["name"]))
        except E2EError:  # no container ever ran, or its node is gone
            continue
    return found


def recorder_restarts(namespace: str) -> int:
    """Restarts of the recorders' containers that are still there."""
    return _restarts(_recorder_pods(namespace))


def _recorder_pods(namespace: str) -> list[dict[str, Any]]:
    pods: list[dict[str, Any]] = deploy.get("pods", "--namespace", namespace, "--selector", CHILDREN)["items"]
    return pods


def _restarts(pods: list[dict[str, Any]]) -> int:
    states = [state for pod in pods for state in pod["status"].get("containerStatuses") or ()]
    return sum(state["restartCount"] for state in states)


def _errors(log: str) -> list[str]:
    """Lines of level error and above; what is no JSON object is a traceback or a native library's word."""
    found = []
    for line in log.splitlines():
        try:
            level = json.loads(line).get("level")
        except (ValueError, AttributeError):
            level = "error" if line.startswith("Traceback") else ""
        if level in {"error", "critical"}:
            found.append(line)
    return found


@dataclass
class Mark:
    """A moment: what the operator and the recorders of a namespace did since then."""

    since: str = field(default_factory=_now)
    restarts: int = field(default_factory=operator_restarts)

    def assert_undisturbed(self, namespace: str) -> None:
        """No line of level error, no restart: neither of the operator nor of a recorder whose pod is still there."""
        for errors in (operator_errors(self.since), recorder_errors(namespace)):
            assert not errors, "\n".join(errors)
        assert operator_restarts() == self.restarts
        assert recorder_restarts(namespace) == 0


def left(namespace: str, *, timeout: float = 30) -> list[str]:
    """What of recordings is still in a namespace; the garbage collector gets `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        items = deploy.get("egress", "--namespace", namespace)["items"]
        items += deploy.get("jobs,pods,secrets", "--namespace", namespace, "--selector", CHILDREN)["items"]
        if not items or time.monotonic() > deadline:
            return _names(items)
        time.sleep(0.5)


def stuck_objects(*, timeout: float = 60) -> list[str]:
    """What of any test is still in the cluster after all of them."""
    deadline = time.monotonic() + timeout
    while True:
        everywhere = "--all-namespaces"
        items = deploy.get("egress", everywhere)["items"]
        items += deploy.get("jobs,pods,secrets", everywhere, "--selector", CHILDREN)["items"]
        items += deploy.get("pods", "--namespace", manifests.LIVEKIT_NAMESPACE, "--selector", "e2e/room")[
            "items"
        ]
        items += deploy.get("pv", "--selector", "e2e/namespace")["items"]
        spaces = deploy.get("namespaces")["items"]
        items += [space for space in spaces if space["metadata"]["name"].startswith("e2e-")]
        if not items or time.monotonic() > deadline:
            return _names(items)
        time.sleep(1)


def _names(items: list[dict[str, Any]]) -> list[str]:
    return [
        f"{item['kind']} {item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
        + (f" held by {item['metadata']['finalizers']}" if item["metadata"].get("finalizers") else "")
        for item in items
    ]
