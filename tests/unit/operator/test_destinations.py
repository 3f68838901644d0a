"""What a recorder is told of each kind of destination, which Secrets are mounted, and which version understands it."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import facts, filenames, jobs
from egress_operator.settings import Settings
from egress_recorder.contract import RecorderConfig
from support.operator_builders import ABSENT, observed, recording

pytestmark = pytest.mark.unit

KEYS = {"credentialsSecretRef": {"name": "keys"}}
PROXY = {
    "url": "http://proxy:3128",
    "username": "recorder",
    "passwordSecretRef": {"name": "proxy", "key": "pass"},
}


def config_of(*outputs: dict[str, Any], **spec: Any) -> RecorderConfig:
    one = recording(fileOutputs=list(outputs), **spec)
    document = facts.gather(observed(of=one, room=ABSENT))
    document["resolved"]["url"] = "ws://livekit"
    filenames.resolve_names(one, document)
    return jobs.recorder_config(one, document, part=1, settings=Settings())


def secrets_of(*outputs: dict[str, Any], **spec: Any) -> list[str]:
    """Return the mounted storage Secrets, in the order of their directories."""
    one = recording(fileOutputs=list(outputs), **spec)
    pod = jobs.job_manifest(one, Settings(), part=1)["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    paths = sorted(path for path in mounts if path.startswith("/etc/egress/credentials/"))
    return [volumes[mounts[path]]["secret"]["secretName"] for path in paths]


S3_ALL = {
    "bucket": "b",
    "region": "eu-central-1",
    "assumeRoleArn": "arn:aws:iam::1:role/r",
    "assumeRoleExternalId": "company-7",
    "metadata": {"team": "media"},
    "tagging": "a=b",
    "contentDisposition": "attachment",
    "serverSideEncryption": "aws:kms",
    "sseKmsKeyId": "alias/k",
}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str], int]] = {
    "s3 of before": (
        {"s3": {"bucket": "b", "forcePathStyle": True, **KEYS}},
        {"kind": "s3", "bucket": "b", "forcePathStyle": True, "credentials": "0"},
        ["keys"],
        1,
    ),
    "s3 with all": (
        {"s3": {**S3_ALL, **KEYS, "proxy": PROXY}},
        {
            "kind": "s3",
            **S3_ALL,
            "credentials": "0",
            "proxy": {
                "url": "http://proxy:3128",
                "username": "recorder",
                "credentials": "1",
                "passwordKey": "pass",
            },
        },
        ["keys", "proxy"],
        2,
    ),
    "s3 with workload identity": ({"s3": {"bucket": "b"}}, {"kind": "s3", "bucket": "b"}, [], 1),
    "s3 with a tag": (
        {"s3": {"bucket": "b", "tagging": "a=b"}},
        {"kind": "s3", "bucket": "b", "tagging": "a=b"},
        [],
        2,
    ),
    "gcp": (
        {"gcp": {"bucket": "b", "endpoint": "https://x", **KEYS}},
        {"kind": "gcp", "bucket": "b", "endpoint": "https://x", "credentials": "0"},
        ["keys"],
        2,
    ),
    "gcp with workload identity": ({"gcp": {"bucket": "b"}}, {"kind": "gcp", "bucket": "b"}, [], 2),
    "aliOSS": (
        {"aliOSS": {"bucket": "bbb", "region": "cn-hangzhou", **KEYS}},
        {"kind": "aliOSS", "bucket": "bbb", "region": "cn-hangzhou", "credentials": "0"},
        ["keys"],
        2,
    ),
    "azure": (
        {
            "azure": {
                "accountName": "media",
                "containerName": "c",
                "endpoint": "https://x",
                **KEYS,
                "proxy": PROXY,
            }
        },
        {
            "kind": "azure",
            "accountName": "media",
            "containerName": "c",
            "endpoint": "https://x",
            "credentials": "0",
            "proxy": {
                "url": "http://proxy:3128",
                "username": "recorder",
                "credentials": "1",
                "passwordKey": "pass",
            },
        },
        ["keys", "proxy"],
        2,
    ),
    "http": (
        {"http": {"url": "https://x/in", "headers": {"X-Team": "media"}, **KEYS, "proxy": PROXY}},
        {
            "kind": "http",
            "url": "https://x/in",
            "headers": {"X-Team": "media"},
            "credentials": "0",
            "proxy": {
                "url": "http://proxy:3128",
                "username": "recorder",
                "credentials": "1",
                "passwordKey": "pass",
            },
        },
        ["keys", "proxy"],
        2,
    ),
    "pvc": ({"pvc": {"claimName": "c"}}, {"kind": "pvc", "volume": "0", "claimName": "c"}, [], 1),
}


@pytest.mark.parametrize(("output", "expected", "secrets", "version"), CASES.values(), ids=CASES)
def test_a_destination_reaches_the_recorder_with_its_secrets_as_directories(
    output: dict[str, Any], expected: dict[str, Any], secrets: list[str], version: int
) -> None:
    config = config_of(output)
    parsed = RecorderConfig.parse(config.to_json())
    given = {name: value for name, value in parsed.outputs[0].destination.to_dict().items() if value}

    assert {name: value for name, value in given.items() if value is not False} == expected
    assert secrets_of(output) == secrets
    assert config.min_contract_version == version
