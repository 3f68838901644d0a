"""A recording of two S3 outputs of which one has wrong keys: what is in the bucket of the other one in the end."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.faultproxy import FaultProxy
from devstack.s3 import S3Server
from egress_recorder.contract import Manifest
from egress_recorder.partplan import PART_SIZE
from fakes.recorder_process import Recorder
from support.realtime import REALTIME

pytestmark = [pytest.mark.integration, REALTIME]

STOP = json.dumps({"generation": 2, "desiredState": "Stopped"}).encode()
WRONG = "the-wrong-secret-of-this-test"


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path)
    yield made
    made.close()


class Two:
    """Outputs `good/a.mp4` and `bad/a.mp4` below a prefix of the test, each with keys of its own."""

    def __init__(self, server: S3Server, recorder: Recorder) -> None:
        self.server, self.client, self.prefix = server, server.client(), secrets.token_hex(4)
        self.credentials = recorder.directory / "credentials"
        self.write_keys("good", server.secret_key)
        self.write_keys("bad", WRONG)

    def write_keys(self, name: str, secret: str) -> None:
        (self.credentials / name).mkdir(parents=True, exist_ok=True)
        (self.credentials / name / "access_key").write_text(self.server.access_key)
        (self.credentials / name / "secret").write_text(secret)

    def outputs(self, *, bad_endpoint: str = "", **fields: Any) -> list[dict[str, Any]]:
        """The good one first."""
        return [
            {
                "filepath": f"{self.prefix}/{name}/a.mp4",
                "destination": {
                    "kind": "s3",
                    "bucket": self.server.bucket,
                    "region": self.server.region,
                    "endpoint": endpoint,
                    "forcePathStyle": True,
                    "credentials": name,
                },
                **fields,
            }
            for name, endpoint in (
                ("good", self.server.endpoint),
                ("bad", bad_endpoint or self.server.endpoint),
            )
        ]

    def objects(self) -> list[str]:
        return [key.removeprefix(f"{self.prefix}/") for key in self.server.keys(f"{self.prefix}/")]

    def uploads(self) -> list[str]:
        listing = self.client.list_multipart_uploads(Bucket=self.server.bucket, Prefix=f"{self.prefix}/")
        return [one["Key"].removeprefix(f"{self.prefix}/") for one in listing.get("Uploads", ())]

    def manifest(self) -> Manifest:
        return Manifest.parse(self.server.read(f"{self.prefix}/good/EG_test.json"))

    def lose_an_upload(self, name: str) -> None:
        """Leave what a recorder leaves whose node is lost: one part of an upload that nobody completes."""
        key = f"{self.prefix}/{name}"
        begun = self.client.create_multipart_upload(
            Bucket=self.server.bucket, Key=key, ContentType="video/mp4"
        )
        self.client.upload_part(
            Bucket=self.server.bucket,
            Key=key,
            UploadId=begun["UploadId"],
            PartNumber=1,
            Body=b"M" * PART_SIZE,
        )


@pytest.fixture
def two(s3_server: S3Server, recorder: Recorder) -> Two:
    return Two(s3_server, recorder)


def assert_refused(code: int, result: Any) -> None:
    assert (code, result.phase, result.error_code) == (77, "Failed", 401)
    assert "fileOutputs[1].s3" in result.error


def test_the_manifest_beside_the_good_keys_says_why_there_is_no_file(recorder: Recorder, two: Two) -> None:
    recorder.configure([{"media": 2 * PART_SIZE, "then": "wait"}], outputs=two.outputs())
    code, result = recorder.run()
    assert_refused(code, result)
    assert (two.objects(), two.uploads()) == (["good/EG_test.json"], [])
    manifest = two.manifest()
    assert (manifest.phase, manifest.error) == ("Failed", result.error)
    assert manifest.ended_at is not None
    assert result.manifest_location.endswith(f"{two.prefix}/good/EG_test.json")
    assert WRONG not in "".join(recorder.log) + recorder.termination_log.read_text()


def test_without_manifests_nothing_at_all_is_left(recorder: Recorder, two: Two) -> None:
    outputs = two.outputs(disableManifest=True)
    recorder.configure([{"media": 2 * PART_SIZE, "then": "wait"}], outputs=outputs)
    code, result = recorder.run()
    assert_refused(code, result)
    assert (two.objects(), two.uploads()) == ([], [])
    assert result.manifest_location == ""


def test_a_refusal_that_comes_after_the_first_media_leaves_no_upload(recorder: Recorder, two: Two) -> None:
    with FaultProxy(two.server.endpoint) as proxy:
        proxy.bytes_per_second = 400  # the first manifest takes three seconds
        outputs = two.outputs(bad_endpoint=proxy.url)
        recorder.configure([{"media": 2 * PART_SIZE, "then": "wait"}], outputs=outputs)
        recorder.start()
        recorder.until_status(lambda status: status.recording)
        code, result = recorder.wait(30)
    assert_refused(code, result)
    assert (two.objects(), two.uploads()) == (["good/EG_test.json"], [])
    assert two.manifest().phase == "Failed"
    assert [part.location for part in result.parts] == ["", ""]


def test_media_that_a_lost_recorder_had_uploaded_becomes_a_file_although_the_next_one_is_refused(
    recorder: Recorder, two: Two
) -> None:
    two.lose_an_upload("good/a.mp4")
    lost = [
        {"part": 1, "output": index, "filename": f"{two.prefix}/{name}/a.mp4", "duration": 20.0, "size": PART_SIZE * 2,
         "startedAt": "2026-11-22T10:00:01Z", "endedAt": "2026-11-22T10:00:21Z", "endReason": "Process killed: gone"}
        for index, name in enumerate(("good", "bad"))
    ]  # fmt: skip
    prior = {"parts": lost, "startedAt": "2026-11-22T10:00:01Z"}
    recorder.configure([{"media": 2 * PART_SIZE, "then": "wait"}], outputs=two.outputs(), part=2, prior=prior)
    code, result = recorder.run()
    assert_refused(code, result)
    assert two.uploads() == []
    assert two.objects() == ["good/EG_test.json", "good/a.mp4"]
    [part] = [one for one in two.manifest().parts if one.location]
    assert (part.part, part.output, part.size, part.duration) == (1, 0, PART_SIZE, 10.0)


def test_keys_that_become_wrong_while_recording_leave_parts_until_they_are_right_again(
    recorder: Recorder, two: Two
) -> None:
    size = 2 * PART_SIZE + 9
    two.write_keys("bad", two.server.secret_key)
    recorder.configure([{"media": size, "then": "wait"}], outputs=two.outputs(), uploadTimeout=1.0)
    recorder.start()
    recorder.until(lambda: sorted(two.uploads()) == ["bad/a.mp4", "good/a.mp4"], 30)
    recorder.until_status(lambda status: status.progress.bytes_uploaded >= 4 * PART_SIZE)
    two.write_keys("bad", WRONG)
    recorder.request("PUT", "/v1/desired-state", STOP)
    code, result = recorder.wait(60)
    assert (code, result.phase, result.error_code) == (77, "Failed", 401)
    assert two.server.read(f"{two.prefix}/good/a.mp4") == b"M" * size
    # Nobody without the right keys can remove these: docs/storage/s3.md has the bucket's rule for them.
    assert two.uploads() == ["bad/a.mp4"]
    assert any("parts of a failed upload were left" in line for line in recorder.log)
    assert WRONG not in "".join(recorder.log)
