"""Owns the Helm release of the operator in the cluster: its values, `helm upgrade --install`, `helm uninstall`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from devstack import build
from devstack.e2e import cluster, images, manifests
from devstack.e2e.shell import run
from devstack.operatorprocess import REPOSITORY

CHART: Final = REPOSITORY / "helm" / "livekit-egress-operator"
NAME: Final = manifests.OPERATOR
NAMESPACE: Final = manifests.OPERATOR_NAMESPACE
_TIMEOUT: Final = "120s"

Values = dict[str, Any]


def helm(*arguments: str | Path, timeout: float = 180) -> str:
    """Run helm on the cluster. Raises E2EError. Seconds."""
    tool = build.ensure("helm")["helm"]
    return run(tool, *arguments, env=cluster.environment(), timeout=timeout)


def image_values(image: str) -> Values:
    """Return the chart's values of an image of this machine."""
    repository, _, tag = image.rpartition(":")
    return {"registry": "", "repository": repository, "tag": tag, "digest": "", "pullPolicy": "IfNotPresent"}


def values() -> Values:
    """Return the values of the end-to-end cluster."""
    product = images.names()
    return {
        "image": image_values(product.operator),
        "livekit": {"url": manifests.LIVEKIT_URL, "existingSecret": manifests.CONNECTION_SECRET},
        "recorder": {
            "image": image_values(product.recorder),
            # Small recordings of small pictures: several of them fit on a worker of two cores.
            "template": {"resources": {"requests": {"cpu": "100m", "memory": "192Mi"}}},
        },
        # A new image under the old tag must bring a new pod.
        "podAnnotations": {"e2e/image-id": images.identity(product.operator)},
    }


def upgrade(changes: Mapping[str, Any] | None = None, *, wait: bool = True) -> str:
    """`helm upgrade --install` with the values of this cluster and `changes` merged into them. Raises E2EError."""
    merged = merge(values(), changes or {})
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="egress-values-") as file:
        json.dump(merged, file)
        file.flush()
        command = ["upgrade", "--install", NAME, str(CHART), "--namespace", NAMESPACE, "--values", file.name]
        return helm(*command, *(["--wait", "--timeout", _TIMEOUT] if wait else []))


def uninstall() -> str:
    """`helm uninstall`, which leaves the CRDs where `crds.keep` says so. Raises E2EError."""
    return helm("uninstall", NAME, "--namespace", NAMESPACE, "--wait", "--timeout", _TIMEOUT)


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Values:
    """Return `base` with `changes`; maps are merged, everything else is replaced."""
    result = dict(base)
    for key, value in changes.items():
        before = result.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[key] = merge(before, value) if both else value  # type: ignore[arg-type] # both are mappings
    return result
