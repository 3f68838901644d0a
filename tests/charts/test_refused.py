"""Bad values are refused by the schema, in a sentence that names the value and says the way out."""

from typing import Any

import pytest

from support.chart import refusal

S3 = {"bucket": "recordings"}
LIVEKIT = {"url": "wss://livekit.example.com", "existingSecret": "livekit"}


@pytest.mark.parametrize(
    ("values", "path", "sentence"),
    [
        pytest.param(
            {"livekit": LIVEKIT | {"url": "htp://livekit.example.com"}},
            "/livekit/url",
            "a URL that begins with wss://, ws://, https:// or http://",
            id="a typo in the URL's scheme",
        ),
        pytest.param(
            {"livekit": LIVEKIT | {"url": "wss://key:secret@livekit.example.com"}},
            "/livekit/url",
            "without user and password",
            id="a password in the URL",
        ),
        pytest.param(
            {"livekit": {"url": "wss://livekit.example.com"}},
            "/livekit/existingSecret",
            "the name of the Secret with the API key and secret, because livekit.url is set",
            id="a URL without its Secret",
        ),
        pytest.param(
            {"livekit": {"existingSecret": "livekit"}},
            "/livekit/url",
            "the URL of the LiveKit server, because livekit.existingSecret is set",
            id="a Secret without its URL",
        ),
        pytest.param(
            {"livekit": LIVEKIT | {"allowedNamespaces": "meetings"}},
            "/livekit/allowedNamespaces",
            "got string, want array",
            id="allowed namespaces that are not a list",
        ),
        pytest.param(
            {"livekit": LIVEKIT | {"allowedNamespaces": []}},
            "/livekit/allowedNamespaces",
            "minItems: got 0, want 1",
            id="a connection for nobody",
        ),
        pytest.param(
            {"liveKit": LIVEKIT}, "", "additional properties 'liveKit' not allowed", id="an unknown key"
        ),
        pytest.param(
            {"recorder": {"templates": {}}},
            "/recorder",
            "additional properties 'templates' not allowed",
            id="an unknown key further down",
        ),
        pytest.param(
            {"defaultStorage": {"s3": S3, "pvc": {"claimName": "recordings"}}},
            "/defaultStorage/pvc",
            "empty, because s3 is set beside it: choose one of the two",
            id="two default storages",
        ),
        pytest.param(
            {
                "defaultStorage": {
                    "http": {"url": "https://a.example.com"},
                    "pvc": {"claimName": "recordings"},
                }
            },
            "/defaultStorage/pvc",
            "empty, because http is set beside it: choose one of the two",
            id="two default storages, neither S3",
        ),
        pytest.param(
            {"defaultStorage": {"s3": {"region": "eu-central-1"}}},
            "/defaultStorage/s3",
            "missing property 'bucket'",
            id="S3 without a bucket",
        ),
        pytest.param(
            {"defaultStorage": {"s3": S3 | {"endpoint": "minio:9000"}}},
            "/defaultStorage/s3/endpoint",
            "a URL that begins with https:// or http://",
            id="an endpoint that is no URL",
        ),
        pytest.param(
            {"watchNamespaces": ["*"]},
            "/watchNamespaces/0",
            "leave watchNamespaces empty to serve all of them",
            id="a star for all namespaces",
        ),
        pytest.param(
            {"watchNamespaces": "meetings"},
            "/watchNamespaces",
            "got string, want array",
            id="watched namespaces that are not a list",
        ),
        pytest.param(
            {"image": {"registry": "https://registry.example.com"}},
            "/image/registry",
            "'https://registry.example.com' does not match pattern",
            id="a registry with a scheme",
        ),
        pytest.param(
            {"image": {"tag": 1.1}}, "/image/tag", "got number, want string", id="a tag without quotes"
        ),
        pytest.param(
            {"image": {"digest": "sha256:short"}},
            "/image/digest",
            "'sha256:short' does not match pattern",
            id="a digest that is none",
        ),
        pytest.param(
            {"recorder": {"resources": {"1080p": {"requests": {"cpu": "2"}}}}},
            "/recorder/resources",
            "additional properties '1080p' not allowed",
            id="a preset that does not exist",
        ),
        pytest.param(
            {"recorder": {"template": {"hostNetwork": True}}},
            "/recorder/template",
            "additional properties 'hostNetwork' not allowed",
            id="a recorder on the host's network",
        ),
        pytest.param(
            {"recorder": {"template": {"tolerations": [{"key": "media", "opertor": "Exists"}]}}},
            "/recorder/template/tolerations/0",
            "additional properties 'opertor' not allowed",
            id="a typo in a recorder's toleration",
        ),
        pytest.param(
            {"recorder": {"template": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}},
            "/recorder/template/volumes/0",
            "additional properties 'hostPath' not allowed",
            id="the node's file system in a recorder",
        ),
        pytest.param(
            {"recorder": {"terminationGracePeriodSeconds": "10m"}},
            "/recorder/terminationGracePeriodSeconds",
            "got string, want integer",
            id="a duration where seconds are",
        ),
        pytest.param(
            {"recorder": {"serviceAccounts": [{"name": "recorder"}]}},
            "/recorder/serviceAccounts/0",
            "missing property 'namespace'",
            id="an account without its namespace",
        ),
        pytest.param(
            {"serviceAccount": {"create": False}},
            "/serviceAccount/name",
            "the name of an existing ServiceAccount",
            id="no account at all",
        ),
        pytest.param({"logLevel": "debug"}, "/logLevel", "'DEBUG', 'INFO'", id="a log level in lower case"),
        pytest.param(
            {"resyncSeconds": 0}, "/resyncSeconds", "minimum: got 0, want 10", id="a resync without pause"
        ),
        pytest.param(
            {"networkPolicy": {"dns": {"ports": [{"port": 99999}]}}},
            "/networkPolicy/dns/ports/0/port",
            "maximum",
            id="a port that does not exist",
        ),
        pytest.param(
            {"webhooks": {"receivers": [{"url": "https://app.example.com"}]}},
            "/livekit/url",
            "the URL of the LiveKit server, because the key of webhooks.receivers is that of livekit",
            id="receivers and no key that signs",
        ),
        pytest.param(
            {"livekit": LIVEKIT, "webhooks": {"receivers": [{"url": "https://u:p@app.example.com"}]}},
            "/webhooks/receivers/0/url",
            "without user and password",
            id="a password in a receiver's URL",
        ),
        pytest.param(
            {
                "livekit": LIVEKIT,
                "webhooks": {
                    "receivers": [{"url": "https://a.b", "filterParams": {"includeEvents": ["egress_end"]}}]
                },
            },
            "/webhooks/receivers/0/filterParams/includeEvents/0",
            "'egress_started', 'egress_updated', 'egress_ended'",
            id="an event that does not exist",
        ),
        pytest.param(
            {"webhooks": {"allowedHosts": ["https://app.example.com"]}},
            "/webhooks/allowedHosts/0",
            "the name or address of a host without scheme and port",
            id="a URL in place of a host",
        ),
        pytest.param(
            {"metrics": {"serviceMonitor": {"interval": "30"}}},
            "/metrics/serviceMonitor/interval",
            "'30' does not match pattern",
            id="an interval without a unit",
        ),
        pytest.param(
            {"podDisruptionBudget": {"maxUnavailable": 2}},
            "/podDisruptionBudget/maxUnavailable",
            "must be one of 0, 1",
            id="a budget for more pods than there are",
        ),
    ],
)
def test_a_bad_value_is_refused_with_its_path_and_a_sentence(
    values: dict[str, Any], path: str, sentence: str
) -> None:
    said = refusal(**values)

    assert any(f"at '{path}'" in line and sentence in line for line in said.splitlines()), said


