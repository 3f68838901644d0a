"""What is GCS' own: key file and workload identity, no precondition on completions; against the gateway of the devstack."""

from __future__ import annotations

import io
import json
import secrets
from pathlib import Path

import pytest

from devstack.faultproxy import FaultProxy
from devstack.process import free_port
from devstack.xmlgateway import GcsGateway
from egress_recorder.errors import AuthorizationError, ConfigurationError
from egress_recorder.storage import Storage
from support.storage_places import PART, Place, gcs_place

pytestmark = pytest.mark.integration


@pytest.fixture
def key() -> str:
    return f"{secrets.token_hex(6)}/with space+plus/äöü.mp4"


def opened(place: Place) -> Storage:
    storage = place.open()
    assert isinstance(storage, Storage)
    return storage


def test_a_key_file_is_exchanged_once_for_all_requests(
    tmp_path: Path, gcs_server: GcsGateway, key: str
) -> None:
    gcs_server.asked.clear()
    storage = opened(gcs_place(tmp_path, gcs_server))
    upload = storage.begin(key, "video/mp4", part_size=PART)
    storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"media"))])
    assert storage.read(key) == b"media"
    assert gcs_server.asked == ["key file"]


def test_the_workload_identity_is_asked_for_as_google_wants_it(
    tmp_path: Path, gcs_server: GcsGateway, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcs_server.asked.clear()
    monkeypatch.setenv("GCE_METADATA_HOST", gcs_server.url.removeprefix("http://"))
    storage = opened(gcs_place(tmp_path, gcs_server, credentials=""))
    storage.put(key, b"{}", content_type="application/json")
    assert storage.read(key) == b"{}"
    assert gcs_server.asked == ["workload identity"]


def test_without_any_credentials_the_sentence_names_both_ways(
    tmp_path: Path, gcs_server: GcsGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{free_port()}")
    with pytest.raises(
        AuthorizationError, match="name a Secret in credentialsSecretRef or give the pod's service"
    ):
        opened(gcs_place(tmp_path, gcs_server, credentials="")).exists("a")


def test_a_key_that_was_deleted_is_refused_without_being_shown(
    tmp_path: Path, gcs_server: GcsGateway
) -> None:
    with GcsGateway(gcs_server.s3) as other:
        place = gcs_place(tmp_path, gcs_server)
        foreign = {**json.loads(other.key_file()), "token_uri": f"{gcs_server.url}/token"}
        place.write_secret("credentials", json.dumps(foreign))
    with pytest.raises(
        AuthorizationError, match=r"gcp: the identity is refused \(401\): .*still exists"
    ) as caught:
        opened(place).exists("a")
    assert "PRIVATE KEY" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"type": "authorized_user", "refresh_token": "hush"}', "of the type 'authorized_user'"),
        ('{"type": "external_account"}', "of the type 'external_account'"),
        ('{"type": "service_account", "client_email": "a", "private_key": "hush"}', "not whole"),
        ("hush", "not whole"),
        ("[]", "not whole"),
    ],
)
def test_what_is_no_key_file_is_said_to_be_none(
    tmp_path: Path, gcs_server: GcsGateway, text: str, words: str
) -> None:
    place = gcs_place(tmp_path, gcs_server)
    place.write_secret("credentials", text)
    with pytest.raises(AuthorizationError, match=words) as caught:
        opened(place).exists("a")
    assert "hush" not in str(caught.value)


def test_a_put_brings_the_precondition_and_a_completion_does_not(
    tmp_path: Path, gcs_server: GcsGateway, key: str
) -> None:
    with FaultProxy(gcs_server.url) as tap:
        storage = opened(gcs_place(tmp_path, gcs_server).via(tap.url))
        storage.put(f"{key}.json", b"{}", content_type="application/json")
        upload = storage.begin(key, "video/mp4", part_size=PART)
        storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"x"))])
        conditions = [(seen.method, seen.headers.get("x-goog-if-generation-match")) for seen in tap.seen]
    assert [one for one in conditions if one[1]] == [("PUT", "0")]


def test_a_missing_bucket_names_its_field(tmp_path: Path, gcs_server: GcsGateway, key: str) -> None:
    storage = opened(gcs_place(tmp_path, gcs_server, bucket="no-such-bucket"))
    for attempt in (
        lambda: storage.put(key, b"{}", content_type="application/json"),
        lambda: storage.begin(key, "video/mp4", part_size=PART),
    ):
        with pytest.raises(ConfigurationError, match=r"gcp\.bucket 'no-such-bucket' does not exist"):
            attempt()


def test_the_location_is_livekits_where_a_certificate_covers_it(
    tmp_path: Path, gcs_server: GcsGateway
) -> None:
    plain = gcs_place(tmp_path, gcs_server, endpoint="").open()
    dotted = gcs_place(tmp_path, gcs_server, endpoint="", bucket="media.example.com").open()
    assert plain.location("a b.mp4") == "https://recordings.storage.googleapis.com/a%20b.mp4"
    assert dotted.location("a.mp4") == "https://storage.googleapis.com/media.example.com/a.mp4"
