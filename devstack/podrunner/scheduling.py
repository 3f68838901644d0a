"""Owns the decision where a pod may run, as the real scheduler words it. Pure: nodes, pod and usage in, answer out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devstack.kubeapi import Object

_SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
}
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][0-9]+)?)([a-zA-Z]*)")

Resources = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Placement:
    """Either the node that was chosen, or the sentence that the scheduler writes into condition and Event."""

    node: str = ""
    message: str = ""


def quantity(text: str | float) -> float:
    """Return a Kubernetes quantity (``500m``, ``2Gi``) as a number. Raises ValueError."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None or match.group(2) not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity")
    return float(match.group(1)) * _SUFFIXES[match.group(2)]


def requests(pod: Object) -> dict[str, float]:
    """Return what a pod asks of a node: the sum of its containers' requests, and one pod."""
    total: Counter[str] = Counter({"pods": 1})
    for container in pod["spec"]["containers"]:
        for name, amount in container.get("resources", {}).get("requests", {}).items():
            total[name] += quantity(amount)  # type: ignore[assignment]  # a Counter of floats sums just as well
    return dict(total)


def place(pod: Object, nodes: Sequence[Object], usage: Mapping[str, Resources]) -> Placement:
    """Choose the first node that fits; ``usage`` is what is taken on each node already."""
    reasons: Counter[str] = Counter()
    for node in nodes:
        reason = _refusal(pod, node, usage.get(node["metadata"]["name"], {}))
        if not reason:
            return Placement(node=node["metadata"]["name"])
        reasons.update(reason)
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
    return Placement(message=f"0/{len(nodes)} nodes are available: {listed}. {_no_preemption(len(nodes))}")


def unavailable(reason: str, nodes: int) -> Placement:
    """Return the answer for a pod that no node can take for one reason, for example a missing claim."""
    return Placement(message=f"0/{nodes} nodes are available: {reason}. {_no_preemption(nodes)}")


def _no_preemption(nodes: int) -> str:
    return f"preemption: 0/{nodes} nodes are available: {nodes} Preemption is not helpful for scheduling."


def _refusal(pod: Object, node: Object, used: Resources) -> list[str]:
    """Return the reasons of the first filter that refuses, as the scheduler does."""
    spec = node.get("spec", {})
    if spec.get("unschedulable"):
        return ["node(s) were unschedulable"]
    for taint in spec.get("taints", []):
        if taint["effect"] != "PreferNoSchedule" and not _tolerated(
            taint, pod["spec"].get("tolerations", [])
        ):
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    if not _selected(pod["spec"], node["metadata"].get("labels", {})):
        return ["node(s) didn't match Pod's node affinity/selector"]
    allocatable = node["status"]["allocatable"]
    return [
        "Too many pods" if name == "pods" else f"Insufficient {name}"
        for name, amount in sorted(requests(pod).items())
        if amount + used.get(name, 0) > quantity(allocatable.get(name, 0)) + 1e-9
    ]


def _tolerated(taint: Object, tolerations: Sequence[Object]) -> bool:
    for toleration in tolerations:
        if toleration.get("effect") not in {None, "", taint["effect"]}:
            continue
        if not toleration.get("key"):
            if toleration.get("operator") == "Exists":
                return True
        elif toleration["key"] == taint["key"] and (
            toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
        ):
            return True
    return False


def _selected(spec: Object, labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(
        all(_matches(expression, labels) for expression in term.get("matchExpressions", []))
        for term in required["nodeSelectorTerms"]
    )


def _matches(expression: Object, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    tests = {
        "In": lambda: value in values,
        "NotIn": lambda: value not in values,
        "Exists": lambda: value is not None,
        "DoesNotExist": lambda: value is None,
        "Gt": lambda: value is not None and int(value) > int(values[0]),
        "Lt": lambda: value is not None and int(value) < int(values[0]),
    }
    return bool(tests[expression["operator"]]())
