"""Bad input ends in a clear sentence, kills end in parts, and no secret is told to anybody."""

from __future__ import annotations

import itertools
import re
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from devstack.mediacheck import check
from support.realtime import REALTIME
from support.scene import Recording, Scene

pytestmark = [pytest.mark.integration, REALTIME]


def capture_process(recording: Recording) -> psutil.Process:
    """The process that records, below the pod's PID 1."""
    pids = recording.stack.runner.pids(recording.namespace, recording.running_pod())
    return next(
        p for p in map(psutil.Process, pids) if any("egress_recorder.capture" in a for a in p.cmdline())
    )


# ---- bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "error", "code"),
    [
        ({"s3": {"bucket": "no-such-bucket-here"}}, "bucket", 400),
        ({"s3": {"credentialsSecretRef": {"name": "wrong-keys"}}}, r"s3|credential|key", 401),
    ],
    ids=["bucket", "secret"],
)
def test_a_wrong_bucket_or_secret_fails_before_there_is_media(
    scene: Scene, spec: dict[str, Any], error: str, code: int
) -> None:
    scene.stack.api.create_secret(
        scene.namespace, "wrong-keys", {"access_key": "AKIAWRONG", "secret": "wrong-secret-wrong-secret"}
    )
    with scene.publisher():
        recording = scene.participant(fileOutputs=[scene.s3_output(**spec["s3"])])
        status = recording.until_phase("Failed")

    assert re.search(error, status["error"], re.IGNORECASE), status["error"]
    assert status["errorCode"] in {code, 403}
    assert "wrong-secret" not in str(recording.get())
    assert status.get("parts", []) == []
    assert len(recording.pods()) == 1
    assert recording.condition("Stalled")["status"] == "True"


def test_a_track_that_does_not_exist_or_is_of_the_other_kind_fails_with_its_field(scene: Scene) -> None:
    with scene.publisher() as publisher:
        swapped = scene.composite("swapped", audioTrackId=publisher.sid("video"))
        unknown = scene.composite(
            "unknown",
            videoTrackId="TR_VCdoesNotExist",
            trackTimeout="3s",
            fileOutputs=[scene.pvc_output("unknown")],
        )
        kind = swapped.until_phase("Failed")
        absent = unknown.until_phase("Failed")

    assert "audioTrackId" in kind["error"]
    assert "videoTrackId" in kind["error"]
    assert kind["errorCode"] == 400
    assert "TR_VCdoesNotExist" in absent["error"]
    assert absent["errorCode"] == 404


def test_an_absent_participant_fails_after_the_join_timeout(scene: Scene) -> None:
    with scene.publisher(identity="bob"):
        recording = scene.participant(joinTimeout="3s")
        status = recording.until_phase("Failed")

    assert "alice" in status["error"]
    assert status["errorCode"] == 404


def test_a_wrong_livekit_key_or_url_is_named_and_mended_by_the_secret(scene: Scene) -> None:
    livekit = scene.stack.livekit
    scene.stack.api.create_secret(
        scene.namespace, "livekit", {"api-key": livekit.api_key, "api-secret": "w" * 40}
    )
    server = {"url": livekit.url, "credentialsSecretRef": {"name": "livekit"}}
    recording = scene.participant(livekit=server)
    unreachable = scene.participant("nowhere", livekit={**server, "url": "ws://127.0.0.1:9"})
    missing = scene.participant("missing", livekit={**server, "credentialsSecretRef": {"name": "not-there"}})

    refused = recording.until(lambda s: "key" in s.get("message", "").lower(), 30, "refused key")
    assert refused["phase"] == "Pending"
    dead = unreachable.until(lambda s: "127.0.0.1:9" in s.get("message", ""), 30, "dead URL")
    assert dead["phase"] == "Pending"
    gone = missing.until(lambda s: "not-there" in s.get("message", ""), 30, "missing Secret")
    assert gone["phase"] == "Pending"

    scene.stack.api.create_secret(
        scene.namespace, "livekit", {"api-key": livekit.api_key, "api-secret": livekit.api_secret}
    )
    with scene.publisher():
        recording.until_phase("Active", timeout=60)
        recording.stop()
        recording.until_phase("Complete")
    for other in (unreachable, missing):
        other.stop()
        other.until_phase("Aborted")


