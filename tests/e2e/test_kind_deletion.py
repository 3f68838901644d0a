"""A recording that is deleted in mid-recording, whoever deletes it and how: the file is complete, nothing is stuck."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kubernetes import client, config

from devstack.e2e import cluster, deploy
from support.kind_media import assert_good
from support.kind_scene import KindRecording, KindScene
from support.kind_watch import left

pytestmark = [pytest.mark.e2e, pytest.mark.beside, pytest.mark.timeout(300)]

SECONDS = 5
PLURAL = "participantegresses"


def recorded(scene: KindScene, name: str, *, room: str = "", **spec: object) -> KindRecording:
    """A recording of Alice that has been writing media for `SECONDS`."""
    outputs = [scene.output("ParticipantEgress", "s3")]
    outputs[0]["filepath"] = f"{scene.namespace}/{name}"
    more = {"roomName": room} if room else {}
    recording = scene.apply("ParticipantEgress", name, identity="alice", fileOutputs=outputs, **more, **spec)
    recording.wait("condition=Recording")
    time.sleep(SECONDS)
    return recording


def assert_complete(scene: KindScene, name: str, directory: Path) -> None:
    """The object's file lies in the bucket and plays; nothing of the recording is left in the namespace."""
    key = f"{scene.namespace}/{name}.mp4"
    assert key in scene.stored()
    [report] = scene.reports("s3", [key], directory)
    assert_good(report, seconds=SECONDS - 1)


def prune(scene: KindScene, name: str, policy: str) -> None:
    """Delete as Argo CD and Flux do: another client than kubectl, a propagation policy, no waiting."""
    api = client.CustomObjectsApi(config.new_client_from_config(str(cluster.kubeconfig())))
    api.delete_namespaced_custom_object(
        "egress.livekit.io",
        "v1alpha1",
        scene.namespace,
        PLURAL,
        name,
        body=client.V1DeleteOptions(propagation_policy=policy),
    )


def wait_gone(recording: KindRecording, timeout: float = 60) -> None:
    """Wait until the object has gone."""
    deadline = time.monotonic() + timeout
    while recording.exists():
        assert time.monotonic() < deadline, f"still there: {recording.body()}"
        time.sleep(0.3)


@pytest.mark.usefixtures("shared_publisher", "undisturbed_shared")
def test_kubectl_delete_while_recording_finishes_the_file_before_the_object_goes(
    shared_scene: KindScene, tmp_path: Path
) -> None:
    recording = recorded(shared_scene, "deleted")
    deleting = time.monotonic()
    recording.kubectl("delete", "--timeout=90s")
    print(f"figure: delete_s={time.monotonic() - deleting:.1f}")

    assert_complete(shared_scene, "deleted", tmp_path)
    assert left(shared_scene.namespace) == []


@pytest.mark.usefixtures("shared_publisher", "undisturbed_shared")
def test_kubectl_delete_cascade_foreground_while_recording_finishes_the_file(
    shared_scene: KindScene, tmp_path: Path
) -> None:
    recording = recorded(shared_scene, "foreground")
    recording.kubectl("delete", "--cascade=foreground", "--timeout=90s")

    assert_complete(shared_scene, "foreground", tmp_path)
    assert left(shared_scene.namespace) == []


@pytest.mark.usefixtures("shared_publisher", "undisturbed_shared")
@pytest.mark.parametrize("policy", ["Foreground", "Background"])
def test_a_prune_by_a_gitops_tool_while_recording_finishes_the_file(
    shared_scene: KindScene, tmp_path: Path, policy: str
) -> None:
    name = f"pruned-{policy.lower()}"
    recording = recorded(shared_scene, name)
    prune(shared_scene, name, policy)
    wait_gone(recording)

    assert_complete(shared_scene, name, tmp_path)
    assert left(shared_scene.namespace) == []


@pytest.mark.usefixtures("shared_publisher", "undisturbed_shared")
def test_a_finished_recording_goes_after_its_ttl_and_a_prune_may_come_in_between(
    shared_scene: KindScene, tmp_path: Path
) -> None:
    left_alone = recorded(shared_scene, "ttl", ttlSecondsAfterFinished=4)
    pruned = shared_scene.apply(
        "ParticipantEgress", "ttl-pruned", identity="alice", ttlSecondsAfterFinished=600
    )
    left_alone.finish()
    pruned.finish()
    prune(shared_scene, "ttl-pruned", "Foreground")

    wait_gone(pruned, timeout=15)
    wait_gone(left_alone, timeout=30)
    assert_complete(shared_scene, "ttl", tmp_path)
    assert left(shared_scene.namespace) == []


@pytest.mark.usefixtures("shared_publisher", "undisturbed_shared")
def test_a_recording_that_still_waits_is_deleted_at_once(shared_scene: KindScene) -> None:
    recording = shared_scene.apply(
        "ParticipantEgress", "waiting", identity="nobody", roomName=f"{shared_scene.room}-empty"
    )
    recording.until_reason("WaitingForRoom")
    deleting = time.monotonic()
    recording.kubectl("delete", "--timeout=30s")

    assert time.monotonic() - deleting < 5
    assert left(shared_scene.namespace) == []


@pytest.mark.usefixtures("shared_publisher")
def test_a_namespace_deleted_in_mid_recording_leaves_the_complete_file_in_the_bucket(
    shared_scene: KindScene, kind_scene: KindScene, tmp_path: Path
) -> None:
    recorded(kind_scene, "alice", room=shared_scene.room)
    deploy.kubectl("delete", "namespace", kind_scene.namespace, "--timeout=90s")

    assert_complete(kind_scene, "alice", tmp_path)
