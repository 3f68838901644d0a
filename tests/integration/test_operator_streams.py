"""Streams from a resource to a receiver through operator and pod: from Secrets, added and removed while recording."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from devstack.mediacheck import check
from devstack.streamservers import (
    MISSING_RTMP,
    MISSING_SRT,
    RtmpReceiver,
    SrtReceiver,
    free_port,
    has_rtmp,
    has_srt,
)
from support.realtime import REALTIME
from support.receivers import SECONDS_OF_SYNC, until_arrived
from support.scene import Scene

pytestmark = [
    pytest.mark.integration,
    REALTIME,
    pytest.mark.skipif(not has_rtmp(), reason=MISSING_RTMP),
    pytest.mark.skipif(not has_srt(), reason=MISSING_SRT),
]


@pytest.fixture
def srt(tmp_path: Path) -> Iterator[SrtReceiver]:
    place = tmp_path / "srt"
    place.mkdir()
    receiver = SrtReceiver(place, free_port(socket.SOCK_DGRAM))
    receiver.start()
    yield receiver
    receiver.kill()


def test_streams_run_beside_the_file_and_change_while_recording(
    scene: Scene, rtmp: RtmpReceiver, srt: SrtReceiver, tmp_path: Path
) -> None:
    scene.stack.api.create_secret(
        scene.namespace, "stream-urls", {"venue": srt.url("venue-secret"), "later": rtmp.url("later-secret")}
    )
    venue = {"id": "venue", "urlSecretRef": {"name": "stream-urls", "key": "venue"}}
    later = {"id": "later", "urlSecretRef": {"name": "stream-urls", "key": "later"}}
    lost = {"id": "lost", "urlSecretRef": {"name": "stream-urls", "key": "not-there"}}
    with scene.publisher():
        recording = scene.participant(
            streamOutputs=[{"urls": [rtmp.url("first-secret")]}, {"destinations": [venue]}],
            advanced={"width": 640, "height": 360, "videoBitrate": 800},
        )
        recording.until(
            lambda status: (
                len(status.get("streamResults", [])) == 2
                and all("startedAt" in one for one in status["streamResults"])
            ),
            60,
            "two running streams",
        )
        until_arrived(recording, rtmp, 1, SECONDS_OF_SYNC)
        recording.patch({"streamOutputs": [{"urls": []}, {"destinations": [venue, later, lost]}]})
        status = recording.until(
            lambda status: (
                {one.get("id"): (one["status"], "startedAt" in one) for one in status["streamResults"]}
                == {
                    None: ("FINISHED", True),
                    "venue": ("ACTIVE", True),
                    "later": ("ACTIVE", True),
                    "lost": ("FAILED", False),
                }
            ),
            120,
            "one stream added, one removed, one that cannot be",
        )
        until_arrived(recording, rtmp, 2, SECONDS_OF_SYNC)
        [failed] = [one for one in status["streamResults"] if one.get("id") == "lost"]
        assert "Secret stream-urls (urlSecretRef) has no key not-there: add it" in failed["error"]
        recording.stop()
        status = recording.until_phase("Complete", timeout=60)

    results = {one.get("id"): one for one in status["streamResults"]}
    assert {name: one["status"] for name, one in results.items()} == {
        None: "FINISHED",
        "venue": "FINISHED",
        "later": "FINISHED",
        "lost": "FAILED",
    }
    assert results[None]["url"] == f"rtmp://127.0.0.1:{rtmp.port}/live/{{fir...ret}}"
    assert results["venue"]["url"].endswith("?streamid={ven...ret}")
    for secret in ("venue-secret", "later-secret"):
        assert secret not in json.dumps(recording.get())
    [file] = recording.files(tmp_path)
    # What a busy machine loses before the encoder is in no output; test_streams_receivers counts the rest exactly.
    lost_before = file.missing_frames
    assert file.frames == pytest.approx(file.duration * 30, abs=2), status["progress"]
    rtmp.kill()
    srt.kill()
    first, second = (check(path) for path in rtmp.recordings())
    for arrived in (first, second, check(srt.recordings()[0])):
        assert arrived.frames >= 30
        assert arrived.missing_frames <= lost_before + 6
        # Picture and sound run together at the receiver, too.
        assert arrived.settled_ms
        assert abs(float(np.median(arrived.settled_ms))) < 60


def test_a_stream_without_its_secret_waits_before_the_room_is_joined(scene: Scene) -> None:
    missing = {"id": "venue", "urlSecretRef": {"name": "nowhere", "key": "url"}}
    with scene.publisher():
        recording = scene.participant(streamOutputs=[{"destinations": [missing]}])
        status = recording.until_reason("InvalidStream")
    assert "Secret nowhere (urlSecretRef) does not exist" in status["message"]
    assert not recording.pods()