def test_a_missing_storage_secret_keeps_it_pending_until_it_appears(scene: Scene) -> None:
    with scene.publisher():
        recording = scene.participant(
            fileOutputs=[scene.s3_output(credentialsSecretRef={"name": "comes-later"})]
        )
        status = recording.until(
            lambda s: "comes-later" in s.get("message", ""), 40, "the missing Secret's name"
        )
        assert status["phase"] == "Pending"

        scene.stack.api.create_secret(
            scene.namespace,
            "comes-later",
            {"access_key": scene.stack.s3.access_key, "secret": scene.stack.s3.secret_key},
        )
        recording.until_phase("Active", timeout=60)
        recording.stop()
        recording.until_phase("Complete")


def test_a_storage_secret_without_its_key_fails_before_the_room_is_joined(scene: Scene) -> None:
    scene.stack.api.create_secret(
        scene.namespace, "half-a-pair", {"access_key": scene.stack.s3.access_key, "password": "not-the-key"}
    )
    with scene.publisher():
        bad = scene.participant(
            "bad", fileOutputs=[scene.s3_output(credentialsSecretRef={"name": "half-a-pair"})]
        )
        good = scene.participant("good", fileOutputs=[scene.s3_output("good")])
        status = bad.until_phase("Failed")
        good.until_recording()
        joined = (scene.stack.livekit.directory / "livekit-server.log").read_text()
        good.stop()
        good.until_phase("Complete")

    assert "fileOutputs[0].s3: the credentials Secret has no key 'secret'" in status["error"]
    assert status["errorCode"] == 401
    assert "not-the-key" not in str(bad.get())
    assert bad.condition("Stalled")["status"] == "True"
    assert len(bad.pods()) == 1
    assert status.get("parts", []) == []
    assert good.status()["egressId"] in joined
    assert status["egressId"] not in joined


def test_an_unwritable_volume_fails_with_the_claims_name(scene: Scene) -> None:
    directory = scene.stack.runner.claim_directory(scene.namespace, "recordings")
    directory.mkdir(parents=True, exist_ok=True)
    # A file where the directory should be: root, as whom tests may run, can write everywhere else.
    (directory / "recordings").write_text("in the way")
    with scene.publisher():
        recording = scene.participant()
        status = recording.until_phase("Failed")

    assert "fileOutputs[0]" in status["error"]
    assert "recordings" in status["error"]
    assert status["errorCode"] == 400


# ---- kills ---------------------------------------------------------------------------------------------------


def test_a_killed_recording_process_loses_at_most_a_second_and_a_second_part_follows(
    scene: Scene, tmp_path: Path
) -> None:
    with scene.publisher() as publisher:
        recording = scene.participant(fileOutputs=[scene.s3_output()])
        recording.until_phase("Active")
        time.sleep(5)
        pod = recording.running_pod()
        process = capture_process(recording)
        process.send_signal(signal.SIGKILL)
        killed_at = time.time()
        recording.until(lambda s: len(s.get("parts", [])) >= 2, 40, "a second part")
        time.sleep(4)
        recording.stop()
        status = recording.until_phase("Complete")
        last_sent = int((killed_at - publisher.start) * 30)

    assert recording.running_pod() == pod  # the same pod went on by itself
    first, second = recording.files(tmp_path)
    lost = (last_sent - first.counted()[-1]) / 30
    assert lost <= 1.0, f"{lost:.2f} s lost"
    assert second.counted()[0] > first.counted()[-1]
    for report in (first, second):
        assert report.errors == []
    names = [part["filename"] for part in status["parts"]]
    assert names[1] == names[0].replace(".mp4", "-p2.mp4")
    assert status["gaps"]
    assert "Ending" not in recording.phases[:-2]


