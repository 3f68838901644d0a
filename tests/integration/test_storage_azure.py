"""What is Azure's own: the three ways to prove who one is, uncommitted blocks, its errors; against Azurite."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs

import jwt
import pytest

from devstack import npm
from devstack.azure import AzureServer
from devstack.certificates import Certificate
from devstack.faultproxy import FaultProxy
from devstack.httpserver import LoopbackServer, SilentHandler, read_body, reply
from egress_recorder.errors import AuthorizationError, ConfigurationError
from egress_recorder.storage import ObjectExistsError, Storage
from support.storage_places import PART, Place, azure_place

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not npm.available(), reason="npm is not installed"),
]

TENANT = "7fe81447-da57-4385-becb-6de57f21477e"
ASSERTION = "projected-service-account-token"


@pytest.fixture
def key() -> str:
    return f"{secrets.token_hex(6)}/with space+plus/äöü.mp4"


def opened(place: Place) -> Storage:
    storage = place.open()
    assert isinstance(storage, Storage)
    return storage


def test_a_shared_access_signature_is_enough(tmp_path: Path, azure_server: AzureServer, key: str) -> None:
    place = azure_place(tmp_path, azure_server)
    place.write_secret("sas_token", f"?{azure_server.sas()}")
    place.spoil_secret()  # the signature goes before a key
    storage = opened(place)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"media"))])
    assert storage.read(key) == b"media"
    assert "sig=" not in storage.location(key)


def test_a_signature_that_may_only_write_still_never_overwrites(
    tmp_path: Path, azure_server: AzureServer, key: str
) -> None:
    place = azure_place(tmp_path, azure_server)
    place.write_secret("sas_token", azure_server.sas("cw"))
    storage = opened(place)
    storage.put(key, b"first", content_type="text/plain")
    with pytest.raises(AuthorizationError):
        storage.exists(key)
    with pytest.raises(ObjectExistsError):
        storage.put(key, b"second", content_type="text/plain")


def test_an_expired_signature_is_refused_without_being_shown(
    tmp_path: Path, azure_server: AzureServer, key: str
) -> None:
    place = azure_place(tmp_path, azure_server)
    sas = azure_server.sas(lifetime=timedelta(hours=-1))
    place.write_secret("sas_token", sas)
    with pytest.raises(AuthorizationError, match=r"fileOutputs\[0\]\.azure: .*'sas_token'") as caught:
        opened(place).put(key, b"", content_type="text/plain", overwrite=True)
    assert sas.rpartition("sig=")[2] not in str(caught.value)


def test_a_missing_container_names_its_field(tmp_path: Path, azure_server: AzureServer, key: str) -> None:
    storage = opened(azure_place(tmp_path, azure_server, container_name="no-such-container"))
    with pytest.raises(ConfigurationError, match=r"azure\.containerName 'no-such-container' does not exist"):
        storage.put(key, b"{}", content_type="application/json")
    upload = storage.begin(key, "video/mp4", part_size=PART)
    with pytest.raises(ConfigurationError, match="no-such-container"):
        storage.put_part(upload, 1, io.BytesIO(b"x"))


def test_a_key_that_is_no_base64_says_so(tmp_path: Path, azure_server: AzureServer, key: str) -> None:
    place = azure_place(tmp_path, azure_server)
    place.write_secret("account_key", "half a key")
    with pytest.raises(AuthorizationError, match="'account_key' of the credentials Secret is no base64"):
        opened(place).put(key, b"", content_type="text/plain")


def test_two_uploads_of_one_name_do_not_mix_their_blocks(
    tmp_path: Path, azure_server: AzureServer, key: str
) -> None:
    storage = opened(azure_place(tmp_path, azure_server))
    one = storage.begin(key, "video/mp4", part_size=PART)
    two = storage.begin(key, "video/mp4", part_size=PART)
    first = storage.put_part(one, 1, io.BytesIO(b"one"))
    storage.put_part(two, 1, io.BytesIO(b"two"))
    assert storage.list_parts(one) == (first,)
    storage.complete(one, [first])
    assert storage.read(key) == b"one"


def test_the_content_type_is_kept(tmp_path: Path, azure_server: AzureServer, key: str) -> None:
    with FaultProxy(azure_server.origin) as tap:
        storage = opened(azure_place(tmp_path, azure_server).via(tap.url))
        upload = storage.begin(key, "video/mp4", part_size=PART)
        storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"x"))])
        (commit,) = [seen for seen in tap.seen if seen.method == "PUT" and "comp=blocklist" in seen.path]
    assert commit.headers["x-ms-blob-content-type"] == "video/mp4"
    assert commit.headers["if-none-match"] == "*"


# ---- workload identity ---------------------------------------------------------------------------------------


class Authority(LoopbackServer):
    """Microsoft's token endpoint: a federated token in, an access token out."""

    def __init__(self) -> None:
        super().__init__(_Authority)
        self.asked = 0


class _Authority(SilentHandler):
    def handle_one(self) -> None:
        authority = self.server.owner
        assert isinstance(authority, Authority)
        form = {name: values[0] for name, values in parse_qs(read_body(self).decode()).items()}
        authority.asked += 1
        right = {
            "grant_type": "client_credentials",
            "client_id": "client-1",
            "scope": "https://storage.azure.com/.default",
            "client_assertion": ASSERTION,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
        if form != right or self.path != f"/{TENANT}/oauth2/v2.0/token":
            reply(self, 401, b'{"error": "invalid_client"}')
            return
        claims = {
            "iss": f"https://sts.windows.net/{TENANT}/",
            "aud": "https://storage.azure.com",
            "nbf": 0,
            "iat": 0,
            "exp": 32503680000,
        }
        token = jwt.encode(claims, "a secret that Azurite does not ask for", algorithm="HS256")
        reply(self, 200, json.dumps({"access_token": token, "expires_in": 3600}).encode())


@pytest.fixture
def secure_server(tmp_path: Path, certificate: Certificate) -> Iterator[AzureServer]:
    server = AzureServer(tmp_path / "azure", certificate=certificate)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_the_workload_identity_is_exchanged_once_and_serves_all_requests(
    tmp_path: Path,
    secure_server: AzureServer,
    certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    (tmp_path / "token").write_text(ASSERTION)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    monkeypatch.setenv("AZURE_CLIENT_ID", "client-1")
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    with Authority() as authority:
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"{authority.url}/")
        storage = opened(azure_place(tmp_path, secure_server, credentials=""))
        upload = storage.begin(key, "video/mp4", part_size=PART)
        storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"media"))])
        assert storage.read(key) == b"media"
        assert authority.asked == 1
        (tmp_path / "token").write_text("another token that is not federated")
        with pytest.raises(
            AuthorizationError, match=r"azure: the workload identity is refused \(401\)"
        ) as caught:
            opened(azure_place(tmp_path, secure_server, credentials="")).exists(key)
        assert "not federated" not in str(caught.value)


def test_without_any_credentials_the_sentence_names_both_ways(
    tmp_path: Path, azure_server: AzureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        AuthorizationError, match="name a Secret in credentialsSecretRef, or give the pod a workload"
    ):
        opened(azure_place(tmp_path, azure_server, credentials="")).exists("a")
