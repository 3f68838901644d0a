"""A recording whose file is uploaded while it grows, to a real S3 server: seen from outside, killed, and completed by hand."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from devstack.livekit import LiveKitServer
from devstack.mediacheck import MediaReport, check
from devstack.s3 import S3Server
from egress_recorder.contract import Manifest
from egress_recorder.partplan import PART_SIZE
from fakes.recorder_process import Recorder
from support.capture_process import publisher, recorder_token

pytestmark = pytest.mark.integration

STOP = json.dumps({"generation": 2, "desiredState": "Stopped"}).encode()


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path)
    yield made
    made.close()


class Bucket:
    """What is in the bucket below one prefix, and what is under way."""

    def __init__(self, server: S3Server, prefix: str) -> None:
        self.server, self.prefix = server, prefix
        self.client = server.client()

    def output(self, name: str = "a.mp4", **changes: Any) -> dict[str, Any]:
        destination = {
            "kind": "s3",
            "bucket": self.server.bucket,
            "region": self.server.region,
            "endpoint": self.server.endpoint,
            "forcePathStyle": True,
            "credentials": "keys",
        }
        return {"filepath": f"{self.prefix}/{name}", "destination": destination, **changes}

    def write_keys(self, root: Path) -> None:
        (root / "keys").mkdir(parents=True, exist_ok=True)
        (root / "keys" / "access_key").write_text(self.server.access_key)
        (root / "keys" / "secret").write_text(self.server.secret_key)

    def uploads(self) -> dict[str, str]:
        listing = self.client.list_multipart_uploads(Bucket=self.server.bucket, Prefix=f"{self.prefix}/")
        return {one["Key"]: one["UploadId"] for one in listing.get("Uploads", ())}

    def parts(self, name: str = "a.mp4") -> list[int]:
        """Sizes of the parts that the object's upload has so far."""
        return [part["Size"] for part in self._parts(name)]

    def _parts(self, name: str) -> list[Any]:
        key = f"{self.prefix}/{name}"
        upload = self.uploads().get(key)
        if upload is None:
            return []
        answer = self.client.list_parts(Bucket=self.server.bucket, Key=key, UploadId=upload)
        return list(answer.get("Parts", ()))

    def complete_by_hand(self, name: str) -> None:
        """Do what docs/storage/growing.md says."""
        key = f"{self.prefix}/{name}"
        parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in self._parts(name)]
        self.client.complete_multipart_upload(
            Bucket=self.server.bucket,
            Key=key,
            UploadId=self.uploads()[key],
            MultipartUpload={"Parts": parts},
        )

    def read(self, name: str) -> bytes:
        return self.client.get_object(Bucket=self.server.bucket, Key=f"{self.prefix}/{name}")["Body"].read()  # type: ignore[no-any-return]

    def names(self) -> list[str]:
        listing = self.client.list_objects_v2(Bucket=self.server.bucket, Prefix=f"{self.prefix}/")
        return [one["Key"].removeprefix(f"{self.prefix}/") for one in listing.get("Contents", ())]


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    return Bucket(s3_server, secrets.token_hex(4))


