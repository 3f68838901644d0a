"""Owns what the pod runner refuses: specs whose meaning it would silently change."""

from __future__ import annotations

from devstack.kubeapi import Object
from devstack.podrunner.environment import ContainerConfigError
from devstack.podrunner.probes import parse_probes


def check_supported(pod: Object) -> None:
    """Raises ContainerConfigError for what would otherwise silently not happen."""
    spec = pod["spec"]
    if len(spec["containers"]) != 1 or spec.get("initContainers"):
        raise ContainerConfigError("the devstack's pod runner runs pods of exactly one container")
    if spec.get("restartPolicy") != "Never":
        raise ContainerConfigError("the devstack's pod runner runs pods with restartPolicy Never only")
    try:
        parse_probes(spec["containers"][0])
    except ValueError as error:
        raise ContainerConfigError(str(error)) from error
