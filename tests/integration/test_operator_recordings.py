"""The operator against the real API server, livekit-server and pods that run: only the media is missing."""

from __future__ import annotations

import base64
import json
import re
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


@pytest.fixture(scope="module")
def fake_stack(
    tmp_path_factory: pytest.TempPathFactory, livekit_server: LiveKitServer, s3_server: S3Server
) -> Iterator[Stack]:
    """A stack of its own: its operator starts fake recorders and is killed now and then."""
    directory = tmp_path_factory.mktemp("operator")
    settings = FAKE_RECORDER | {"EGRESS_LOG_LEVEL": "DEBUG"}
    with Stack(directory, livekit=livekit_server, s3=s3_server, operator_settings=settings) as stack:
        yield stack


@pytest.fixture
def scene(fake_stack: Stack) -> Iterator[OperatorScene]:
    with scene_in(fake_stack, "op") as made:
        yield made


def settled(recording: Shown) -> None:
    """Wait until everything that a finished recording leaves is tidied."""
    recording.until(lambda _: not recording.body()["metadata"].get("finalizers"), "release")
    base = names.base_name(recording.name, recording.body()["metadata"]["uid"])
    assert recording.api.find("secrets", recording.namespace, base) is None
    jobs = recording.children("jobs")
    assert jobs
    assert {job["spec"].get("ttlSecondsAfterFinished") for job in jobs} == {3600}


def test_a_recording_waits_for_its_room_without_a_pod_and_runs_to_its_end(scene: OperatorScene) -> None:
    recording = scene.apply(identity="join=1,media=1.5,after=2,linger=1.5")
    message = recording.until_reason("WaitingForRoom")
    assert scene.room in message
    assert recording.children("pods") == []
    assert recording.children("jobs") == []
    assert "finalizers" not in recording.body()["metadata"]

    scene.open_room()
    recording.until_phase("Active")
    assert recording.condition("Recording")["status"] == "True"
    assert recording.condition("Ready")["status"] == "True"
    status = recording.until_phase("Complete")

    assert recording.phases == ["Pending", "Starting", "Active", "Ending", "Complete"]
    assert status["details"] == "End reason: Source closed"
    assert status["fileResults"][0]["location"] == f"fake://{scene.room}/x.mp4"
    assert status["roomId"].startswith("RM_")
    settled(recording)
    assert recording.events() == [
        ("Normal", "Starting"),
        ("Normal", "Active"),
        ("Normal", "Ending"),
        ("Normal", "Complete"),
    ]


def test_a_recorder_whose_encoder_saves_makes_the_recording_degraded_and_nothing_else(
    scene: OperatorScene,
) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.3,degraded=3,after=6")
    recording.until(lambda _: recording.condition("Degraded").get("status") == "True", "Degraded")
    assert recording.condition("Degraded")["reason"] == "EncoderBehind"
    assert "every second picture is a repetition" in recording.condition("Degraded")["message"]
    for name in ("Ready", "Recording"):
        assert recording.condition(name)["status"] == "True"

    recording.until(lambda _: recording.condition("Degraded").get("status") == "False", "recovery")
    assert recording.status()["phase"] == "Active"
    status = recording.until_phase("Complete")

    assert status["progress"]["degraded"] == "3s"
    assert recording.condition("Degraded")["reason"] == "EncoderWasBehind"
    assert "3s of media" in recording.condition("Degraded")["message"]
    assert recording.condition("Ready")["status"] == "True"


