"""Where a pod may run."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.podrunner.scheduling import place, quantity

pytestmark = pytest.mark.unit


def node(name: str = "a", *, taints: list[dict[str, str]] | None = None, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints or []},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "3"}},
    }


def pod(cpu: str = "500m", **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}], **spec}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", 0.5),
        ("2", 2),
        ("1.5Gi", 1.5 * 2**30),
        ("3k", 3000),
        ("2e3", 2000),
        (1, 1),
        ("100Mi", 100 * 2**20),
    ],
)
def test_quantities_are_read_as_kubernetes_does(text: str | float, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


def test_a_word_is_not_a_quantity() -> None:
    with pytest.raises(ValueError, match="'lots' is not a quantity"):
        quantity("lots")


def test_the_first_node_that_fits_is_taken() -> None:
    nodes = [node("a", disk="hdd"), node("b", disk="ssd")]
    assert place(pod(nodeSelector={"disk": "ssd"}), nodes, {}).node == "b"


def test_what_runs_already_counts() -> None:
    assert place(pod(), [node()], {"a": {"cpu": 1.5}}).node == "a"
    refused = place(pod(), [node()], {"a": {"cpu": 1.6}})
    assert refused.message.startswith("0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes")


def test_reasons_are_counted_over_nodes() -> None:
    tainted = node("b", taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    message = place(pod("9"), [node(), node("c"), tainted], {}).message
    assert "2 Insufficient cpu" in message
    assert "1 node(s) had untolerated taint {k: v}" in message


@pytest.mark.parametrize(
    ("toleration", "runs"),
    [
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "other"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_toleration_must_match_key_value_and_effect(toleration: dict[str, str], *, runs: bool) -> None:
    tainted = node(taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    assert bool(place(pod(tolerations=[toleration]), [tainted], {}).node) is runs


@pytest.mark.parametrize(
    ("operator", "values", "runs"),
    [
        ("In", ["4", "5"], True),
        ("NotIn", ["4"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["3"], True),
        ("Lt", ["4"], False),
    ],
)
def test_required_node_affinity_is_honoured(operator: str, values: list[str], *, runs: bool) -> None:
    expression = {"key": "gen", "operator": operator, "values": values}
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    assert bool(place(pod(affinity=affinity), [node(gen="4")], {}).node) is runs