@pytest.mark.parametrize(
    "key", ["accessKey", "access_key", "secret", "secretKey", "session_token", "sessionToken"]
)
def test_a_storage_key_in_the_values_is_refused_without_being_repeated(key: str) -> None:
    said = refusal(defaultStorage={"s3": S3 | {key: "AKIAhunter2"}})

    assert f"at '/defaultStorage/s3/{key}'" in said
    assert "put the keys into a Secret of the recordings' namespace" in said.replace("\\", "")
    assert "hunter2" not in said


def test_a_password_in_a_url_is_refused_without_being_repeated() -> None:
    said = refusal(
        livekit=LIVEKIT | {"url": "wss://key:hunter2@livekit.example.com"},
        defaultStorage={"s3": S3 | {"endpoint": "https://key:hunter2@minio.example.com"}},
    )

    assert "at '/livekit/url'" in said
    assert "at '/defaultStorage/s3/endpoint'" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("key", ["apiKey", "apiSecret"])
def test_a_livekit_key_in_the_values_is_refused_without_being_repeated(key: str) -> None:
    said = refusal(livekit=LIVEKIT | {key: "hunter2"})

    assert f"at '/livekit/{key}'" in said
    assert "put API key and secret into a Secret and name it in livekit.existingSecret" in said
    assert "hunter2" not in said
