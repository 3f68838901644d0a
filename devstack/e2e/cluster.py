"""Owns the kind cluster: created from kind-config.yaml, its nodes, the images on them, and its end.

E2E_WORKERS changes the number of workers (default: what kind-config.yaml has), E2E_NODE_IMAGE names another node
image than kind's own, E2E_CLUSTER another cluster than `egress-e2e`.
"""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from devstack import build
from devstack.e2e import machine
from devstack.e2e.machine import (
    base_image,
    cluster_name,
    docker,
    ensure_docker,
    environment,
    has_image,
    kind,
    kubeconfig,
    state_directory,
)
from devstack.e2e.shell import E2EError
from devstack.operatorprocess import REPOSITORY
from devstack.process import say

__all__ = [
    "base_image",
    "cluster_name",
    "control_plane",
    "docker",
    "down",
    "ensure",
    "ensure_docker",
    "environment",
    "exists",
    "has_image",
    "host_port",
    "kind",
    "kubeconfig",
    "load",
    "state_directory",
    "worker",
    "workers",
]

KIND_CONFIG = REPOSITORY / "kind-config.yaml"


def exists() -> bool:
    """Return whether the cluster is there."""
    return cluster_name() in kind("get", "clusters").split()


def configuration() -> dict[str, Any]:
    """Return kind-config.yaml with as many workers as E2E_WORKERS says. Raises E2EError."""
    config: dict[str, Any] = yaml.safe_load(KIND_CONFIG.read_text())
    wanted = os.environ.get("E2E_WORKERS", "")
    if not wanted:
        return config
    if not wanted.isdigit() or int(wanted) < 1:
        raise E2EError(f"E2E_WORKERS must be a whole number from 1 on, not {wanted!r}")
    others = [node for node in config["nodes"] if node["role"] != "worker"]
    config["nodes"] = others + [{"role": "worker"}] * int(wanted)
    return config


def ensure(say: Callable[[str], None] = say) -> bool:
    """Create the cluster where it is not there; return whether that was needed. Raises E2EError."""
    ensure_docker(say)
    state_directory().mkdir(parents=True, exist_ok=True)
    config = configuration()
    if exists():
        if _is_usable(len(config["nodes"])):
            kind("export", "kubeconfig", "--name", cluster_name(), "--kubeconfig", kubeconfig())
            return False
        say(f"cluster {cluster_name()} is incomplete, stopped or of another size: it is made anew")
        _delete()
    started = time.monotonic()
    _create(config)
    say(f"cluster {cluster_name()} is up after {time.monotonic() - started:.0f} s")
    return True


def _create(config: dict[str, Any]) -> None:
    image = _node_image()
    written = state_directory() / "kind-config.yaml"
    written.write_text(yaml.safe_dump(config))
    command = ["create", "cluster", "--name", cluster_name(), "--config", str(written), "--wait", "180s"]
    try:
        kind(*command, "--kubeconfig", kubeconfig(), *(["--image", image] if image else []))
    except BaseException:  # Ctrl-C too: a half-made cluster would be found by the next run
        _delete()
        raise
    _complete_note().touch()


def _delete() -> None:
    _complete_note().unlink(missing_ok=True)
    kind("delete", "cluster", "--name", cluster_name(), "--kubeconfig", kubeconfig())
    nodes.cache_clear()


def _complete_note() -> Path:
    """Exists when `kind create` has ended well."""
    return state_directory() / "complete"


def _is_usable(size: int) -> bool:
    nodes.cache_clear()
    if not _complete_note().exists() or len(nodes()) != size:
        return False
    running = docker("inspect", "--format", "{{.State.Running}}", *nodes()).split()
    return running == ["true"] * size


def _node_image() -> str:
    """Return the node image: E2E_NODE_IMAGE, what kind-here.sh made, or kind's own (empty)."""
    local = f"localhost/kind-node:v{build.KUBERNETES}"
    return os.environ.get("E2E_NODE_IMAGE") or (local if has_image(local) else "")


@functools.cache
def nodes() -> tuple[str, ...]:
    """Return the names of all nodes, which are also those of their containers."""
    return tuple(sorted(kind("get", "nodes", "--name", cluster_name()).split()))


def control_plane() -> str:
    """Return the node of everything that is no recording."""
    return next(node for node in nodes() if "control-plane" in node)


def workers() -> tuple[str, ...]:
    """Return the nodes on which recordings run. Raises E2EError where there is none."""
    found = tuple(node for node in nodes() if "control-plane" not in node)
    if not found:
        raise E2EError(f"cluster {cluster_name()} has no worker: create it from {KIND_CONFIG.name}")
    return found


def worker() -> str:
    """Return the first worker, on which the tests' volumes lie."""
    return workers()[0]


def host_port(container_port: int) -> int:
    """Return the port of 127.0.0.1 that leads to a NodePort of the control plane. Raises E2EError."""
    answer = docker("port", control_plane(), f"{container_port}/tcp").split()
    if not answer:
        raise E2EError(f"port {container_port} is not mapped: make the cluster anew from {KIND_CONFIG.name}")
    return int(answer[0].rpartition(":")[2])


def load(images: Sequence[str], on: Sequence[str]) -> None:
    """Bring images to nodes; what a node has already costs a moment."""
    kind("load", "docker-image", "--name", cluster_name(), "--nodes", ",".join(on), *images)


def add_image_name(node: str, image: str, name: str) -> None:
    """Give an image that a node has another name there, as if that one had been pulled. Raises E2EError."""
    known = node_shell(node, f"ctr --namespace=k8s.io images list -q | grep -- '/{image}$'").split()[0]
    registry = known.removesuffix(image)
    _ctr(node, "tag", "--force", known, f"{registry}{name}")


def remove_image_name(node: str, name: str) -> None:
    """Take a name away again; the image keeps its others. Raises E2EError."""
    node_shell(
        node, f"ctr --namespace=k8s.io images list -q | grep -- '/{name}$' | xargs -r ctr -n k8s.io images rm"
    )


def _ctr(node: str, *arguments: str) -> None:
    docker("exec", node, "ctr", "--namespace=k8s.io", "images", *arguments)


def down(say: Callable[[str], None] = say) -> None:
    """Delete the cluster, end the dockerd that `ensure_docker` started; of our own files only the logs stay."""
    if machine.works() and exists():
        _delete()
        say(f"cluster {cluster_name()} is deleted")
    machine.stop_docker(say)
    for path in state_directory().glob("*"):
        if path.is_dir() and path.name != "logs":
            shutil.rmtree(path)
        elif not path.is_dir():
            path.unlink()
    if state_directory().exists() and not any(state_directory().iterdir()):
        state_directory().rmdir()


def node_shell(node: str, script: str, *, timeout: float = 60) -> str:
    """Run a shell script on a node, as root. Raises E2EError. Seconds."""
    return docker("exec", node, "bash", "-c", script, timeout=timeout)
