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
from support.scene import Recording, Scene
from support.storage_places import LOCAL, PLACES, Place

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


def recorded(scene: Scene, **spec: Any) -> Recording:
    """Record alice for some seconds, to the end."""
    with scene.publisher():
        recording = scene.participant(**spec)
        recording.until_recording()
        time.sleep(SECONDS)
        recording.stop()
        recording.until_phase("Complete", timeout=60)
    return recording


@pytest.mark.parametrize("kind", sorted(frozenset(REGISTRY) - LOCAL))
def test_a_resource_becomes_an_object_of_each_kind(
    kind: str, scene: Scene, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = PLACES[kind](tmp_path, request)
    scene.stack.api.create_secret(scene.namespace, "storage-keys", dict(place.secrets))
    prefix = secrets.token_hex(4)
    output = {"filepath": f"{prefix}/{{namespace}}/{{name}}-{{part}}", **spec_of(place, "storage-keys")}
    certificate = request.getfixturevalue("certificate").certificate if kind == "http" else None
    template = trusting_template(scene, certificate) if certificate else {}

    recording = recorded(scene, fileOutputs=[output], template=template)

    status = recording.status()
    [part] = status["parts"]
    assert part["filename"] == f"{prefix}/{scene.namespace}/alice-1.mp4"
    assert part["location"].endswith(part["filename"])
    stored = place.open().read(part["filename"])
    assert stored is not None
    assert len(stored) == part["size"]
    file = tmp_path / "stored.mp4"
    file.write_bytes(stored)
    assert check(file).duration >= SECONDS - 1
    manifest = place.open().read(f"{prefix}/{scene.namespace}/{status['egressId']}.json")
    assert manifest is not None
    assert Manifest.parse(manifest).files[0].location == part["location"]
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
    with scene.publisher("--bitrate", "3000"):
        # The fifth above the recorder's mark is four seconds of this media: on a busy machine it needs some to end the part.
        recording = scene.participant(template={"scratchSize": "8Mi"})
        recording.until_reason("ScratchFilling", timeout=120)
        status = recording.until(lambda s: len(s.get("parts", [])) > 1, 120, "next part")
        assert status["phase"] == "Active"
        recording.until_recording()
        time.sleep(1)
        recording.stop()
        status = recording.until_phase("Complete", timeout=60)

    first, second = status["parts"][:2]
    assert first["endReason"] == "Scratch volume full"
    assert first["size"] < 8 << 20
    assert "location" in first
    assert "location" in second
    assert status["gaps"][0]["reason"] == "Scratch volume full"
    assert "retryCount" not in status  # all in one pod
    assert all(report.duration > 0 for report in recording.files(tmp_path))
