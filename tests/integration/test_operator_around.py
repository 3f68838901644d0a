"""What surrounds a recording, against the real API server: queue, default storage, time to live, refusals, corrections."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.livekit import LiveKitServer
from devstack.operatorprocess import OperatorProcess
from devstack.s3 import S3Server
from devstack.stack import Stack
from egress_operator import names
from support.operator_scene import FAKE_RECORDER, OperatorScene, Shown, scene_in

pytestmark = pytest.mark.integration

QUEUE = {names.LABEL_QUEUE: "recordings", "kueue.x-k8s.io/priority-class": "high"}
NAMELESS: list[dict[str, Any]] = [{"filepath": "{room_name}/x"}]


@pytest.fixture(scope="module")
def fake_stack(
    tmp_path_factory: pytest.TempPathFactory, livekit_server: LiveKitServer, s3_server: S3Server
) -> Iterator[Stack]:
    """A stack of its own: its operator starts fake recorders and gets other settings now and then."""
    directory = tmp_path_factory.mktemp("around")
    settings = FAKE_RECORDER
    with Stack(directory, livekit=livekit_server, s3=s3_server, operator_settings=settings) as stack:
        yield stack


@pytest.fixture
def scene(fake_stack: Stack) -> Iterator[OperatorScene]:
    with scene_in(fake_stack, "around") as made:
        yield made


@pytest.fixture
def operator_with(scene: OperatorScene) -> Iterator[Any]:
    """Restart the operator with further settings; afterwards it has its own again."""
    yield scene.stack.operator.restart
    scene.stack.operator.restart()


def patch_job(recording: Shown, job: str, spec: dict[str, Any]) -> None:
    path = f"/apis/batch/v1/namespaces/{recording.namespace}/jobs/{job}"
    recording.api.request("PATCH", path, {"spec": spec}, content_type="application/merge-patch+json")


def errors_of(operator: OperatorProcess) -> list[str]:
    lines = [line for line in operator.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if json.loads(line)["level"] in {"error", "critical"}]


# ---- Kueue -----------------------------------------------------------------------------------------------------


def test_a_queued_recording_waits_for_its_admission_and_goes_on_by_itself(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(labels=QUEUE)
    message = recording.until_reason("Queued")
    job = recording.children("jobs")[0]

    assert "queue recordings has not admitted it yet" in message
    assert recording.status()["phase"] == "Pending"
    assert recording.status()["message"] == message
    assert job["spec"]["suspend"] is True
    assert QUEUE.items() <= job["metadata"]["labels"].items()
    assert recording.children("pods") == []

    # What Kueue does on admission: where the pod goes is its decision, and then the Job may run.
    patch_job(recording, job["metadata"]["name"], {"template": {"spec": {"nodeSelector": {}}}})
    patch_job(recording, job["metadata"]["name"], {"suspend": False})
    recording.until_phase("Active")
    assert [one["metadata"]["uid"] for one in recording.children("jobs")] == [job["metadata"]["uid"]]


def test_a_preempted_recording_queues_again_as_the_next_part_and_nothing_is_recorded_twice(
    scene: OperatorScene,
) -> None:
    scene.open_room()
    recording = scene.apply(labels=QUEUE)
    recording.until_reason("Queued")
    first = recording.children("jobs")[0]["metadata"]["name"]
    patch_job(recording, first, {"suspend": False})
    recording.until_phase("Active")
    patch_job(recording, first, {"suspend": True})
    recording.until(lambda s: s.get("part") == 2 and "is suspended" in s["message"], "part 2 in the queue")

    jobs = [one["metadata"]["name"] for one in recording.children("jobs")]
    assert jobs == [first.removesuffix("-1") + "-2"]
    assert recording.status()["parts"][0]["endReason"] == "Interrupted"
    patch_job(recording, jobs[0], {"suspend": False})
    recording.until(lambda _: recording.condition("Recording")["status"] == "True", "recording again")
    recording.change(desiredState="Stopped")
    assert [part["part"] for part in recording.until_phase("Complete")["parts"]] == [1, 2]


def test_a_queued_recording_that_is_stopped_leaves_no_job(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(labels=QUEUE)
    recording.until_reason("Queued")
    recording.change(desiredState="Stopped")

    recording.until_phase("Aborted")
    recording.until(lambda _: not recording.body()["metadata"].get("finalizers"), "release")
    assert recording.children("jobs") == []


# ---- storage ---------------------------------------------------------------------------------------------------


def test_a_recording_without_a_destination_says_so_until_it_is_created_anew(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(fileOutputs=NAMELESS)

    assert "spec.storage" in recording.until_reason("NoStorage")
    assert recording.children("jobs") == []


def test_spec_storage_is_the_destination_of_each_output_that_names_none(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(fileOutputs=NAMELESS, storage={"pvc": {"claimName": "recordings"}})
    status = recording.until_phase("Active")

    assert status["resolved"]["storage"] == [{"origin": "spec.storage", "pvc": {"claimName": "recordings"}}]


def test_the_default_storage_serves_allowed_namespaces_and_its_secret_is_asked_for_by_name(
    scene: OperatorScene, operator_with: Any
) -> None:
    s3 = {
        "bucket": "company",
        "endpoint": "http://127.0.0.1:9",
        "credentialsSecretRef": {"name": "company-keys"},
    }
    settings = {"EGRESS_DEFAULT_STORAGE": json.dumps({"s3": s3})}
    operator_with(settings | {"EGRESS_DEFAULT_STORAGE_ALLOWED_NAMESPACES": "elsewhere"})
    scene.open_room()
    recording = scene.apply(fileOutputs=NAMELESS)
    assert scene.namespace in recording.until_reason("StorageNotAllowed")
    assert recording.children("jobs") == []

    operator_with(settings | {"EGRESS_DEFAULT_STORAGE_ALLOWED_NAMESPACES": f"elsewhere,{scene.namespace}"})
    message = recording.until_reason("MissingSecret", seconds=40)
    assert "the operator's default storage asks for it: create Secret company-keys" in message
    assert recording.status()["resolved"]["storage"][0] == {"origin": "operator", "s3": s3}

    scene.stack.api.create_secret(scene.namespace, "company-keys", {"access_key": "a", "secret": "b"})
    recording.until_phase("Active", seconds=40)


# ---- what can be corrected while a pod waits -------------------------------------------------------------------


def test_a_corrected_image_of_the_operator_reaches_a_recording_whose_pod_cannot_start(
    scene: OperatorScene, operator_with: Any
) -> None:
    operator_with({"EGRESS_RECORDER_IMAGE": "missing/recorder:1"})
    scene.open_room()
    recording = scene.apply(limits={"maxParts": 1})
    message = recording.until_reason("ImagePullFailed")
    # The words may change in between (ErrImagePull, then ImagePullBackOff).
    assert all("missing/recorder:1" in said for said in (message, recording.status()["message"]))
    assert recording.status()["phase"] == "Pending"

    operator_with({})
    recording.until_phase("Active", seconds=40)
    assert len(recording.children("jobs")) == 1


def test_a_corrected_template_reaches_a_recording_whose_pod_has_no_node(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(template={"nodeSelector": {"disk": "gold"}, "labels": {"team": "media"}})
    assert "node" in recording.until_reason("Unschedulable")
    assert recording.children("pods")[0]["metadata"]["labels"]["team"] == "media"
    recording.change(template={"nodeSelector": None})

    recording.until_phase("Active", seconds=40)


def test_a_template_that_the_api_server_refuses_is_told_in_its_words(scene: OperatorScene) -> None:
    scene.open_room()
    terms = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": "gold"}}
    recording = scene.apply(template={"affinity": {"nodeAffinity": terms}})
    message = recording.until_reason("Refused")
    assert "nodeSelectorTerms" in message
    assert recording.status()["phase"] == "Pending"

    recording.change(template={"affinity": None})
    recording.until_phase("Active", seconds=40)


def test_a_pod_that_admission_refuses_is_told_and_goes_on_by_itself(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(template={"serviceAccountName": "later"})
    assert '"later" not found' in recording.until_reason("Refused", seconds=40)

    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "later"}}
    scene.stack.api.create("serviceaccounts", scene.namespace, account)
    recording.until_phase("Active", seconds=90)


def test_a_restricted_namespace_takes_the_pod_with_the_whole_template(scene: OperatorScene) -> None:
    scene.open_room()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    path = f"/api/v1/namespaces/{scene.namespace}"
    patch = {"metadata": {"labels": labels}}
    scene.stack.api.request("PATCH", path, patch, content_type="application/merge-patch+json")
    recording = scene.apply(
        template={
            "env": [{"name": "HTTPS_PROXY", "value": "http://127.0.0.1:9"}],
            "volumes": [{"name": "more", "emptyDir": {"sizeLimit": "1Mi"}}],
            "volumeMounts": [{"name": "more", "mountPath": "/more"}],
            "tolerations": [{"key": "x", "operator": "Exists"}],
        }
    )

    recording.until_phase("Active")


# ---- ttlSecondsAfterFinished -----------------------------------------------------------------------------------


def test_a_finished_recording_goes_after_its_time_with_all_it_owns(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2,after=0.3", ttlSecondsAfterFinished=3)
    recording.until_phase("Complete")
    uid = recording.body()["metadata"]["uid"]
    recording.until_gone(seconds=15)

    owned = f"{names.LABEL_UID}={uid}"
    deadline = time.monotonic() + 20
    while any(
        scene.stack.api.list(kind, scene.namespace, labels=owned) for kind in ("jobs", "pods", "secrets")
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_the_time_to_live_survives_the_operator_and_can_be_given_later(scene: OperatorScene) -> None:
    scene.open_room()
    first = scene.apply("first", identity="media=0.2,after=0.3", ttlSecondsAfterFinished=5)
    later = scene.apply("later", identity="media=0.2,after=0.3")
    first.until_phase("Complete")
    later.until_phase("Complete")
    scene.stack.operator.kill()
    later.change(ttlSecondsAfterFinished=1)
    scene.stack.operator.start()

    first.until_gone(seconds=25)
    later.until_gone(seconds=25)


# ---- two operators ---------------------------------------------------------------------------------------------


def test_two_operators_at_once_record_nothing_twice_and_complain_about_nothing(scene: OperatorScene) -> None:
    scene.open_room()
    stack = scene.stack
    directory = stack.directory / "second"
    directory.mkdir(exist_ok=True)
    settings = FAKE_RECORDER
    second = OperatorProcess(stack.plane, stack.livekit, directory, settings=settings)
    before = len(errors_of(stack.operator))
    second.start()
    try:
        scripts = {
            "natural": "media=0.2,after=2",
            "stopped": "media=0.2",
            "deleted": "media=0.2,linger=1",
            "crashed": "media=0.2,after=1,end=crash,parts=1",
            "limited": "media=0.2,after=1,end=limit",
        }
        shown = {name: scene.apply(name, identity=script) for name, script in scripts.items()}
        for recording in shown.values():
            recording.until(lambda s: "startedAt" in s, "media", seconds=40)
        shown["crashed"].until(lambda s: s.get("part") == 2, "part 2", seconds=40)
        shown["crashed"].until(
            lambda _: shown["crashed"].condition("Recording")["status"] == "True", "part 2 records"
        )
        shown["stopped"].change(desiredState="Stopped")
        shown["crashed"].change(desiredState="Stopped")
        shown["deleted"].delete()
        shown["deleted"].until_gone(seconds=40)
        ends = {
            name: shown[name].until_phase("Complete", seconds=40)
            for name in ("natural", "stopped", "crashed", "limited")
        }
    finally:
        second.stop()

    assert {name: end["phase"] for name, end in ends.items()} == {
        "natural": "Complete",
        "stopped": "Complete",
        "crashed": "Complete",
        "limited": "LimitReached",
    }
    jobs = {name: len(shown[name].children("jobs")) for name in ends}
    assert jobs == {"natural": 1, "stopped": 1, "crashed": 2, "limited": 1}
    parts = {name: [part["part"] for part in end["parts"]] for name, end in ends.items()}
    assert parts == {"natural": [1], "stopped": [1], "crashed": [1, 2], "limited": [1]}
    assert errors_of(stack.operator)[before:] == []
    assert errors_of(second) == []
