"""Recordings on a real cluster: scheduler, kubelet, Pod Security restricted, a real volume, kubectl as a user types it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from devstack.e2e import deploy
from devstack.mediacheck import MediaReport
from support.kind_scene import KindScene

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]


def assert_good(report: MediaReport, *, seconds: float) -> None:
    """The file plays to its end, and it shows and sounds like the publisher."""
    assert report.errors == []
    assert report.streams == "h264 1280x720@30 + aac 2ch"
    assert report.duration >= seconds
    numbers = report.counted()
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > report.duration * 15, report.summary()
    assert report.flashes
    assert report.beeps


def test_a_recording_applied_before_its_room_waits_records_stops_and_lies_on_the_volume(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice")
    waiting = recording.wait("jsonpath={.status.phase}=Pending")
    assert "jobName" not in waiting
    with kind_scene.publisher():
        published = time.monotonic()
        recording.wait("condition=Recording")
        print(f"figure: published_to_recording_s={time.monotonic() - published:.1f}")
        assert recording.status()["phase"] == "Active"
        time.sleep(8)
        recording.stop()
        status = recording.wait("condition=Finished")

    assert status["phase"] == "Complete", status
    [result] = status["fileResults"]
    assert result["location"] == f"pvc://recordings/{result['filename']}"
    [report] = recording.reports([result["filename"]], tmp_path)
    print(report.summary())
    assert_good(report, seconds=7)
    assert kind_scene.stored() == [result["filename"]]
    assert kind_scene.operator_errors() == []
    assert kind_scene.operator_restarts() == 0


def test_a_deleted_pod_leaves_a_finished_part_and_the_recording_goes_on_in_a_second_one(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    with kind_scene.publisher() as publisher:
        applied = time.monotonic()
        recording = kind_scene.apply(
            "TrackCompositeEgress",
            "tracks",
            audioTrackId=publisher.sid("audio"),
            videoTrackId=publisher.sid("video"),
        )
        first_pod = recording.wait("condition=Recording")["podName"]
        print(f"figure: apply_to_active_s={time.monotonic() - applied:.1f}")
        time.sleep(6)
        deploy.kubectl("delete", "pod", "--namespace", kind_scene.namespace, first_pod, "--wait=false")
        recording.until(lambda s: s.get("podName") not in {None, "", first_pod}, "second pod")
        # Between two parts it stays Active: Ending would be read as the end of the recording.
        assert recording.wait("condition=Recording")["phase"] == "Active"
        time.sleep(6)
        recording.stop()
        status = recording.wait("condition=Finished")

    assert status["phase"] == "Complete", status
    assert [part["part"] for part in status["parts"]] == [1, 2]
    names = [part["filename"] for part in status["parts"]]
    assert names[1] == names[0].replace(".mp4", "-p2.mp4")
    assert kind_scene.stored() == sorted(names)
    first, second = recording.reports(names, tmp_path)
    for report in (first, second):
        print(report.summary())
        assert_good(report, seconds=5)
    assert first.counted()[-1] < second.counted()[0]
    print(f"figure: lost_between_parts_s={(second.counted()[0] - first.counted()[-1]) / 30:.1f}")
    assert status["gaps"]
    assert kind_scene.operator_errors() == []
    assert kind_scene.operator_restarts() == 0


def test_kubectl_delete_while_recording_finishes_the_file_before_the_object_goes(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    with kind_scene.publisher():
        recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice")
        recording.wait("condition=Recording")
        time.sleep(6)
        deleting = time.monotonic()
        recording.kubectl("delete", "--timeout=90s")
        print(f"figure: delete_s={time.monotonic() - deleting:.1f}")

    [filename] = kind_scene.stored()
    [report] = recording.reports([filename], tmp_path)
    print(report.summary())
    assert_good(report, seconds=5)
    assert kind_scene.left() == []
    assert kind_scene.operator_errors() == []
    assert kind_scene.operator_restarts() == 0
