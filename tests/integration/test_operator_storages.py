"""From a resource to its object through the operator: each kind of storage against its real-protocol server, and what
happens when a storage fails.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any

import pytest
import urllib3

from devstack.faultproxy import FaultProxy
from devstack.mediacheck import check
from devstack.stack import CLAIM
from egress_recorder.contract import Manifest
from egress_recorder.storage import REGISTRY
from support.all_outputs import Kept
from support.scene import Scene
from support.storage_places import LOCAL, PLACES, Place
from support.stored import Stored

pytestmark = pytest.mark.integration

SECONDS = 3


def spec_of(place: Place, secret: str) -> dict[str, Any]:
    """Return the place as a resource spells it, with its keys in a Secret."""
    values = place.destination.to_dict()
    kind = values.pop("kind")
    values.pop("credentials", None)
    given = {name: value for name, value in values.items() if value not in ("", {}, False)}
    return {kind: {**given, "credentialsSecretRef": {"name": secret}}}


def trusting_template(scene: Scene, certificate: Path) -> dict[str, Any]:
    """Let the recorder trust a certificate, as a user does: from a Secret."""
    scene.stack.api.create_secret(scene.namespace, "authority", {"ca.crt": certificate.read_text()})
    return {
        "env": [{"name": "SSL_CERT_FILE", "value": "/opt/authority/ca.crt"}],
        "volumes": [{"name": "authority", "secret": {"secretName": "authority"}}],
        "volumeMounts": [{"name": "authority", "mountPath": "/opt/authority", "readOnly": True}],
    }


def outputs_of(prefix: str, destination: dict[str, Any]) -> dict[str, Any]:
    """Return a file, HLS and images from one capture, all to the same place."""
    hls = {"playlistName": f"{prefix}/hls/all", "livePlaylistName": "live", "segmentDuration": 1}
    return {
        "advanced": {"width": 640, "height": 360},
        "fileOutputs": [{"filepath": f"{prefix}/{{namespace}}/{{name}}-{{part}}", **destination}],
        "segmentOutputs": [{**hls, "filenamePrefix": "seg", **destination}],
        "imageOutputs": [{"captureInterval": 1, "filenamePrefix": f"{prefix}/stills/a", **destination}],
    }


@pytest.mark.parametrize("kind", sorted(frozenset(REGISTRY) - LOCAL))
def test_file_segments_and_images_of_a_resource_become_objects_of_each_kind(
    kind: str, scene: Scene, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = PLACES[kind](tmp_path, request)
    scene.stack.api.create_secret(scene.namespace, "storage-keys", dict(place.secrets))
    prefix = secrets.token_hex(4)
    stored, playlist = Stored(place, tmp_path), f"{prefix}/hls/all.m3u8"
    certificate = request.getfixturevalue("certificate").certificate if kind == "http" else None
    template = trusting_template(scene, certificate) if certificate else {}

    with scene.publisher():
        recording = scene.participant(template=template, **outputs_of(prefix, spec_of(place, "storage-keys")))
        stored.until_named(playlist, SECONDS)
        assert recording.status()["phase"] == "Active"
        assert stored.entries(f"{prefix}/hls/live.m3u8"), "it can be followed while it is recorded"
        recording.stop()
        status = recording.until_phase("Complete", timeout=60)

    [part] = [part for part in status["parts"] if part["output"] == 0]
    assert part["filename"] == f"{prefix}/{scene.namespace}/alice-1.mp4"
    assert part["location"].endswith(part["filename"])
    file = check(stored.fetch(part["filename"]))
    assert file.path.stat().st_size == part["size"]
    assert (file.errors, file.streams) == ([], "h264 640x360@30 + aac 2ch")
    assert file.duration >= SECONDS - 1

    entries, text = stored.entries(playlist), stored.read(playlist).decode()
    assert text.endswith("#EXT-X-ENDLIST\n")
    [result] = status["segmentResults"]
    assert result["segmentCount"] == len(entries)
    assert result["playlistLocation"].endswith(playlist)
    hls = stored.segments(playlist)
    assert hls.errors == []
    assert hls.counters == file.counters, "the same encoding"

    for directory in (f"{prefix}/{scene.namespace}", f"{prefix}/hls", f"{prefix}/stills"):
        manifest = Manifest.parse(stored.read(f"{directory}/{status['egressId']}.json"))
        assert [one.location for one in manifest.files] == [part["location"]]
        of_segments = [one.filename for one in manifest.playlists[0].segments]
        assert of_segments == [f"{prefix}/hls/{entry.uri}" for entry in entries]
        assert len(manifest.images) == status["imageResults"][0]["imageCount"]
    pictures = [stored.image(one.filename) for one in manifest.images]
    assert {size for size, _ in pictures} == {(640, 360)}
    shown = [number for _, number in pictures if number is not None]
    assert len(shown) >= 2
    assert set(shown) <= set(file.counters), "frames of the file"
    for secret in place.secrets.values():
        assert secret not in str(recording.get())


def test_a_file_whose_storage_went_away_is_in_the_backup_and_the_status_says_so(scene: Scene) -> None:
    with FaultProxy(scene.stack.s3.endpoint) as proxy, scene.publisher():
        output = scene.s3_output("a", endpoint=proxy.url) | {"backupStorage": {"pvc": {"claimName": CLAIM}}}
        recording = scene.participant(uploadTimeout="2s", fileOutputs=[output])
        recording.until_recording()
        time.sleep(SECONDS)
        proxy.stop()
        recording.stop()
        status = recording.until_phase("Complete", timeout=90)

    assert status["backupStorageUsed"] is True
    assert status["details"] == "End reason: StopEgress API; backup storage used"
    assert status["fileResults"][0]["location"] == f"pvc://{CLAIM}/{scene.namespace}/a.mp4"
    assert status["manifestLocation"] == f"pvc://{CLAIM}/{scene.namespace}/{status['egressId']}.json"
    assert status["resolved"]["storage"][0]["backup"] == {"origin": "output", "pvc": {"claimName": CLAIM}}
    assert recording.condition("BackupStorageUsed")["status"] == "True"
    claim = scene.stack.runner.claim_directory(scene.namespace, CLAIM)
    assert check(claim / scene.namespace / "a.mp4").duration >= SECONDS - 1


def test_a_file_that_no_storage_takes_is_held_until_one_does(scene: Scene) -> None:
    with FaultProxy(scene.stack.s3.endpoint) as proxy, scene.publisher():
        recording = scene.participant(
            uploadTimeout="1s",
            fileOutputs=[scene.s3_output("held", endpoint=proxy.url) | {"presignedLocations": {}}],
        )
        recording.until_recording()
        time.sleep(SECONDS)
        proxy.stop()
        recording.stop()
        status = recording.until_reason("NoStorageTakesIt", timeout=60)
        assert status["phase"] == "Ending"
        assert recording.condition("FileHeld")["status"] == "True"
        assert "s3" in recording.condition("FileHeld")["message"]
        proxy.start()
        status = recording.until_phase("Complete", timeout=60)
        url = status["fileResults"][0]["location"]
        assert len(urllib3.request("GET", url).data) == status["fileResults"][0]["size"]

    assert recording.condition("FileHeld")["status"] == "False"
    assert "X-Amz-Signature" not in str(status["parts"])
    events = scene.stack.api.list("events", scene.namespace)
    assert [event["type"] for event in events if event["reason"] == "FileHeld"] == ["Warning"]


def test_deleting_a_recording_whose_file_is_held_gives_it_up(scene: Scene) -> None:
    with FaultProxy(scene.stack.s3.endpoint) as proxy, scene.publisher():
        recording = scene.participant(
            uploadTimeout="1s", fileOutputs=[scene.s3_output("lost", endpoint=proxy.url)]
        )
        recording.until_recording()
        proxy.stop()
        recording.stop()
        recording.until_reason("NoStorageTakesIt", timeout=60)
        scene.stack.api.delete(recording.plural, scene.namespace, recording.name)
        deadline = time.monotonic() + 60
        while recording.get() is not None:
            assert time.monotonic() < deadline, recording.status()
            time.sleep(0.2)


def test_a_scratch_volume_that_fills_up_costs_a_gap_and_no_media(scene: Scene, tmp_path: Path) -> None:
    """The file is taken at its end; the storage of the segments is away: they fill the volume with it, and stay in it."""
    with FaultProxy(scene.stack.s3.endpoint) as proxy, scene.publisher("--bitrate", "3000"):
        hls = {"playlistName": f"{scene.namespace}/hls/all", "filenamePrefix": "seg", "segmentDuration": 1}
        recording = scene.participant(
            # The fifth above the recorder's mark is three seconds of this media: on a busy machine it needs some to end the part.
            template={"scratchSize": "12Mi"},
            segmentOutputs=[{**hls, "s3": scene.s3_output(endpoint=proxy.url)["s3"]}],
        )
        playlist = f"{scene.namespace}/hls/all.m3u8"
        recording.until(lambda _: playlist in scene.stack.s3.keys(playlist), 60, "playlist")
        proxy.stop()
        before = Kept(recording, tmp_path).entries("hls")
        recording.until_reason("ScratchFilling", timeout=120)
        status = recording.until(lambda s: max(p["part"] for p in s["parts"]) > 1, 120, "next part")
        assert status["phase"] == "Active"
        assert segments_of(status) <= len(Kept(recording, tmp_path).entries("hls")), "only what is stored"
        proxy.start()
        recording.until_recording()
        time.sleep(1)
        recording.stop()
        status = recording.until_phase("Complete", timeout=60)

    parts = [part for part in status["parts"] if part["output"] == 0]
    assert parts[0]["endReason"] == "Scratch volume full"
    assert parts[0]["size"] < 8 << 20
    assert len(parts) >= 2  # the segments may fill it again before they are tried again
    assert status["gaps"][0]["reason"] == "Scratch volume full"
    assert "retryCount" not in status  # all in one pod
    kept = Kept(recording, tmp_path)
    hls = kept.hls("hls")
    assert hls.entries[: len(before)] == before, "what was stored before is not touched"
    assert kept.text("hls/all.m3u8").endswith("#EXT-X-ENDLIST\n")
    assert segments_of(status) == len(hls.entries)
    files = [check(recording.fetch(part["location"], part["filename"], tmp_path)) for part in parts]
    assert [report.errors for report in files] == [[] for _ in files]
    assert hls.errors == []
    runs = [hls.counters(run) for run in range(len(hls.runs))]
    assert runs == [report.counters for report in files], "each picture is in both"


def segments_of(status: dict[str, Any]) -> int:
    """Return how many segments of the HLS output are stored, as the status tells."""
    return sum(one.get("segmentCount", 0) for one in status.get("segmentResults", ()))