def test_a_track_composite_is_stopped_and_stays_stopped(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(kind=names.TRACK_COMPOSITE_KIND, audioTrackId="TR_audio")
    recording.until_phase("Active")
    recording.change(desiredState="Stopped")
    status = recording.until_phase("Complete")
    assert status["details"] == "End reason: StopEgress API"
    assert status["resolved"]["tracks"] == "TR_audio+TR_video"
    settled(recording)

    recording.change(desiredState="Recording")
    recording.until(lambda s: s["observedGeneration"] == 3, "generation 3")
    assert recording.condition("StopLatched")["status"] == "True"
    assert recording.status()["phase"] == "Complete"


def test_a_stop_reaches_a_recorder_also_when_only_its_secret_does(scene: OperatorScene) -> None:
    # The identity makes the fake refuse the nudge: what is left is the mounted file.
    scene.open_room()
    recording = scene.apply(identity="media=0.2,deaf=1")
    recording.until_phase("Active")
    recording.change(desiredState="Stopped")

    assert recording.until_phase("Complete")["details"] == "End reason: StopEgress API"


def test_a_stop_before_the_room_exists_aborts_without_any_pod(scene: OperatorScene) -> None:
    recording = scene.apply()
    recording.until_reason("WaitingForRoom")
    recording.change(desiredState="Stopped")

    recording.until_phase("Aborted")
    assert recording.phases[-1] == "Aborted"
    assert recording.children("jobs") == []


def test_a_stop_before_any_media_aborts(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=600")
    recording.until_phase("Starting")
    recording.change(desiredState="Stopped")

    assert recording.until_phase("Aborted")["phase"] == "Aborted"
    settled(recording)


@pytest.mark.parametrize(
    ("script", "phase", "code"),
    [("end=limit", "LimitReached", None), ("end=failed", "Failed", 404), ("end=complete", "Complete", None)],
)
def test_each_verdict_of_a_recorder_becomes_the_phase(
    scene: OperatorScene, script: str, phase: str, code: int | None
) -> None:
    scene.open_room()
    recording = scene.apply(identity=f"media=0.2,after=0.5,{script}")
    status = recording.until_phase(phase)

    assert status["phase"] == phase
    assert status.get("errorCode") == code
    finished = recording.condition("Finished")
    assert (finished["status"], finished["reason"]) == ("True", phase)
    settled(recording)


# ---- parts -----------------------------------------------------------------------------------------------------


def test_a_killed_recorder_is_followed_by_a_second_part_in_the_same_recording(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.3,after=1.5,end=crash,parts=1")
    recording.until(
        lambda s: s.get("part") == 2 and recording.condition("Recording")["status"] == "True", "part 2"
    )
    assert recording.phases == [
        phase for phase in recording.phases if phase in {"Pending", "Starting", "Active"}
    ]
    assert recording.phases.count("Active") == 1
    recording.change(desiredState="Stopped")
    status = recording.until_phase("Complete")

    assert [part["part"] for part in status["parts"]] == [1, 2]
    assert status["parts"][0]["endReason"].startswith("Process killed")
    assert status["parts"][1]["filename"] == f"{scene.room}/x-p2.mp4"
    assert status["retryCount"] == 1
    settled(recording)


def test_a_deleted_pod_uploads_its_part_and_the_recording_goes_on(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.3")
    recording.until_phase("Active")
    pod = recording.children("pods")[0]["metadata"]["name"]
    recording.api.delete("pods", recording.namespace, pod)
    status = recording.until(
        lambda s: s.get("part") == 2 and recording.condition("Recording")["status"] == "True", "part 2"
    )

    assert status["parts"][0]["location"] == f"fake://{scene.room}/x.mp4"
    assert status["parts"][0]["endReason"] == "Interrupted"
    recording.change(desiredState="Stopped")
    assert len(recording.until_phase("Complete")["parts"]) == 2


def test_a_recorder_that_exits_with_zero_and_no_record_never_completes(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2,after=0.5,end=silent", limits={"maxParts": 2})
    status = recording.until_phase("Failed")

    assert status["phase"] == "Failed"
    assert "limits.maxParts" in status["error"]
    assert recording.condition("Stalled")["reason"] == "PartsExhausted"
    settled(recording)


# ---- deletion --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_deleting_a_running_recording_lets_the_recorder_finish_first(
    scene: OperatorScene, propagation: str
) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2,linger=1.5")
    recording.until_phase("Active")
    begun = time.monotonic()
    recording.delete(propagation)
    time.sleep(0.7)
    assert recording.exists()
    recording.until_gone()

    assert time.monotonic() - begun >= 1.4
    events = [reason for _, reason in recording.events()]
    assert events[-1] == "Complete"


def test_deleting_a_finished_recording_needs_no_operator(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2,after=0.3")
    recording.until_phase("Complete")
    settled(recording)
    scene.stack.operator.stop()
    try:
        recording.delete()
        recording.until_gone(seconds=3)
    finally:
        scene.stack.operator.start()


def test_deleting_a_namespace_ends_its_recordings(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2")
    recording.until_phase("Active")
    scene.stack.api.delete("namespaces", "", scene.namespace)

    recording.until_gone(seconds=40)


# ---- what can be missing or wrong ------------------------------------------------------------------------------


def test_a_missing_storage_secret_is_named_and_awaited(scene: OperatorScene) -> None:
    scene.open_room()
    s3 = {"bucket": "b", "credentialsSecretRef": {"name": "later"}}
    recording = scene.apply(fileOutputs=[{"filepath": "x", "s3": s3}])
    message = recording.until_reason("MissingSecret")
    assert '"later" not found' in message
    assert recording.status()["phase"] == "Pending"

    scene.stack.api.create_secret(scene.namespace, "later", {"access_key": "a", "secret": "b"})
    recording.until_phase("Active")


def test_a_missing_volume_claim_is_named(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(fileOutputs=[{"filepath": "x", "pvc": {"claimName": "nowhere"}}])

    assert '"nowhere"' in recording.until(
        lambda s: "nowhere" in s.get("message", ""), "claim", seconds=20
    )["message"]  # fmt: skip


def test_a_node_selector_that_no_node_has_is_unschedulable(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(template={"nodeSelector": {"disk": "gold"}})

    assert "node" in recording.until_reason("Unschedulable")
    recording.change(desiredState="Stopped")
    recording.until_phase("Aborted")
    recording.until(lambda _: not recording.body()["metadata"].get("finalizers"), "release")


def test_a_missing_livekit_secret_is_named_and_awaited(scene: OperatorScene) -> None:
    scene.open_room()
    server = scene.stack.livekit
    reference = {"url": server.url, "credentialsSecretRef": {"name": "livekit-key"}}
    recording = scene.apply(livekit=reference)
    assert "livekit-key" in recording.until_reason("MissingSecret")
    assert recording.children("jobs") == []

    values = {"api-key": server.api_key, "api-secret": server.api_secret}
    scene.stack.api.create_secret(scene.namespace, "livekit-key", values)
    recording.until_phase("Active", seconds=35)


def test_a_wrong_livekit_key_and_a_wrong_url_are_told_apart(scene: OperatorScene) -> None:
    server = scene.stack.livekit
    scene.stack.api.create_secret(
        scene.namespace, "wrong", {"api-key": server.api_key, "api-secret": "x" * 40}
    )
    reference = {"name": "wrong"}
    key = scene.apply("key", livekit={"url": server.url, "credentialsSecretRef": reference})
    url = scene.apply("url", livekit={"url": "ws://127.0.0.1:1", "credentialsSecretRef": reference})

    assert "Secret wrong" in key.until_reason("LiveKitUnauthorized")
    assert "127.0.0.1:1" in url.until_reason("LiveKitUnreachable")
    assert key.children("jobs") == url.children("jobs") == []


def test_a_quota_is_the_reason_and_goes_by_itself(scene: OperatorScene) -> None:
    scene.open_room()
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": scene.namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    path = f"/api/v1/namespaces/{scene.namespace}/resourcequotas"
    scene.stack.api.request("POST", path, quota)
    time.sleep(1)
    recording = scene.apply()
    assert "exceeded quota" in recording.until_reason("QuotaExceeded", seconds=20)

    scene.stack.api.request("DELETE", f"{path}/none")
    recording.until_phase("Active", seconds=60)


# ---- the operator itself ---------------------------------------------------------------------------------------


def essence(recording: Shown) -> dict[str, Any]:
    """Return the end state without times, ids and numbers."""
    status = recording.status()
    parts = [
        (part["part"], part["filename"], part["location"], part["endReason"]) for part in status["parts"]
    ]
    conditions = {
        condition["type"]: (condition["status"], condition["reason"]) for condition in status["conditions"]
    }
    finalizers = recording.body()["metadata"].get("finalizers")
    kept = {key: status.get(key) for key in ("phase", "details", "error", "errorCode", "part", "retryCount")}
    return kept | {"parts": parts, "conditions": conditions, "finalizers": finalizers}


@pytest.mark.parametrize("point", ["after-secret", "after-job", "before-final-status"])
def test_an_operator_killed_anywhere_comes_to_the_same_end(scene: OperatorScene, point: str) -> None:
    scene.open_room()
    operator = scene.stack.operator
    quiet = scene.apply("quiet", identity="media=0.2,after=1")
    quiet.until_phase("Complete")
    settled(quiet)
    operator.restart({"EGRESS_OPERATOR_CRASH_AT": point})
    struck = scene.apply("struck", identity="media=0.2,after=1")
    deadline = time.monotonic() + 20
    while operator.process.running:
        assert time.monotonic() < deadline, "the operator did not reach its crash point"
        time.sleep(0.05)
    operator.start()
    struck.until_phase("Complete")
    settled(struck)

    assert essence(struck) == essence(quiet)
    assert len(struck.children("jobs")) == 1


def test_an_operator_killed_while_recording_goes_on_where_it_was(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2")
    recording.until_phase("Active")
    scene.stack.operator.kill()
    recording.change(desiredState="Stopped")
    scene.stack.operator.start()

    assert recording.until_phase("Complete")["part"] == 1
    settled(recording)


def test_a_recording_survives_an_outage_of_the_api_server(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2")
    recording.until_phase("Active")
    pid = scene.stack.operator.process.pid
    scene.stack.plane.stop_api_server()
    time.sleep(3)
    scene.stack.plane.start_api_server()
    recording.change(desiredState="Stopped")

    assert recording.until_phase("Complete", seconds=45)["part"] == 1
    assert scene.stack.operator.process.pid == pid


def test_no_secret_is_in_any_log_status_or_event(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2")
    recording.until_phase("Active")
    uid = recording.body()["metadata"]["uid"]
    secret = recording.api.get("secrets", recording.namespace, names.base_name(recording.name, uid))
    token, control = (_decode(secret["data"][key]) for key in ("token", "control-token"))
    recording.change(desiredState="Stopped")
    recording.until_phase("Complete")

    everything = (
        scene.stack.operator.log.read_text()
        + json.dumps(recording.body())
        + json.dumps(recording.api.list("events", recording.namespace))
        + json.dumps(recording.children("pods"))
    )
    for hidden in (token, control, scene.stack.livekit.api_secret):
        assert hidden not in everything
    assert not re.search(r"eyJ[\w-]{10,}", everything)


def _decode(data: str) -> str:
    return base64.b64decode(data).decode()


def test_the_log_is_json_and_metrics_count_without_names(scene: OperatorScene) -> None:
    lines = scene.stack.operator.log.read_text().splitlines()
    assert lines
    assert all(
        {"time", "level", "message"} <= json.loads(line).keys() for line in lines if line.startswith("{")
    )
    metrics = scene.stack.operator.metrics()

    assert "egress_operator_api_calls_total" in metrics
    assert scene.namespace not in metrics


def test_sigterm_ends_the_operator_with_zero(scene: OperatorScene) -> None:
    process = scene.stack.operator.process
    begun = time.monotonic()
    scene.stack.operator.stop()
    elapsed = time.monotonic() - begun
    try:
        assert process.returncode == 0
        assert elapsed < 5
    finally:
        scene.stack.operator.start()


def test_two_operators_at_once_do_no_harm(scene: OperatorScene) -> None:
    scene.open_room()
    stack = scene.stack
    directory = stack.directory / "second"
    directory.mkdir(exist_ok=True)
    settings = FAKE_RECORDER
    second = OperatorProcess(stack.plane, stack.livekit, directory, settings=settings)
    second.start()
    try:
        recordings = [scene.apply(f"r{number}", identity="media=0.2,after=1") for number in range(6)]
        for recording in recordings:
            recording.until_phase("Complete", seconds=40)
            settled(recording)
    finally:
        second.stop()

    assert [len(recording.children("jobs")) for recording in recordings] == [1] * 6
    assert {recording.status()["phase"] for recording in recordings} == {"Complete"}


def test_an_image_that_cannot_be_pulled_is_the_reason(scene: OperatorScene) -> None:
    scene.open_room()
    scene.stack.operator.restart({"EGRESS_RECORDER_IMAGE": "missing/recorder:1"})
    try:
        recording = scene.apply()
        status = recording.until(lambda s: "Pull" in str(s.get("conditions")), "image trouble")
        assert status["phase"] == "Pending"
        recording.change(desiredState="Stopped")
        assert recording.until_phase("Aborted")["phase"] == "Aborted"
    finally:
        scene.stack.operator.restart()


def test_an_eviction_under_node_pressure_is_followed_by_the_next_part(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2")
    recording.until_phase("Active")
    pod = recording.children("pods")[0]["metadata"]["name"]
    scene.stack.runner.evict_by_kubelet(scene.namespace, pod)
    status = recording.until(lambda s: s.get("part") == 2, "part 2")

    assert "Evicted" in status["parts"][0]["endReason"]
    recording.change(desiredState="Stopped")
    recording.until_phase("Complete")


@pytest.mark.slow
def test_a_part_on_a_lost_node_is_superseded_within_two_minutes(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2")
    recording.until_phase("Active")
    pod = recording.children("pods")[0]["metadata"]["name"]
    ready = {"type": "Ready", "status": "True"}
    deadline = time.monotonic() + 10
    while not any(
        ready.items() <= one.items() for one in recording.children("pods")[0]["status"]["conditions"]
    ):
        assert time.monotonic() < deadline, "the pod did not become ready"
        time.sleep(0.1)
    scene.stack.runner.lose_pod(scene.namespace, pod)
    status = recording.until(lambda s: s.get("part") == 2, "part 2", seconds=120)

    assert "does not answer" in status["parts"][0].get("endReason", ""), status
    recording.until(lambda _: recording.condition("Recording")["status"] == "True", "recording again")
    recording.change(desiredState="Stopped")
    assert recording.until_phase("Complete")["phase"] == "Complete"
