"""Owns the Node objects: what a kubelet and the node controller would write of them."""

from __future__ import annotations

from datetime import UTC, datetime

from devstack.kubeapi import STRATEGIC, KubeApi, Object
from devstack.podrunner.podstatus import timestamp


def create_node(api: KubeApi, name: str, *, labels: dict[str, str], capacity: dict[str, str]) -> None:
    """Create a Node that is ready and has no taints."""
    hostname = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**hostname, **labels}},
    }
    api.apply("nodes", "", body)
    # Admission taints every new node as not ready; the controller that takes the taint away does not run here.
    api.patch("nodes", "", name, {"spec": {"taints": None}})
    set_node_ready(api, name, ready=True, capacity=capacity)


def set_node_ready(api: KubeApi, name: str, *, ready: bool, capacity: dict[str, str] | None = None) -> None:
    """Write a node's Ready condition; not ready is ``Unknown``, as for a node that was lost."""
    now = timestamp(datetime.now(UTC))
    item = {
        "type": "Ready",
        "status": "True" if ready else "Unknown",
        "reason": "KubeletReady" if ready else "NodeStatusUnknown",
        "message": "the devstack's pod runner" if ready else "Kubelet stopped posting node status.",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    status: Object = {"conditions": [item]}
    if capacity is not None:
        status |= {"capacity": capacity, "allocatable": capacity}
        status["addresses"] = [{"type": "InternalIP", "address": "127.0.0.1"}]
    api.patch("nodes", "", name, {"status": status}, subresource="status", content_type=STRATEGIC)
