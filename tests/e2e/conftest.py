"""Owns the fixtures of the tests on a kind cluster: `make e2e` brings it up, the tests only use it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.e2e import cluster, deploy, manifests
from devstack.e2e.shell import E2EError
from support.kind_scene import KindScene


@pytest.fixture(scope="session")
def kind_cluster() -> None:
    """The cluster with operator and livekit-server; fails with the command that makes it."""
    try:
        deploy.kubectl("get", "--namespace", manifests.OPERATOR_NAMESPACE, f"deployment/{manifests.OPERATOR}")
    except E2EError as error:
        pytest.fail(
            f"no cluster with the operator answers, run `python -m devstack.e2e --up` first ({error})"
        )


@pytest.fixture
def kind_scene(kind_cluster: None) -> Iterator[KindScene]:
    """A fresh namespace under Pod Security restricted with a claim; its logs are kept, the rest is deleted."""
    name = f"e2e-{secrets.token_hex(4)}"
    deploy.apply(manifests.namespace(name))
    scene = KindScene(name, deploy.make_claim(name))
    try:
        yield scene
    finally:
        _keep_logs(name)
        deploy.kubectl("delete", "namespace", name, "--timeout=120s")
        deploy.remove_claim(name)


def _keep_logs(namespace: str) -> Path:
    """Write what a failure is understood from; a pod that has no log yet is no failure here."""
    directory = cluster.state_directory() / "logs" / namespace
    directory.mkdir(parents=True, exist_ok=True)
    wanted = {
        "objects.yaml": ["get", "egress,jobs,pods,events", "--namespace", namespace, "-o", "yaml"],
        "operator.log": ["logs", "-n", manifests.OPERATOR_NAMESPACE, f"deployment/{manifests.OPERATOR}"],
        "livekit.log": ["logs", "-n", manifests.LIVEKIT_NAMESPACE, f"deployment/{manifests.LIVEKIT}"],
    }
    for pod in deploy.get("pods", "--namespace", namespace)["items"]:
        pod_name = pod["metadata"]["name"]
        wanted[f"{pod_name}.log"] = ["logs", "--namespace", namespace, pod_name]
    for file, command in wanted.items():
        try:
            text = deploy.kubectl(*command)
        except E2EError as error:
            text = str(error)
        (directory / file).write_text(text)
    return directory
