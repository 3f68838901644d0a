"""Owns the fixtures of the tests on a kind cluster: `make e2e` brings it up, the tests only use it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.e2e import cluster, deploy, manifests, objectstore
from devstack.e2e.shell import E2EError
from support import kind_watch
from support.kind_scene import KindScene, PublisherPod


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes the operator away from the cluster runs last, and with it the look for what is stuck."""
    items.sort(key=lambda item: item.path.stem == "test_kind_uninstall")


@pytest.fixture(scope="session")
def kind_cluster() -> Iterator[None]:
    """The cluster with all that runs in it; after the last test nothing of any test is left."""
    try:
        deploy.kubectl("get", "--namespace", manifests.OPERATOR_NAMESPACE, f"deployment/{manifests.OPERATOR}")
    except E2EError as error:
        pytest.fail(
            f"no cluster with the operator answers, run `python -m devstack.e2e --up` first ({error})"
        )
    yield
    if "PYTEST_XDIST_WORKER" not in os.environ:  # beside others "after the last test" is nowhere
        assert kind_watch.stuck_objects(timeout=120) == []


@pytest.fixture
def kind_scene(kind_cluster: None) -> Iterator[KindScene]:
    """A fresh namespace under Pod Security restricted, with a claim and an S3 Secret."""
    with scene() as made:
        yield made


@pytest.fixture(scope="module")
def shared_scene(kind_cluster: None) -> Iterator[KindScene]:
    """One namespace for all tests of a module."""
    with scene() as made:
        yield made


@pytest.fixture(scope="module")
def shared_publisher(shared_scene: KindScene) -> Iterator[PublisherPod]:
    """Alice, in the shared scene's room for all tests of a module."""
    with shared_scene.publisher() as publisher:
        yield publisher


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the `figure:` lines of all tests once more, which are hidden for those that passed."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    lines = [line for report in reports for line in report.capstdout.splitlines()]
    for line in dict.fromkeys(line for line in lines if line.startswith("figure: ")):
        terminalreporter.write_line(line)


@contextmanager
def scene() -> Iterator[KindScene]:
    """Make a scene; its logs are kept, all else goes. The namespace's end is awaited after the last test only."""
    name = f"e2e-{secrets.token_hex(4)}"
    store = deploy.store()
    deploy.apply(manifests.namespace(name), objectstore.credentials(name, store.keys))
    made = KindScene(name, deploy.make_claim(name), store)
    try:
        yield made
    finally:
        _keep_logs(name)
        # What still records ends here, so that the next test finds the cores free.
        deploy.kubectl("delete", "egress", "--all", "--namespace", name, "--timeout=120s")
        deploy.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
        deploy.remove_claims(name)
        store.remove(f"{made.room}/")


@pytest.fixture
def undisturbed(kind_scene: KindScene) -> Iterator[None]:
    """For cases in which nothing is broken on purpose: no error-level line and no restart anywhere."""
    mark = kind_watch.Mark()
    yield
    mark.assert_undisturbed(kind_scene.namespace)


@pytest.fixture
def undisturbed_shared(shared_scene: KindScene) -> Iterator[None]:
    """As `undisturbed`, in the module's namespace."""
    mark = kind_watch.Mark()
    yield
    mark.assert_undisturbed(shared_scene.namespace)


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