def until(condition: Callable[[], bool], timeout: float = 40.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_full_parts_are_there_before_the_end_and_the_object_is_the_file(
    recorder: Recorder, bucket: Bucket
) -> None:
    size = 2 * PART_SIZE + 1000
    bucket.write_keys(recorder.directory / "credentials")
    recorder.configure([{"media": size, "then": "wait"}], outputs=[bucket.output()])
    recorder.start()
    until(lambda: bucket.parts() == [PART_SIZE, PART_SIZE])
    status = recorder.until_status(lambda status: status.progress.bytes_uploaded >= 2 * PART_SIZE)
    assert status.recording
    assert not status.progress.uploads_after_end
    recorder.request("PUT", "/v1/desired-state", STOP)
    code, result = recorder.wait(60)
    assert (code, result.phase) == (0, "Complete")
    assert bucket.read("a.mp4") == b"M" * size
    assert bucket.uploads() == {}
    assert result.progress.bytes_uploaded == size
    manifest = Manifest.parse(bucket.read("EG_test.json"))
    assert manifest.media[0].sha256 == hashlib.sha256(b"M" * size).hexdigest()


def test_an_upload_that_moves_to_the_backup_storage_leaves_no_parts(
    recorder: Recorder, bucket: Bucket
) -> None:
    bucket.write_keys(recorder.directory / "credentials")
    backup = {"kind": "pvc", "volume": "claim", "claimName": "spare"}
    recorder.configure(
        [{"media": PART_SIZE + 9, "then": "wait"}], outputs=[bucket.output(backup=backup)], uploadTimeout=1.0
    )
    recorder.start()
    until(lambda: bucket.parts() == [PART_SIZE])
    (recorder.directory / "credentials" / "keys" / "secret").write_text("wrong")
    recorder.request("PUT", "/v1/desired-state", STOP)
    code, result = recorder.wait(60)
    assert (code, result.phase, result.backup_storage_writes) == (0, "Complete", 1)
    assert [path.read_bytes() for path in recorder.volume.rglob("*.mp4")] == [b"M" * (PART_SIZE + 9)]
    assert result.progress.bytes_uploaded == PART_SIZE + 9
    assert "wrong" not in "".join(recorder.log)


@contextmanager
def real_recorder(server: LiveKitServer, room: str, bucket: Bucket, directory: Path, **changes: Any) -> Any:
    """`egress-recorder run` with its real capture process."""
    for name in ("config", "scratch"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    bucket.write_keys(directory / "credentials")
    config = {
        "egressId": "EG_test",
        "url": server.url,
        "roomName": room,
        "source": {"kind": "participant", "identity": "alice"},
        "encoding": {"width": 640, "height": 360, "videoBitrate": 3000},
        "outputs": [bucket.output()],
        "requestedAt": "2026-11-22T10:00:00Z",
        **changes,
    }
    (directory / "config" / "config.json").write_text(json.dumps(config))
    (directory / "config" / "token").write_text(
        recorder_token(server, room, f"EG_test-{config.get('part', 1)}")
    )
    (directory / "config" / "control-token").write_text("control-token-of-this-recorder")
    command = [str(Path(sys.executable).with_name("egress-recorder")), "run"]
    for option in ("config-dir", "scratch", "credentials-root"):
        name = {"config-dir": "config", "credentials-root": "credentials"}.get(option, option)
        command += [f"--{option}", str(directory / name)]
    command += ["--termination-log", str(directory / "termination.json"), "--bind", "127.0.0.1:0"]
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(command, env={**os.environ}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """What the loss of a node looks like: nobody gets another word."""
    everybody = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for one in everybody:
        one.send_signal(signal.SIGSTOP)
    for one in everybody:
        one.kill()
    process.wait()


def decoded(bucket: Bucket, name: str, directory: Path) -> MediaReport:
    (directory / name).write_bytes(bucket.read(name))
    return check(directory / name)


def test_what_a_lost_node_had_uploaded_plays_completed_by_hand_and_by_the_next_part(
    livekit_server: LiveKitServer, room: str, bucket: Bucket, tmp_path: Path
) -> None:
    outputs = [bucket.output(), bucket.output("b.mp4")]
    with publisher(livekit_server, room):
        with real_recorder(livekit_server, room, bucket, tmp_path / "1", outputs=outputs) as first:
            until(lambda: bool(bucket.parts("a.mp4") and bucket.parts("b.mp4")))
            early = bucket.parts("a.mp4")[0]
            # The growing part goes again when it has doubled and some time has passed.
            until(lambda: all(bucket.parts(name)[0] >= 2 * early for name in ("a.mp4", "b.mp4")), 60)
            kill_all(first)
        bucket.complete_by_hand("b.mp4")
        lost = [
            {"part": 1, "output": index, "filename": f"{bucket.prefix}/{name}", "duration": 20.0, "size": 10**9,
             "startedAt": "2026-11-22T10:00:01Z", "endedAt": "2026-11-22T10:00:30Z", "endReason": "Process killed: gone"}
            for index, name in enumerate(("a.mp4", "b.mp4"))
        ]  # fmt: skip
        prior = {"parts": lost, "startedAt": "2026-11-22T10:00:01Z"}
        with real_recorder(
            livekit_server, room, bucket, tmp_path / "2", outputs=outputs, part=2, prior=prior
        ) as second:
            until(lambda: bool(bucket.parts("a-p2.mp4") and bucket.parts("b-p2.mp4")), 60)
            assert "a.mp4" in bucket.names(), "completed before there is media"
            second.send_signal(signal.SIGTERM)
            assert second.wait(60) == 75

    for name in ("a.mp4", "b.mp4"):
        report = decoded(bucket, name, tmp_path)
        assert report.frames > 30
        seen = [counter for counter in report.counters if counter is not None]
        assert len(seen) > 30
        assert seen == sorted(seen)
    assert bucket.read("a-p2.mp4") == bucket.read("b-p2.mp4")
    assert decoded(bucket, "a-p2.mp4", tmp_path).errors == []
    manifest = Manifest.parse(bucket.read("EG_test.json"))
    assert [(part.part, part.output, bool(part.location)) for part in manifest.parts] == [
        (1, 0, True), (1, 1, False), (2, 0, True), (2, 1, True),
    ]  # fmt: skip
    assert manifest.parts[0].size == len(bucket.read("a.mp4"))
    assert manifest.media[-1].sha256 == hashlib.sha256(bucket.read("a-p2.mp4")).hexdigest()
    assert bucket.uploads() == {}
