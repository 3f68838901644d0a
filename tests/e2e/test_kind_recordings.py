"""Recordings on a real cluster: scheduler, kubelet, Pod Security restricted, S3 and a real volume, kubectl as typed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from devstack.e2e import deploy, manifests
from support.kind_media import assert_good
from support.kind_scene import KindScene

pytestmark = [pytest.mark.e2e, pytest.mark.beside, pytest.mark.timeout(300)]


@pytest.mark.usefixtures("undisturbed")
def test_a_participant_applied_before_its_room_waits_and_is_recorded_to_s3_and_to_a_volume(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    outputs = [kind_scene.output("ParticipantEgress", place) for place in ("s3", "pvc")]
    recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice", fileOutputs=outputs)
    waiting = recording.wait("jsonpath={.status.phase}=Pending")
    assert "jobName" not in waiting
    with kind_scene.publisher():
        published = time.monotonic()
        recording.wait("condition=Recording")
        print(f"figure: published_to_recording_s={time.monotonic() - published:.1f}")
        assert recording.status()["phase"] == "Active"
        time.sleep(8)
        status = recording.finish()

    assert_both_delivered(kind_scene, status, tmp_path, seconds=7)


@pytest.mark.usefixtures("undisturbed")
def test_a_pair_of_tracks_is_recorded_to_s3_and_to_a_volume(kind_scene: KindScene, tmp_path: Path) -> None:
    outputs = [kind_scene.output("TrackCompositeEgress", place) for place in ("s3", "pvc")]
    with kind_scene.publisher() as publisher:
        recording = kind_scene.apply(
            "TrackCompositeEgress",
            "tracks",
            audioTrackId=publisher.sid("audio"),
            videoTrackId=publisher.sid("video"),
            fileOutputs=outputs,
        )
        recording.wait("condition=Recording")
        time.sleep(6)
        status = recording.finish()

    assert_both_delivered(kind_scene, status, tmp_path, seconds=5)


def assert_both_delivered(
    scene: KindScene, status: dict[str, object], directory: Path, seconds: float
) -> None:
    """Two results, one at each destination, nothing else there, both play; the manifest lies beside."""
    assert status["phase"] == "Complete", status
    results = status["fileResults"]
    assert isinstance(results, list)
    to_s3, to_volume = results
    assert to_volume["location"] == f"pvc://{manifests.CLAIM}/{to_volume['filename']}"
    for destination, result in (("s3", to_s3), ("pvc", to_volume)):
        assert scene.stored(destination) == [result["filename"]]
        (directory / destination).mkdir()
        [report] = scene.reports(destination, [result["filename"]], directory / destination)
        assert_good(report, seconds=seconds)
    manifest_key = next(name for name in scene.store.names(f"{scene.room}/") if name.endswith(".json"))
    assert str(status["egressId"]).encode() in scene.store.read(manifest_key)


@pytest.mark.usefixtures("undisturbed")
def test_a_deleted_pod_leaves_a_finished_part_and_the_recording_goes_on_in_a_second_one(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    with kind_scene.publisher():
        recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice")
        first_pod = recording.wait("condition=Recording")["podName"]
        time.sleep(5)
        deploy.kubectl("delete", "pod", "--namespace", kind_scene.namespace, first_pod, "--wait=false")
        recording.until(lambda s: s.get("podName") not in {None, "", first_pod}, "second pod")
        # Between two parts it stays Active: Ending would be read as the end of the recording.
        assert recording.wait("condition=Recording")["phase"] == "Active"
        time.sleep(5)
        status = recording.finish()

    assert status["phase"] == "Complete", status
    assert [part["part"] for part in status["parts"]] == [1, 2]
    names = [part["filename"] for part in status["parts"]]
    assert names[1] == names[0].replace(".mp4", "-p2.mp4")
    assert recording.stored() == sorted(names)
    first, second = recording.reports(names, tmp_path)
    for report in (first, second):
        assert_good(report, seconds=4)
    assert first.counted()[-1] < second.counted()[0]
    print(f"figure: lost_between_parts_s={(second.counted()[0] - first.counted()[-1]) / 30:.1f}")
    assert status["gaps"]
