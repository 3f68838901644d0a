"""Owns what runs in the cluster before the first test: livekit-server, S3 server, and the operator by its Helm chart."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from devstack import build
from devstack.e2e import cluster, images, manifests, objectstore, release
from devstack.e2e.shell import E2EError, run
from devstack.process import say

_ROLLOUT = "120s"
VOLUMES = "/var/lib/egress-e2e"
"""Of the first worker: one directory for each claim."""


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
    kubectl("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={_ROLLOUT}")
    images.build_product(say)
    images.build_test_images()
    load(say)
    _servers()
    release.upgrade()
    for where, name in _deployments():
        kubectl("rollout", "status", "--namespace", where, f"deployment/{name}", f"--timeout={_ROLLOUT}")
    store().make_bucket()
    say(
        f"everything is up after {time.monotonic() - started:.0f} s; export KUBECONFIG={cluster.kubeconfig()}"
    )


def load(say: Callable[[str], None] = say) -> None:
    """Bring each image to the nodes that need it. Raises E2EError."""
    started = time.monotonic()
    product = images.names()
    cluster.load([product.operator, product.recorder], cluster.workers())
    cluster.load([product.livekit, product.s3, product.publisher], [cluster.control_plane()])
    say(f"images are loaded after {time.monotonic() - started:.0f} s")


def _deployments() -> Sequence[tuple[str, str]]:
    return (
        (manifests.LIVEKIT_NAMESPACE, manifests.LIVEKIT),
        (objectstore.NAMESPACE, objectstore.NAME),
        (manifests.OPERATOR_NAMESPACE, manifests.OPERATOR),
    )


def _servers() -> None:
    """Make namespaces, Secrets and servers; a key that exists stays, because a running server holds it."""
    spaces = (manifests.LIVEKIT_NAMESPACE, objectstore.NAMESPACE, manifests.OPERATOR_NAMESPACE)
    apply(*(manifests.namespace(where) for where in spaces))
    livekit = secret(manifests.LIVEKIT_NAMESPACE, manifests.SERVER_SECRET) or {
        "LIVEKIT_API_KEY": f"API{objectstore.new_keys()['access_key'][2:14]}",
        "LIVEKIT_API_SECRET": objectstore.new_keys()["secret"],
    }
    s3 = secret(objectstore.NAMESPACE, objectstore.CREDENTIALS) or objectstore.new_keys()
    product = images.names()
    apply(
        *manifests.connection_secrets(
            api_key=livekit["LIVEKIT_API_KEY"], api_secret=livekit["LIVEKIT_API_SECRET"]
        ),
        *manifests.livekit(product.livekit, images.identity(product.livekit)),
        objectstore.credentials(objectstore.NAMESPACE, s3),
        *objectstore.server(product.s3, images.identity(product.s3)),
    )


def secret(where: str, name: str) -> dict[str, str]:
    """Return the content of a Secret, empty when there is none. Raises E2EError."""
    found = get("secrets", "--namespace", where, "--field-selector", f"metadata.name={name}")["items"]
    return objectstore.decode_keys(found[0]) if found else {}


def store() -> objectstore.ObjectStore:
    """Return the client of the cluster's S3 server. Raises E2EError."""
    keys = secret(objectstore.NAMESPACE, objectstore.CREDENTIALS)
    if not keys:
        raise E2EError("the cluster has no S3 server: run `python -m devstack.e2e --up` first")
    return objectstore.ObjectStore(keys)


def make_claim(where: str, name: str = manifests.CLAIM) -> str:
    """Make the directory, the volume and the claim of a namespace; return the directory's path on the node."""
    node = cluster.worker()
    path = f"{VOLUMES}/{where}"
    cluster.docker("exec", node, "mkdir", "-p", path)
    apply(*manifests.claim(where, node=node, path=path, name=name))
    return path


def remove_claims(where: str) -> None:
    """Remove what `make_claim` made outside the namespace."""
    kubectl("delete", "pv", "--selector", f"e2e/namespace={where}", "--wait=false")
    cluster.docker("exec", cluster.worker(), "rm", "-rf", f"{VOLUMES}/{where}")


def fetch(path: str, target: Path) -> Path:
    """Copy a file out of the first worker. Raises E2EError."""
    cluster.docker("cp", f"{cluster.worker()}:{path}", target)
    if not target.is_file():
        raise E2EError(f"{path} is not a file on the node")
    return target


def command_environment() -> dict[str, str]:
    """Return an environment in which a user's `kubectl` and `helm` mean this cluster. Raises E2EError."""
    tools = cluster.state_directory() / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    for name, path in build.ensure("kubectl", "helm").items():
        link = tools / name
        if not link.is_symlink() or link.readlink() != path:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
    inherited = cluster.environment()
    return {**inherited, "PATH": os.pathsep.join([str(tools), inherited.get("PATH", os.defpath)])}
