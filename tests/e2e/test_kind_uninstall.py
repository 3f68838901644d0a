"""The commands of docs/uninstall.md, in mid-recording and in either order: no finalizer is stuck, the file is complete.

These tests take the operator and its definitions away from the whole cluster and bring them back: they run last.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.e2e import deploy, manifests, release
from devstack.e2e.deploy import kubectl
from devstack.e2e.shell import run
from devstack.operatorprocess import REPOSITORY
from egress_operator import names
from support import kind_watch
from support.documents import blocks
from support.kind_faults import wait_operator
from support.kind_media import assert_good
from support.kind_scene import CHILDREN, KindRecording, KindScene

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

PAGE = REPOSITORY / "docs" / "uninstall.md"
SECONDS = 5
DEFINITIONS = tuple(f"crd/{plural}.{names.GROUP}" for plural in names.PLURALS.values())


@pytest.fixture
def reinstalled(kind_scene: KindScene) -> Iterator[None]:
    """Everything is installed again, before the scene is taken down."""
    yield
    keys = deploy.secret(manifests.LIVEKIT_NAMESPACE, manifests.SERVER_SECRET)
    deploy.apply(manifests.namespace(manifests.OPERATOR_NAMESPACE))
    deploy.apply(
        *manifests.connection_secrets(api_key=keys["LIVEKIT_API_KEY"], api_secret=keys["LIVEKIT_API_SECRET"])
    )
    release.upgrade()
    kubectl("wait", "--for=condition=Established", "--timeout=60s", *DEFINITIONS)
    wait_operator()


def documented(info: str) -> list[str]:
    """The page's blocks with this info string, in order."""
    found = [block.text for block in blocks(PAGE) if block.info == f"sh {info}"]
    assert found, f"{PAGE.name} has no block marked `sh {info}`"
    return found


def execute(script: str) -> str:
    """Run a block as its reader does."""
    command = ("bash", "-euo", "pipefail", "-c", script)
    return run(*command, env=deploy.command_environment(), cwd=REPOSITORY, timeout=240)


def recording_of_alice(scene: KindScene) -> KindRecording:
    """A recording that has been writing media for `SECONDS`."""
    recording = scene.apply("ParticipantEgress", "alice", identity="alice")
    recording.wait("condition=Recording")
    time.sleep(SECONDS)
    return recording


def is_there(*target: str) -> bool:
    """Whether the cluster has an object."""
    return bool(kubectl("get", *target, "--ignore-not-found", "--output=name").strip())


def children(scene: KindScene, timeout: float = 60) -> list[str]:
    """What recordings have left in the namespace after the garbage collector's work."""
    deadline = time.monotonic() + timeout
    while found := scene.get("jobs,pods,secrets", "--selector", CHILDREN):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    return [f"{body['kind']}/{body['metadata']['name']}" for body in found]


def assert_one_file(scene: KindScene, directory: Path, *, phase: str) -> None:
    """One file that plays; the manifest beside it says how the recording ended."""
    [name] = scene.stored()
    [report] = scene.reports("s3", [name], directory)
    assert_good(report, seconds=SECONDS - 1)
    [manifest] = [key for key in scene.store.names(f"{scene.room}/") if key.endswith(".json")]
    assert json.loads(scene.store.read(manifest))["phase"] == phase


def assert_gone() -> None:
    """Neither operator nor definitions are left."""
    # Helm waits for the Deployment, not for its pod.
    wait_operator(replicas=0)
    assert [name for name in DEFINITIONS if is_there(name)] == []
    assert release.NAME not in release.helm("list", "--all-namespaces", "--short").split()


@pytest.mark.usefixtures("reinstalled")
def test_uninstalled_in_the_documented_order_in_mid_recording_completes_the_file(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    """Issue 4 §4: CRDs and operator uninstalled; the order that the page recommends."""
    [script] = documented("in-order")
    with kind_scene.publisher():
        recording_of_alice(kind_scene)
        execute(script)

    assert_gone()
    assert not is_there("namespace", manifests.OPERATOR_NAMESPACE)
    assert children(kind_scene) == []
    assert_one_file(kind_scene, tmp_path, phase="Complete")


@pytest.mark.usefixtures("reinstalled")
def test_definitions_uninstalled_first_in_mid_recording_complete_the_file(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    """Issue 4 §4: CRDs and operator uninstalled in either order; here the CRDs first."""
    [script] = documented("crds-first")
    with kind_scene.publisher():
        recording_of_alice(kind_scene)
        execute(script)

    assert_gone()
    assert children(kind_scene) == []
    assert_one_file(kind_scene, tmp_path, phase="Complete")


@pytest.mark.usefixtures("reinstalled")
def test_the_operator_uninstalled_first_in_mid_recording_leaves_nothing_stuck(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    """Issue 4 §4: CRDs and operator uninstalled in either order; here the operator first, while it records."""
    uninstall, free = documented("operator-first")
    with kind_scene.publisher():
        recording = recording_of_alice(kind_scene)
        execute(uninstall)
        wait_operator(replicas=0)
        [pod] = kind_scene.get("pods", "--selector", CHILDREN)
        assert pod["status"]["phase"] == "Running"
        # What the page warns of: nobody is there to take the finalizer away.
        recording.kubectl("delete", "--wait=false")
        time.sleep(3)
        assert recording.body()["metadata"]["finalizers"] == [names.FINALIZER]
        execute(free)

        assert_gone()
        assert children(kind_scene) == []
    assert_one_file(kind_scene, tmp_path, phase="Interrupted")


def test_after_all_tests_nothing_is_stuck_in_the_cluster(kind_cluster: None) -> None:
    """Issue 4: zero stuck objects after the whole e2e."""
    assert kind_watch.stuck_objects(timeout=180) == []
