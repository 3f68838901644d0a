"""Owns what runs in the cluster before the first test: CRDs, the operator with its rights, livekit-server."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from devstack import build
from devstack.e2e import cluster, images, manifests
from devstack.e2e.shell import E2EError, run
from devstack.operatorprocess import REPOSITORY, RULES_FILE
from devstack.process import say

_CRDS = REPOSITORY / "crds"
_ROLLOUT = "120s"


def kubectl(*arguments: str, stdin: str | None = None, timeout: float = 150) -> str:
    """Run kubectl on the cluster. Raises E2EError. Seconds."""
    tool = build.ensure("kubectl")["kubectl"]
    return run(tool, *arguments, stdin=stdin, env=cluster.environment(), timeout=timeout)


def apply(*documents: manifests.Document) -> None:
    """Apply documents as a user does. Raises E2EError."""
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))


def get(*arguments: str) -> dict[str, Any]:
    """Return what `kubectl get` answers. Raises E2EError."""
    answer: dict[str, Any] = json.loads(kubectl("get", "-o", "json", *arguments))
    return answer


def up(say: Callable[[str], None] = say) -> None:
    """Bring cluster, images and everything that runs in it to the state of this work tree. Raises E2EError."""
    started = time.monotonic()
    cluster.ensure(say)
    images.build_product(say)
    images.build_test_images()
    product = images.names()
    loading = time.monotonic()
    cluster.load(product.operator, product.recorder, product.livekit, product.publisher)
    say(f"images are loaded after {time.monotonic() - loading:.0f} s")
    _definitions()
    _connection()
    apply(
        *manifests.livekit(product.livekit, images.identity(product.livekit)),
        *manifests.account(yaml.safe_load(RULES_FILE.read_text())),
        manifests.operator(product.operator, images.identity(product.operator), product.recorder),
    )
    for where, name in _deployments():
        kubectl("rollout", "status", "--namespace", where, f"deployment/{name}", f"--timeout={_ROLLOUT}")
    say(
        f"everything is up after {time.monotonic() - started:.0f} s; export KUBECONFIG={cluster.kubeconfig()}"
    )


def _deployments() -> Sequence[tuple[str, str]]:
    return (
        (manifests.LIVEKIT_NAMESPACE, manifests.LIVEKIT),
        (manifests.OPERATOR_NAMESPACE, manifests.OPERATOR),
    )


def _definitions() -> None:
    # Server-side: client-side apply would keep a second copy of each definition in an annotation.
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(_CRDS))
    kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(_CRDS))


def _connection() -> None:
    """Make namespaces and Secrets; a key that exists stays, because livekit-server holds it."""
    for where in (manifests.LIVEKIT_NAMESPACE, manifests.OPERATOR_NAMESPACE):
        apply(manifests.namespace(where))
    api_key, api_secret = f"API{secrets.token_hex(6)}", secrets.token_hex(24)
    name = f"metadata.name={manifests.CONNECTION_SECRET}"
    found = get("secrets", "--namespace", manifests.LIVEKIT_NAMESPACE, "--field-selector", name)
    for item in found["items"]:
        api_key, api_secret = (
            base64.b64decode(item["data"][name]).decode()
            for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
        )
    for where in (manifests.LIVEKIT_NAMESPACE, manifests.OPERATOR_NAMESPACE):
        apply(manifests.connection_secret(where, api_key=api_key, api_secret=api_secret))


def make_claim(where: str) -> str:
    """Make the directory, the volume and the claim of a namespace; return the directory's path on the node."""
    node = cluster.worker()
    path = f"/var/lib/egress-e2e/{where}"
    cluster.docker("exec", node, "mkdir", "-p", path)
    apply(*manifests.claim(where, node=node, path=path))
    return path


def remove_claim(where: str) -> None:
    """Remove what `make_claim` made outside the namespace."""
    kubectl("delete", "pv", f"{where}-{manifests.CLAIM}", "--ignore-not-found", "--wait=false")
    cluster.docker("exec", cluster.worker(), "rm", "-rf", f"/var/lib/egress-e2e/{where}")


def fetch(path: str, target: Path) -> Path:
    """Copy a file out of the node. Raises E2EError."""
    cluster.docker("cp", f"{cluster.worker()}:{path}", target)
    if not target.is_file():
        raise E2EError(f"{path} is not a file on the node")
    return target