def test_a_terminated_and_then_a_killed_pod_leave_playable_parts_and_nothing_overwritten(
    scene: Scene, tmp_path: Path
) -> None:
    with scene.publisher():
        recording = scene.participant(fileOutputs=[scene.s3_output()])
        recording.until_phase("Active")
        time.sleep(4)
        first_pod = recording.running_pod()
        scene.stack.runner.evict(scene.namespace, first_pod)
        second_pod = recording.until_next_pod(first_pod)
        time.sleep(4)
        scene.stack.runner.kill(scene.namespace, second_pod)
        recording.until_next_pod(first_pod, second_pod)
        time.sleep(4)
        recording.stop()
        status = recording.until_phase("Complete", timeout=60)

    assert "Ending" not in recording.phases[:-2], recording.phases
    stored = [part for part in status["parts"] if part.get("location")]
    # Of the killed pod's file there is what had been uploaded while it grew; the next recorder completes that.
    assert [part["part"] for part in stored] in ([1, 3], [1, 2, 3])
    assert len({part["location"] for part in stored}) == len(stored)
    reports = recording.files(tmp_path)
    for report in (reports[0], reports[-1]):
        assert report.errors == []
        assert report.duration > 2
    counted = [report.counted() for report in reports]
    assert all(numbers for numbers in counted)
    assert all(before[-1] < after[0] for before, after in itertools.pairwise(counted))
    assert status["gaps"]
    keys = [key for key in scene.stack.s3.keys(f"{scene.namespace}/") if key.endswith(".mp4")]
    assert len(keys) == len(stored)


def test_a_recording_survives_the_livekit_server(scene: Scene, tmp_path: Path) -> None:
    with scene.publisher():
        recording = scene.participant(rejoinTimeout="30s", fileOutputs=[scene.s3_output()])
        recording.until_phase("Active")
        time.sleep(3)
        scene.stack.livekit.restart()
        time.sleep(12)
        assert recording.until_phase("Active")
        recording.stop()
        recording.until_phase("Complete", timeout=60)

    reports = recording.files(tmp_path)
    assert reports[0].errors == []
    assert sum(report.duration for report in reports) > 8
    assert reports[-1].counted()


def test_an_object_of_that_name_is_never_overwritten(scene: Scene) -> None:
    directory = scene.stack.runner.claim_directory(scene.namespace, "recordings")
    target = directory / "recordings" / f"{scene.room}-alice.mp4"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"somebody's file")
    with scene.publisher():
        recording = scene.participant()
        recording.until_phase("Active")
        time.sleep(2)
        recording.stop()
        status = recording.until_phase("Complete")

    assert target.read_bytes() == b"somebody's file"
    [part] = status["parts"]
    assert status["egressId"] in part["filename"]
    assert check(directory / part["filename"]).duration > 1.5


# ---- secrets -------------------------------------------------------------------------------------------------


def test_no_token_or_secret_is_in_any_log_status_or_termination_message(scene: Scene) -> None:
    with scene.publisher():
        recording = scene.participant(fileOutputs=[scene.s3_output()])
        bad = scene.composite(videoTrackId="TR_VCnope", trackTimeout="1s", fileOutputs=[scene.s3_output()])
        recording.until_phase("Active")
        bad.until_phase("Failed")
        pods = [*recording.pods(), *bad.pods()]
        recording.stop()
        recording.until_phase("Complete")

    told = [str(item) for item in scene.stack.api.list("pods", scene.namespace)]
    told += [str(item) for item in scene.stack.api.list("events", scene.namespace)]
    told += [str(item) for item in (recording.get(), bad.get())]
    told += [scene.stack.runner.log(scene.namespace, pod["metadata"]["name"]) for pod in pods]
    told.append(scene.stack.operator.log.read_text())
    assert all(len(log) > 0 for log in told[-3:])
    for secret in (scene.stack.livekit.api_secret, scene.stack.s3.secret_key):
        assert not any(secret in text for text in told)
    assert not any(re.search(r"eyJ[\w-]{10,}\.[\w-]{10,}", text) for text in told)
