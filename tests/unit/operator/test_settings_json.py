"""Settings that are JSON: what is understood, and that each refusal names the variable and the key, never a value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from egress_operator import settings
from egress_operator.errors import SettingsError

pytestmark = pytest.mark.unit

STORAGE, TEMPLATE, RESOURCES = (
    "EGRESS_DEFAULT_STORAGE",
    "EGRESS_RECORDER_TEMPLATE",
    "EGRESS_RECORDER_RESOURCES",
)


def load(**variables: Any) -> settings.Settings:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in variables.items()
    }
    return settings.load(texts)


def test_absent_and_empty_settings_are_none() -> None:
    for empty in ("", " ", "{}"):
        made = load(**{STORAGE: empty, TEMPLATE: empty, RESOURCES: empty})
        assert (made.default_storage, made.recorder_template, dict(made.recorder_resources)) == (
            None,
            None,
            {},
        )
    assert made.storage_allowed_namespaces == {"*"}
    assert (made.pull_policy, made.job_ttl_seconds) == ("IfNotPresent", 3600)


def test_the_default_storage_has_the_spelling_of_a_resource() -> None:
    s3 = {
        "bucket": "recordings",
        "region": "eu-central-1",
        "endpoint": "https://minio.example.com:9000",
        "forcePathStyle": True,
        "credentialsSecretRef": {"name": "keys"},
    }
    made = load(**{STORAGE: {"s3": s3}, "EGRESS_DEFAULT_STORAGE_ALLOWED_NAMESPACES": "a, b"})
    assert made.default_storage
    assert made.default_storage.s3
    assert made.default_storage.s3.force_path_style is True
    assert made.storage_allowed_namespaces == {"a", "b"}
    claim = load(**{STORAGE: {"pvc": {"claimName": "disk"}}}).default_storage
    assert claim
    assert claim.pvc
    assert claim.pvc.claim_name == "disk"


def test_the_template_and_the_table_are_understood() -> None:
    made = load(
        **{
            TEMPLATE: {
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "affinity": {"nodeAffinity": {"anything": [{"below": 1}]}},
                "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
                "volumeMounts": [{"name": "ca", "mountPath": "/etc/certificates"}],
                "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            },
            RESOURCES: {"H264_1080P_30": {"requests": {"cpu": "2", "memory": "1Gi"}}},
        }
    )

    assert made.recorder_template
    assert made.recorder_template.volumes
    assert made.recorder_resources["H264_1080P_30"].requests == {"cpu": "2", "memory": "1Gi"}


HUSH = "hush-hush"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (STORAGE, "{", "is not JSON"),
        (STORAGE, "[]", "must be a JSON object"),
        (STORAGE, {"s3": {"bucket": "b"}, "pvc": {"claimName": "c"}}, "exactly one destination"),
        (STORAGE, {"ftp": {"bucket": "b"}}, "ftp is not known"),
        (STORAGE, {"s3": {"bucket": "b", "forcepathstyle": True}}, "s3.forcepathstyle is not known"),
        (STORAGE, {"s3": {"region": "x"}}, "s3.bucket: Field required"),
        (STORAGE, {"s3": {"bucket": "b", "secret": HUSH}}, "s3.secret must not stand there: name a Secret"),
        (STORAGE, {"s3": {"bucket": "b", "access_key": HUSH}}, "s3.access_key must not stand there"),
        (STORAGE, {"s3": {"bucket": "b", "proxy": {"url": f"http://u:{HUSH}@p"}}}, "s3.proxy.url must be"),
        (STORAGE, {"s3": {"bucket": "b", "proxy": {"url": "http://p", "password": HUSH}}}, "s3.proxy.password must not"),
        (STORAGE, {"s3": {"bucket": "b", "proxy": {"url": "http://p", "passwordSecretRef": {"name": "A/b"}}}},
         "s3.proxy.passwordSecretRef.name must be the name of an object"),
        (STORAGE, {"s3": {"bucket": "b", "endpoint": f"https://u:{HUSH}@x"}}, "s3.endpoint must be"),
        (STORAGE, {"s3": {"bucket": "b", "endpoint": "minio:9000"}}, "s3.endpoint must be"),
        (STORAGE, {"s3": {"bucket": "b", "credentialsSecretRef": {"name": "A/b"}}}, "must be the name of an object"),
        (STORAGE, {"pvc": {"claimName": "Disk"}}, "pvc.claimName must be the name of an object"),
        (STORAGE, {"gcp": {"bucket": "b", "credentials": HUSH}}, "gcp.credentials must not stand there"),
        (STORAGE, {"aliOSS": {"bucket": "b", "secret": HUSH}}, "aliOSS.secret must not stand there"),
        (STORAGE, {"azure": {"containerName": "c", "accountKey": HUSH}}, "azure.accountKey must not stand there"),
        (STORAGE, {"http": {"url": f"https://u:{HUSH}@x"}}, "http.url must be an http:// or https:// URL without"),
        (STORAGE, {"s3": {"bucket": {"secret": HUSH}}}, "s3.bucket"),
        (TEMPLATE, {"nodeselector": {}}, "nodeselector is not known"),
        (TEMPLATE, {"tolerations": [{"key": "a", "opertor": "Exists"}]}, "tolerations.0.opertor is not known"),
        (TEMPLATE, {"tolerations": "all"}, "tolerations"),
        (TEMPLATE, {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "volumes.0.hostPath is not known"),
        (TEMPLATE, {"env": [{"name": "POD_IP", "value": "x"}]}, "env POD_IP is the recorder's own"),
        (TEMPLATE, {"volumes": [{"name": "scratch", "emptyDir": {}}]}, "volumes scratch is the recorder's own"),
        (TEMPLATE, {"volumeMounts": [{"name": "x", "mountPath": "/tmp/"}]}, "volumeMounts /tmp/ is the recorder's"),
        (TEMPLATE, {"labels": {"egress.livekit.io/uid": "x"}}, "labels egress.livekit.io/uid"),
        (TEMPLATE, {"resources": {"requests": {"cpu": "much"}}}, "resources.requests.cpu"),
        (RESOURCES, {"H264_4K": {}}, "H264_4K is no preset: use H264_720P_30"),
        (RESOURCES, {"H264_720P_30": {"request": {}}}, "H264_720P_30.request is not known"),
        (RESOURCES, {"H264_720P_30": {"limits": {"memory": "1GB"}}}, "H264_720P_30.limits.memory"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_variable_and_key(variable: str, value: Any, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{variable: value})

    assert variable in str(caught.value)
    assert words in str(caught.value)
    assert HUSH not in str(caught.value)
