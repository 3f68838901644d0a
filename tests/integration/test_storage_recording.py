"""A recorder that uploads to a real S3 server: the whole `run`, with a fake capture process."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from devstack.faultproxy import FaultProxy
from devstack.s3 import S3Server
from egress_recorder.contract import CONTRACT_VERSION, Manifest
from egress_recorder.storage import REGISTRY, StorageContext
from fakes.recorder_process import Recorder
from support.realtime import REALTIME
from support.storage_places import LOCAL, PLACES, Place, configured

pytestmark = [pytest.mark.integration, REALTIME]


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path)
    yield made
    made.close()


def configure(
    recorder: Recorder,
    server: S3Server,
    scenario: list[dict[str, Any]],
    *,
    output: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """Record to the server; `output`: more fields of the output, `changes`: of its destination."""
    credentials = recorder.directory / "credentials" / "keys"
    credentials.mkdir(parents=True)
    (credentials / "access_key").write_text(server.access_key)
    (credentials / "secret").write_text(changes.pop("secret", server.secret_key))
    destination = {
        "kind": "s3",
        "bucket": server.bucket,
        "region": server.region,
        "endpoint": server.endpoint,
        "forcePathStyle": True,
        "credentials": "keys",
        **changes,
    }
    prefix = secrets.token_hex(4)
    outputs = [{"filepath": f"{prefix}/{{room_name}}.mp4", "destination": destination, **(output or {})}]
    recorder.configure(scenario, outputs=outputs, uploadTimeout=2.0)
    return prefix


def test_parts_and_manifest_arrive_in_the_bucket(recorder: Recorder, s3_server: S3Server) -> None:
    size = 9 * 1024 * 1024  # two parts of an upload
    prefix = configure(recorder, s3_server, [{"media": 100, "then": "crash"}, {"media": size, "then": "end"}])
    code, result = recorder.run()
    assert (code, result.phase) == (0, "Complete")
    client = s3_server.client()
    listing = client.list_objects_v2(Bucket=s3_server.bucket, Prefix=f"{prefix}/")["Contents"]
    assert {item["Key"]: item["Size"] for item in listing if item["Key"].endswith(".mp4")} == {
        f"{prefix}/standup.mp4": 100 + len(b"-final"),
        f"{prefix}/standup-p2.mp4": size,
    }
    body = client.get_object(Bucket=s3_server.bucket, Key=f"{prefix}/EG_test.json")["Body"].read()
    assert Manifest.parse(body).parts == result.parts
    assert result.parts[1].location == f"{s3_server.endpoint}/{s3_server.bucket}/{prefix}/standup-p2.mp4"
    assert result.progress.bytes_uploaded == size + 106
    head = client.head_object(Bucket=s3_server.bucket, Key=f"{prefix}/standup.mp4")
    assert head["ContentType"] == "video/mp4"


def test_a_wrong_secret_ends_the_recording_at_once_and_stays_secret(
    recorder: Recorder, s3_server: S3Server
) -> None:
    secret = "the-wrong-secret-of-this-test"
    configure(recorder, s3_server, [{"media": 100, "then": "wait"}], secret=secret)
    recorder.start()
    recorder.until(lambda: recorder.port)
    began = time.monotonic()
    code, result = recorder.wait()
    assert time.monotonic() - began < 3
    assert (code, result.phase, result.error_code) == (77, "Failed", 401)
    assert "fileOutputs[0].s3" in result.error
    everything = "".join(recorder.log) + recorder.termination_log.read_text()
    assert secret not in everything
    assert s3_server.access_key not in everything


def test_a_missing_bucket_ends_the_recording_at_once(recorder: Recorder, s3_server: S3Server) -> None:
    configure(recorder, s3_server, [{"media": 100, "then": "wait"}], bucket="no-such-bucket")
    code, result = recorder.run()
    assert (code, result.error_code) == (78, 400)
    assert "fileOutputs[0].s3.bucket 'no-such-bucket' does not exist" in result.error


def test_an_upload_outlives_a_restart_of_the_server(recorder: Recorder, tmp_path: Path) -> None:
    server = S3Server(tmp_path / "s3")
    server.start()
    try:
        prefix = configure(recorder, server, [{"media": 1000, "then": "wait"}])
        recorder.start()
        recorder.until_status(lambda status: status.recording)
        recorder.until(lambda: _manifest_phase(server, prefix) == "Active")
        server.stop()
        recorder.request("PUT", "/v1/desired-state", b'{"generation":1,"desiredState":"Stopped"}')
        recorder.until(lambda: any("upload is tried again" in line for line in recorder.log), 20)
        server.start()
        code, result = recorder.wait(60)
        assert (code, result.phase) == (0, "Complete")
        head = server.client().head_object(Bucket=server.bucket, Key=f"{prefix}/standup.mp4")
        assert head["ContentLength"] == 1000
    finally:
        server.stop()


def _manifest_phase(server: S3Server, prefix: str) -> str:
    client = server.client()
    try:
        body = client.get_object(Bucket=server.bucket, Key=f"{prefix}/EG_test.json")["Body"].read()
    except client.exceptions.NoSuchKey:
        return ""
    return Manifest.parse(body).phase.value


@pytest.mark.parametrize("kind", sorted(REGISTRY))
def test_a_recording_of_two_parts_arrives_at_every_kind_of_destination(
    recorder: Recorder, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    (tmp_path / "place").mkdir()
    place = PLACES[kind](tmp_path / "place", request)
    if kind in LOCAL:
        place = Place(place.destination, StorageContext(where="", volumes_root=recorder.volume.parent))
    prefix, size = secrets.token_hex(4), 9 * 1024 * 1024
    destination = configured(place, recorder.directory / "credentials")
    outputs = [{"filepath": f"{prefix}/{{room_name}}.mp4", "destination": destination}]
    scenario = [{"media": 100, "then": "crash"}, {"media": size, "then": "end"}]
    recorder.configure(scenario, outputs=outputs, minContractVersion=CONTRACT_VERSION)
    code, result = recorder.run()
    assert (code, result.phase, result.error) == (0, "Complete", "")
    storage = place.open()
    first, second = storage.read(f"{prefix}/standup.mp4"), storage.read(f"{prefix}/standup-p2.mp4")
    assert [len(first or b""), len(second or b"")] == [100 + len(b"-final"), size]
    manifest = storage.read(f"{prefix}/EG_test.json")
    assert manifest is not None
    assert Manifest.parse(manifest).parts == result.parts
    assert result.parts[1].location == storage.location(f"{prefix}/standup-p2.mp4")
    assert result.progress.bytes_uploaded == size + 106
    everything = "".join(recorder.log) + recorder.termination_log.read_text()
    assert not [secret for secret in place.secrets.values() if secret in everything]


def test_a_presigned_location_reads_the_file_and_is_in_no_log_and_no_manifest(
    recorder: Recorder, s3_server: S3Server
) -> None:
    prefix = configure(recorder, s3_server, [{"media": 100, "then": "end"}], output={"presignedExpires": 60})

    code, result = recorder.run()

    assert (code, result.phase) == (0, "Complete")
    url = result.file_results[0].presigned
    assert urllib3.request("GET", url).data == b"M" * 100
    client = s3_server.client()
    manifest = (
        client.get_object(Bucket=s3_server.bucket, Key=f"{prefix}/EG_test.json")["Body"].read().decode()
    )
    assert "Signature" not in manifest
    assert "X-Amz-" not in "".join(recorder.log)


def test_a_server_that_is_gone_at_the_end_leaves_the_file_to_the_backup(
    recorder: Recorder, s3_server: S3Server
) -> None:
    with FaultProxy(s3_server.endpoint) as proxy:
        configure(
            recorder,
            s3_server,
            [{"media": 100, "then": "wait"}],
            output={"backup": {"kind": "pvc", "volume": "claim", "claimName": "spare"}},
            endpoint=proxy.url,
        )
        recorder.start()
        recorder.until_status(lambda status: status.recording)
        proxy.stop()
        recorder.request(
            "PUT", "/v1/desired-state", json.dumps({"generation": 2, "desiredState": "Stopped"}).encode()
        )
        code, result = recorder.wait(60)

    assert (code, result.phase, result.backup_storage_writes) == (0, "Complete", 1)
    assert result.file_results[0].location.startswith("pvc://spare/")
    assert [path.read_bytes() for path in recorder.volume.rglob("*.mp4")] == [b"M" * 100]
    assert [path.name for path in recorder.volume.rglob("*.json")] == ["EG_test.json"]
