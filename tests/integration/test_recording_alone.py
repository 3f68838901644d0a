"""Recordings without any file through the whole path: streams alone, decoded where they arrive, and images alone."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest

from devstack.mediacheck import check
from devstack.stack import CLAIM
from devstack.streamservers import MISSING_RTMP, RtmpReceiver, free_port, has_rtmp
from support.pictures import capture_process, counter, decoded
from support.realtime import REALTIME
from support.receivers import SECONDS_OF_SYNC, until_arrived
from support.scene import Recording, Scene

pytestmark = [pytest.mark.integration, REALTIME]
needs_rtmp = pytest.mark.skipif(not has_rtmp(), reason=MISSING_RTMP)
SMALL = {"width": 640, "height": 360, "videoBitrate": 800}


def streams_alone(scene: Scene, *urls: str) -> Recording:
    return scene.participant(fileOutputs=None, streamOutputs=[{"urls": list(urls)}], advanced=SMALL)


def until_streaming(recording: Recording) -> None:
    recording.until(
        lambda status: any("startedAt" in one for one in status.get("streamResults", [])), 60, "a stream"
    )


@needs_rtmp
def test_streams_alone_survive_their_recorder_and_end_with_the_last_url(
    scene: Scene, rtmp: RtmpReceiver
) -> None:
    with scene.publisher():
        recording = streams_alone(scene, rtmp.url("only-secret"))
        until_streaming(recording)
        until_arrived(recording, rtmp, 1, SECONDS_OF_SYNC)
        capture_process(recording).send_signal(signal.SIGKILL)
        recording.until(
            lambda s: max((p["part"] for p in s.get("parts", [])), default=0) >= 2, 40, "a second part"
        )
        until_arrived(recording, rtmp, 2, SECONDS_OF_SYNC)
        recording.patch({"streamOutputs": [{"urls": []}]})
        status = recording.until_phase("Complete", timeout=120)

    assert status["details"] == "End reason: All streams stopped"
    assert [(part["part"], part["output"], "filename" in part) for part in status["parts"]] == [
        (1, 0, False),
        (2, 0, False),
    ]
    assert status["parts"][0]["endReason"].startswith("Process killed")
    assert len(status["gaps"]) == 1
    assert not {"manifestLocation", "fileResults", "segmentResults", "imageResults", "error"} & status.keys()
    assert status["progress"]["bytesWritten"] == 0
    [stream] = status["streamResults"]
    assert (stream["status"], "endedAt" in stream) == ("FINISHED", True)
    assert "only-secret" not in json.dumps(recording.get())
    claim = scene.stack.runner.claim_directory(scene.namespace, CLAIM)
    assert [path for path in claim.rglob("*") if path.is_file()] == []
    rtmp.kill()
    arrived = [check(path) for path in rtmp.recordings()]
    assert len(arrived) == 2
    for one in arrived:
        assert one.frames >= 30
        # Picture and sound run together at the receiver.
        assert len(one.settled_ms) >= 3
        assert abs(float(np.median(one.settled_ms))) < 60


@needs_rtmp
def test_streams_alone_go_on_in_the_next_pod_when_theirs_is_deleted(scene: Scene, rtmp: RtmpReceiver) -> None:
    with scene.publisher():
        recording = streams_alone(scene, rtmp.url("only-secret"))
        until_streaming(recording)
        until_arrived(recording, rtmp, 1)
        first = recording.running_pod()
        scene.stack.api.delete("pods", scene.namespace, first)
        recording.until_next_pod(first)
        until_arrived(recording, rtmp, 2)
        recording.stop()
        status = recording.until_phase("Complete", timeout=60)

    assert status["retryCount"] == 1
    assert [part["part"] for part in status["parts"]] == [1, 2]
    assert [one["status"] for one in status["streamResults"]] == ["FINISHED"]
    rtmp.kill()
    assert all(check(path).frames >= 30 for path in rtmp.recordings())


def test_a_recording_whose_only_stream_has_no_receiver_fails_with_its_words(scene: Scene) -> None:
    with scene.publisher():
        recording = streams_alone(scene, f"rtmp://127.0.0.1:{free_port()}/live/hidden-key")
        status = recording.until_phase("Failed", timeout=60)

    assert status["errorCode"] == 503
    assert "the last stream has failed, and there is no other output: rtmp://127.0.0.1" in status["error"]
    assert "Connection refused" in status["error"]
    assert "hidden-key" not in json.dumps(status)
    assert len(recording.pods()) == 1


def test_a_list_without_streams_waits_for_the_first_one_and_costs_no_pod(scene: Scene) -> None:
    with scene.publisher():
        recording = streams_alone(scene)
        status = recording.until_reason("InvalidStream")
    assert "add a URL to urls or an entry to destinations" in status["message"]
    assert not recording.pods()


def test_images_alone_are_frames_of_the_camera_with_a_manifest_beside_them(scene: Scene) -> None:
    claim = scene.stack.runner.claim_directory(scene.namespace, CLAIM)
    output = {"captureInterval": 1, "filenamePrefix": "stills/a", "pvc": {"claimName": CLAIM}}
    with scene.publisher():
        recording = scene.participant(fileOutputs=None, imageOutputs=[output])
        recording.until(
            lambda s: s.get("imageResults", [{}])[0].get("imageCount", 0) >= 3, 60, "three images"
        )
        capture_process(recording).send_signal(signal.SIGKILL)
        count = recording.status()["imageResults"][0]["imageCount"]
        recording.until(
            lambda s: s["imageResults"][0]["imageCount"] >= count + 3 and len(s["parts"]) == 2,
            60,
            "three more of a second part",
        )
        recording.stop()
        status = recording.until_phase("Complete")

    assert [(part["part"], "filename" in part) for part in status["parts"]] == [(1, False), (2, False)]
    assert "fileResults" not in status
    # Only a picture is received.
    assert {track["kind"] for track in status["tracks"]} == {"video"}
    place = claim / "stills" / f"{status['egressId']}.json"
    assert status["manifestLocation"].endswith(f"stills/{place.name}")
    manifest = json.loads(place.read_text())
    assert (manifest["files"], len(manifest["parts"])) == ([], 2)
    count = status["imageResults"][0]["imageCount"]
    names = sorted(path.name for path in place.parent.iterdir() if path != place)
    assert names == [f"a_{number:05d}.jpeg" for number in range(count)]
    assert [one["filename"] for one in manifest["images"]] == [f"stills/{name}" for name in names]
    seen = [number for name in names if (number := counter(decoded(place.parent / name))) is not None]
    assert len(seen) >= count - 1
    assert seen == sorted(set(seen)), "each second shows another picture, in order"
