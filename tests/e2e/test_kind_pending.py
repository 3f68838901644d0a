"""What holds a recording back on a real cluster is said in the condition and in `kubectl get -o wide`; then it goes on.

Alice is in the shared room all the time: each recording starts by itself as soon as its obstacle is gone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.e2e import cluster, deploy, objectstore
from devstack.e2e.deploy import kubectl
from devstack.e2e.manifests import Document
from support.kind_pending import goes_on, held_back
from support.kind_scene import KindScene

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.beside,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("shared_publisher"),
]

PLACE = "e2e/place"


def quota(where: str, hard: dict[str, str]) -> Document:
    """A quota that nothing fits into."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight", "namespace": where},
        "spec": {"hard": hard},
    }


@pytest.fixture
def labelled_worker() -> Iterator[str]:
    """The name of a worker whose label is taken off again."""
    node = cluster.workers()[-1]
    yield node
    kubectl("label", "node", node, f"{PLACE}-")


@pytest.mark.usefixtures("undisturbed")
def test_an_unschedulable_pod_goes_on_when_a_node_fits(
    kind_scene: KindScene, shared_scene: KindScene, labelled_worker: str
) -> None:
    recording = kind_scene.apply(
        "ParticipantEgress",
        "alice",
        identity="alice",
        roomName=shared_scene.room,
        template={"nodeSelector": {PLACE: "stage"}},
    )
    held_back(recording, "Unschedulable", "node")
    kubectl("label", "node", labelled_worker, f"{PLACE}=stage")
    recording.wait("condition=Recording")
    assert recording.node() == labelled_worker
    goes_on(recording)


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("resource", ["pods", "count/jobs.batch"])
def test_an_exceeded_quota_is_named_and_the_recording_goes_on_when_it_is_lifted(
    kind_scene: KindScene, shared_scene: KindScene, resource: str
) -> None:
    deploy.apply(quota(kind_scene.namespace, {resource: "0"}))
    recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice", roomName=shared_scene.room)
    held_back(recording, "QuotaExceeded", "tight", resource)
    kubectl("delete", "resourcequota", "--namespace", kind_scene.namespace, "tight")
    goes_on(recording)


@pytest.mark.usefixtures("undisturbed")
def test_a_missing_storage_secret_is_named_and_the_recording_goes_on_when_it_exists(
    kind_scene: KindScene, shared_scene: KindScene
) -> None:
    recording = kind_scene.apply(
        "ParticipantEgress",
        "alice",
        identity="alice",
        roomName=shared_scene.room,
        fileOutputs=[objectstore.output("{room_name}/late-secret", secret="late")],
    )
    held_back(recording, "MissingSecret", "late")
    deploy.apply(objectstore.credentials(kind_scene.namespace, kind_scene.store.keys, name="late"))
    goes_on(recording, timeout=150)


@pytest.mark.usefixtures("undisturbed")
def test_a_missing_volume_claim_is_named_and_the_recording_goes_on_when_it_exists(
    kind_scene: KindScene, shared_scene: KindScene
) -> None:
    recording = kind_scene.apply(
        "ParticipantEgress",
        "alice",
        identity="alice",
        roomName=shared_scene.room,
        fileOutputs=[{"filepath": "alice", "pvc": {"claimName": "late"}}],
    )
    held_back(recording, "MissingVolumeClaim", "late")
    deploy.make_claim(kind_scene.namespace, name="late")
    goes_on(recording)


@pytest.mark.usefixtures("undisturbed")
def test_a_suspended_job_is_queued_and_the_recording_goes_on_when_the_queue_admits_it(
    kind_scene: KindScene, shared_scene: KindScene
) -> None:
    """Kueue's part is played by hand: its webhook suspends a labelled Job at creation, its admission resumes it."""
    # Without a pod the Job is suspended as early as Kueue's webhook does it.
    deploy.apply(quota(kind_scene.namespace, {"pods": "0"}))
    recording = kind_scene.apply(
        "ParticipantEgress",
        "alice",
        identity="alice",
        roomName=shared_scene.room,
        labels={"kueue.x-k8s.io/queue-name": "recordings"},
    )
    job = recording.until(lambda status: bool(status.get("jobName")), "Job")["jobName"]
    [found] = kind_scene.get("jobs")
    assert found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "recordings"
    suspend(kind_scene, job, suspended=True)
    kubectl("delete", "resourcequota", "--namespace", kind_scene.namespace, "tight")
    held_back(recording, "Queued", "queue")
    suspend(kind_scene, job, suspended=False)
    goes_on(recording)


def suspend(scene: KindScene, job: str, *, suspended: bool) -> None:
    """Set the field that belongs to the queue."""
    patch = f'{{"spec":{{"suspend":{str(suspended).lower()}}}}}'
    kubectl("patch", "job", "--namespace", scene.namespace, job, "--type=merge", "--patch", patch)
