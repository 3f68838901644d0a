"""What is S3's own: credentials and where they come from, roles, the proxy, what objects carry, its errors."""

from __future__ import annotations

import io
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from devstack.aws import AwsIdentity
from devstack.certificates import Certificate
from devstack.faultproxy import FaultProxy
from devstack.s3 import DOMAIN, S3Server
from devstack.tlsfront import TlsFront
from egress_recorder.contract import Proxy
from egress_recorder.errors import AuthorizationError, ConfigurationError, UnreachableError
from egress_recorder.storage import (
    GrowingStorage,
    ObjectExistsError,
    PresigningStorage,
    Storage,
    WholeStorage,
    s3_client,
)
from egress_recorder.storage.s3 import S3Storage
from support.storage_places import PART, s3_place

pytestmark = pytest.mark.integration


@pytest.fixture
def key() -> str:
    return f"{secrets.token_hex(6)}/with space+plus/äöü.mp4"


def _attempts(storage: Storage | WholeStorage) -> list[Callable[[], object]]:
    assert isinstance(storage, Storage)
    return [
        lambda: storage.put("x/a.json", b"{}", content_type="application/json", overwrite=True),
        lambda: storage.put("x/b.json", b"{}", content_type="application/json"),
        lambda: storage.begin("x/c.mp4", "video/mp4", part_size=PART),
    ]


def test_an_unknown_access_key_is_refused(tmp_path: Path, s3_server: S3Server) -> None:
    place = s3_place(tmp_path, s3_server)
    (tmp_path / "credentials" / "keys" / "access_key").write_text("AKIANOBODY")
    for attempt in _attempts(place.open()):
        with pytest.raises(AuthorizationError, match="access_key"):
            attempt()


def test_the_vendors_names_of_credentials_are_understood(tmp_path: Path, s3_server: S3Server) -> None:
    place = s3_place(tmp_path, s3_server)
    directory = tmp_path / "credentials" / "keys"
    (directory / "access_key").rename(directory / "AWS_ACCESS_KEY_ID")
    (directory / "secret").rename(directory / "AWS_SECRET_ACCESS_KEY")
    place.open().put(f"{secrets.token_hex(4)}.json", b"{}", content_type="application/json")


def test_a_secret_without_a_key_names_the_key(tmp_path: Path, s3_server: S3Server) -> None:
    place = s3_place(tmp_path, s3_server)
    (tmp_path / "credentials" / "keys" / "secret").unlink()
    with pytest.raises(AuthorizationError, match="'secret'"):
        place.open().exists("a")


def test_a_missing_bucket_names_its_field(tmp_path: Path, s3_server: S3Server) -> None:
    for attempt in _attempts(s3_place(tmp_path, s3_server, bucket="no-such-bucket").open()):
        with pytest.raises(ConfigurationError, match=r"fileOutputs\[0\]\.s3\.bucket 'no-such-bucket'"):
            attempt()


def test_a_server_that_does_not_answer_is_unreachable(tmp_path: Path, s3_server: S3Server) -> None:
    storage = s3_place(tmp_path, s3_server, endpoint="http://127.0.0.1:9").open()
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9 does not answer"):
        storage.put("a.json", b"{}", content_type="application/json", overwrite=True)


def test_an_endpoint_that_is_no_url_is_refused_at_once(tmp_path: Path, s3_server: S3Server) -> None:
    for endpoint in ("ftp://x", "http://user:password@x", "http://x:port", "http://"):
        with pytest.raises(ConfigurationError, match=r"fileOutputs\[0\]\.s3\.endpoint") as caught:
            s3_place(tmp_path, s3_server, endpoint=endpoint).open()
        assert "password" not in str(caught.value)


def test_the_content_type_is_kept(tmp_path: Path, s3_server: S3Server) -> None:
    storage = s3_place(tmp_path, s3_server).open()
    key = f"{secrets.token_hex(4)}.mp4"
    assert isinstance(storage, Storage)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"x"))])
    assert s3_server.client().head_object(Bucket=s3_server.bucket, Key=key)["ContentType"] == "video/mp4"


def test_an_object_that_another_completion_replaced_is_not_taken_for_ours(
    tmp_path: Path, s3_server: S3Server, key: str
) -> None:
    """A server that looks before it writes lets both of two completions within one moment succeed; one file is gone."""
    storage = s3_place(tmp_path, s3_server).open()
    assert isinstance(storage, S3Storage)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    part = storage.put_part(upload, 1, io.BytesIO(b"ours"))

    def replace(**_: object) -> None:
        s3_server.client().put_object(
            Bucket=s3_server.bucket, Key=key, Body=b"theirs", Metadata={"egress-upload": "another's"}
        )

    client = storage._connection._current()
    client.meta.events.register_last("after-call.s3.CompleteMultipartUpload", replace)
    with pytest.raises(ObjectExistsError, match="at the same moment"):
        storage.complete(upload, [part])


def test_the_location_is_the_address_that_serves_the_object(
    tmp_path: Path, s3_server: S3Server, key: str
) -> None:
    storage = s3_place(tmp_path, s3_server).open()
    storage.put(key, b"x", content_type="text/plain")
    url = s3_server.client().generate_presigned_url(
        "get_object", Params={"Bucket": s3_server.bucket, "Key": key}
    )
    assert storage.location(key) == url.partition("?")[0]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the S3 server's domain that were looked up; all of them mean loopback, as its operator's DNS would say."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **options: Any) -> Any:
        if not host.endswith(DOMAIN):
            return real(host, *arguments, **options)
        asked.append(host)
        return real("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


@pytest.mark.parametrize(("path_style", "host"), [(False, f"recordings.{DOMAIN}"), (True, DOMAIN)])
def test_a_bucket_has_a_host_name_below_the_endpoint_unless_path_style_is_asked_for(
    tmp_path: Path, s3_server: S3Server, names: list[str], key: str, path_style: bool, host: str
) -> None:
    place = s3_place(tmp_path, s3_server, endpoint=s3_server.named_endpoint, force_path_style=path_style)
    storage = place.open()
    assert isinstance(storage, GrowingStorage)
    assert isinstance(storage, PresigningStorage)

    begun = storage.begin(key, "video/mp4", part_size=PART)
    storage.put_part(begun, 1, io.BytesIO(b"media"))
    [found] = storage.begun(key, "video/mp4")
    upload = storage.resume(key, found, part_size=PART)
    storage.complete(upload, storage.list_parts(upload))
    storage.put(f"{key}.json", b"{}", content_type="application/json")

    with pytest.raises(ObjectExistsError):
        storage.put(f"{key}.json", b"[]", content_type="application/json")
    assert (s3_server.read(key), storage.read(f"{key}.json")) == (b"media", b"{}")
    url = storage.presigned(key, 60)
    assert url.partition("?")[0] == storage.location(key)
    assert urllib3.request("GET", url).data == b"media"
    assert set(names) == {host}


# ---- where credentials come from -----------------------------------------------------------------------------


@pytest.fixture
def identity(s3_server: S3Server) -> Iterator[AwsIdentity]:
    with AwsIdentity(s3_server.access_key, s3_server.secret_key) as server:
        yield server


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, identity: AwsIdentity) -> pytest.MonkeyPatch:
    """An environment without any credentials but those that a test points to."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", identity.url)
    # The process keeps one session, and that keeps the credentials it found.
    s3_client._shared_session.cache_clear()
    return monkeypatch


@pytest.fixture
def tap(s3_server: S3Server) -> Iterator[FaultProxy]:
    with FaultProxy(s3_server.endpoint) as proxy:
        yield proxy
    s3_client._shared_session.cache_clear()


def store(storage: Storage | WholeStorage, tap: FaultProxy) -> str:
    """Store an object; return the session token that the requests brought."""
    key = f"{secrets.token_hex(6)}.json"
    storage.put(key, b"{}", content_type="application/json")
    assert storage.read(key) == b"{}"
    (token,) = {seen.headers.get("x-amz-security-token", "") for seen in tap.seen}
    return token


def test_a_session_token_of_the_secret_goes_along(
    tmp_path: Path, s3_server: S3Server, tap: FaultProxy
) -> None:
    place = s3_place(tmp_path, s3_server).via(tap.url)
    place.write_secret("session_token", "the-session-token")
    assert store(place.open(), tap) == "the-session-token"


def test_irsa_is_found_by_the_default_chain(
    tmp_path: Path, s3_server: S3Server, tap: FaultProxy, identity: AwsIdentity, nowhere: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(identity.web_identity)
    nowhere.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/irsa")
    nowhere.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    place = s3_place(tmp_path, s3_server, credentials="").via(tap.url)
    assert store(place.open(), tap) == identity.session_token
    assert identity.asked == ["AssumeRoleWithWebIdentity arn:aws:iam::1:role/irsa"]


def test_eks_pod_identity_is_found_by_the_default_chain(
    tmp_path: Path, s3_server: S3Server, tap: FaultProxy, identity: AwsIdentity, nowhere: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(identity.agent_token)
    nowhere.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{identity.url}/agent")
    nowhere.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    place = s3_place(tmp_path, s3_server, credentials="").via(tap.url)
    assert store(place.open(), tap) == identity.session_token
    assert identity.asked == ["pod identity"]


def test_the_instances_role_is_found_by_the_default_chain(
    tmp_path: Path, s3_server: S3Server, tap: FaultProxy, identity: AwsIdentity, nowhere: pytest.MonkeyPatch
) -> None:
    nowhere.delenv("AWS_EC2_METADATA_DISABLED")
    nowhere.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", identity.url)
    place = s3_place(tmp_path, s3_server, credentials="").via(tap.url)
    assert store(place.open(), tap) == identity.session_token
    assert identity.asked == ["instance role"]


def test_without_any_credentials_the_sentence_names_both_ways(
    tmp_path: Path, s3_server: S3Server, nowhere: pytest.MonkeyPatch
) -> None:
    for changes in ({}, {"assume_role_arn": "arn:aws:iam::1:role/r"}):
        place = s3_place(tmp_path, s3_server, credentials="", **changes)
        with pytest.raises(
            AuthorizationError, match="credentialsSecretRef or give the pod's service account"
        ):
            place.open().put("a.json", b"{}", content_type="application/json")
    s3_client._shared_session.cache_clear()


def test_a_role_is_assumed_with_the_secrets_keys_and_the_external_id(
    tmp_path: Path, s3_server: S3Server, tap: FaultProxy, identity: AwsIdentity, nowhere: pytest.MonkeyPatch
) -> None:
    identity.source_key, identity.external_id = "AKIASOURCE", "company-7"
    role = {"assume_role_arn": "arn:aws:iam::1:role/writer", "assume_role_external_id": "company-7"}
    place = s3_place(tmp_path, s3_server, **role).via(tap.url)
    place.write_secret("access_key", "AKIASOURCE")
    place.write_secret("secret", "secret-of-the-source")
    storage = place.open()
    assert store(storage, tap) == identity.session_token
    assert store(storage, tap) == identity.session_token
    assert identity.asked == ["AssumeRole arn:aws:iam::1:role/writer"]


def test_a_role_is_assumed_with_the_pods_own_identity(
    tmp_path: Path, s3_server: S3Server, tap: FaultProxy, identity: AwsIdentity, nowhere: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(identity.web_identity)
    nowhere.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/irsa")
    nowhere.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    place = s3_place(tmp_path, s3_server, credentials="", assume_role_arn="arn:aws:iam::1:role/writer")
    assert store(place.via(tap.url).open(), tap) == identity.session_token
    assert identity.asked == [
        "AssumeRoleWithWebIdentity arn:aws:iam::1:role/irsa",
        "AssumeRole arn:aws:iam::1:role/writer",
    ]


def test_a_role_that_may_not_be_assumed_says_what_to_allow(
    tmp_path: Path, s3_server: S3Server, identity: AwsIdentity, nowhere: pytest.MonkeyPatch
) -> None:
    identity.external_id = "another"
    place = s3_place(tmp_path, s3_server, assume_role_arn="arn:aws:iam::1:role/writer")
    with pytest.raises(
        AuthorizationError, match=r"s3\.assumeRoleArn: the role cannot be assumed .* sts:AssumeRole"
    ):
        place.open().put("a.json", b"{}", content_type="application/json")


# ---- what objects carry, and the way to the server -----------------------------------------------------------


def test_metadata_tags_disposition_and_encryption_are_asked_for_with_each_object(
    tmp_path: Path, s3_server: S3Server, tap: FaultProxy
) -> None:
    wanted = {
        "metadata": {"team": "media"},
        "tagging": "env=prod&cost%20centre=7",
        "content_disposition": "attachment",
    }
    storage = s3_place(tmp_path, s3_server, **wanted).via(tap.url).open()
    assert isinstance(storage, Storage)
    put, sent = f"{secrets.token_hex(4)}.json", f"{secrets.token_hex(4)}.mp4"
    storage.put(put, b"{}", content_type="application/json")
    upload = storage.begin(sent, "video/mp4", part_size=PART)
    storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"x"))])
    client = s3_server.client()
    for key in (put, sent):
        head = client.head_object(Bucket=s3_server.bucket, Key=key)
        assert head["Metadata"]["team"] == "media"
        assert head["ContentDisposition"] == "attachment"
        tags = client.get_object_tagging(Bucket=s3_server.bucket, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"env": "prod", "cost centre": "7"}


def test_the_disposition_is_inline_as_livekits_when_none_is_asked_for(
    tmp_path: Path, s3_server: S3Server
) -> None:
    key = f"{secrets.token_hex(4)}.json"
    s3_place(tmp_path, s3_server).open().put(key, b"{}", content_type="application/json")
    head = s3_server.client().head_object(Bucket=s3_server.bucket, Key=key)
    assert head["ContentDisposition"] == "inline"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"server_side_encryption": "AES256"}, ("AES256", "")),
        (
            {"server_side_encryption": "aws:kms", "sse_kms_key_id": "alias/recordings"},
            ("aws:kms", "alias/recordings"),
        ),
        ({}, ("", "")),
    ],
)
def test_encryption_is_asked_for_where_an_object_begins(
    tmp_path: Path, s3_server: S3Server, tap: FaultProxy, wanted: dict[str, str], expected: tuple[str, str]
) -> None:
    """The requests only: the S3 server of the tests keeps nothing encrypted."""
    storage = s3_place(tmp_path, s3_server, **wanted).via(tap.url).open()
    assert isinstance(storage, Storage)
    tap.refusals = [503] * 20
    for attempt in (
        lambda: storage.put("a.json", b"{}", content_type="application/json", overwrite=True),
        lambda: storage.begin("a.mp4", "video/mp4", part_size=PART),
    ):
        tap.seen.clear()
        with suppress(UnreachableError):
            attempt()
        headers = tap.seen[0].headers
        prefix = "x-amz-server-side-encryption"
        assert (headers.get(prefix, ""), headers.get(f"{prefix}-aws-kms-key-id", "")) == expected


def test_requests_go_through_the_proxy_with_its_user_and_password(
    tmp_path: Path, s3_server: S3Server
) -> None:
    with FaultProxy(user="recorder", password="p@ss/word") as forward:
        proxy = Proxy(url=forward.url, username="recorder", credentials="keys", password_key="password")
        place = s3_place(tmp_path, s3_server, proxy=proxy)
        place.write_secret("password", "p@ss/word")
        key = f"{secrets.token_hex(4)}.json"
        place.open().put(key, b"{}", content_type="application/json")
        assert s3_server.read(key) == b"{}"
        assert {seen.path.partition("?")[0] for seen in forward.seen} == {
            f"{s3_server.endpoint}/recordings/{key}"
        }


def test_a_proxy_that_refuses_or_is_not_there_is_named(tmp_path: Path, s3_server: S3Server) -> None:
    with FaultProxy(user="recorder", password="right-password") as forward:
        proxy = Proxy(url=forward.url, username="recorder", credentials="keys")
        place = s3_place(tmp_path, s3_server, proxy=proxy)
        with pytest.raises(
            AuthorizationError, match=r"s3\.proxy: the Secret of passwordSecretRef has no key 'password'"
        ):
            place.open().put("a.json", b"{}", content_type="application/json")
        place.write_secret("password", "wrong-password")
        with pytest.raises(AuthorizationError, match=r"s3\.proxy") as caught:
            place.open().put("a.json", b"{}", content_type="application/json", overwrite=True)
        assert "wrong-password" not in str(caught.value)
    with pytest.raises(UnreachableError, match=r"s3\.proxy"):
        place.open().put("a.json", b"{}", content_type="application/json", overwrite=True)


_WAYS_TO_NAME_AUTHORITIES = ("SSL_CERT_FILE", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


@pytest.fixture
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no certificate authorities but those that a test names."""
    for name in _WAYS_TO_NAME_AUTHORITIES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def secure_endpoint(s3_server: S3Server, certificate: Certificate) -> Iterator[str]:
    """The S3 server behind a certificate of a private authority."""
    with TlsFront(certificate, urlsplit(s3_server.endpoint).port or 0) as front:
        yield f"https://127.0.0.1:{front.port}"


@pytest.mark.parametrize("variable", _WAYS_TO_NAME_AUTHORITIES)
def test_a_private_authority_is_trusted_where_the_environment_names_it(
    tmp_path: Path,
    s3_server: S3Server,
    secure_endpoint: str,
    certificate: Certificate,
    no_authorities: pytest.MonkeyPatch,
    key: str,
    variable: str,
) -> None:
    place = s3_place(tmp_path, s3_server).via(secure_endpoint)
    for attempt in _attempts(place.open()):
        with pytest.raises(
            ConfigurationError,
            match=rf"fileOutputs\[0\]\.s3: {secure_endpoint} has a certificate .* let SSL_CERT_FILE name",
        ):
            attempt()
    no_authorities.setenv(variable, str(certificate.certificate))
    storage = place.open()
    assert isinstance(storage, Storage)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"media"))])
    assert storage.read(key) == b"media"


def test_botocores_own_variable_goes_before_the_one_of_all_clients(
    tmp_path: Path,
    s3_server: S3Server,
    secure_endpoint: str,
    certificate: Certificate,
    no_authorities: pytest.MonkeyPatch,
) -> None:
    another = Certificate(tmp_path / "another").certificate
    place = s3_place(tmp_path, s3_server).via(secure_endpoint)
    no_authorities.setenv("SSL_CERT_FILE", str(another))
    with pytest.raises(ConfigurationError, match="not trusted"):
        place.open().exists("a")
    no_authorities.setenv("AWS_CA_BUNDLE", str(certificate.certificate))
    assert not place.open().exists("a")


def test_a_role_is_assumed_of_an_sts_behind_a_private_authority(
    tmp_path: Path,
    s3_server: S3Server,
    secure_endpoint: str,
    certificate: Certificate,
    identity: AwsIdentity,
    nowhere: pytest.MonkeyPatch,
    no_authorities: pytest.MonkeyPatch,
) -> None:
    """Both requests to STS: that of the default chain for the web identity, and ours for the role."""
    (tmp_path / "token").write_text(identity.web_identity)
    nowhere.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/irsa")
    nowhere.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    no_authorities.setenv("SSL_CERT_FILE", str(certificate.certificate))
    place = s3_place(tmp_path, s3_server, credentials="", assume_role_arn="arn:aws:iam::1:role/writer")
    with TlsFront(certificate, identity.port) as sts:
        nowhere.setenv("AWS_ENDPOINT_URL_STS", f"https://127.0.0.1:{sts.port}")
        place.via(secure_endpoint).open().put(
            "a.json", b"{}", content_type="application/json", overwrite=True
        )
    s3_client._shared_session.cache_clear()
    assert identity.asked == [
        "AssumeRoleWithWebIdentity arn:aws:iam::1:role/irsa",
        "AssumeRole arn:aws:iam::1:role/writer",
    ]


def test_a_presigned_url_reads_the_object_until_it_expires(tmp_path: Path, s3_server: S3Server) -> None:
    storage = s3_place(tmp_path, s3_server).open()
    assert isinstance(storage, PresigningStorage)
    key = f"{secrets.token_hex(6)}/with space/ä.mp4"
    storage.put(key, b"media", content_type="video/mp4")

    url = storage.presigned(key, 1)

    assert urllib3.request("GET", url).data == b"media"
    assert urllib3.request("GET", url.partition("?")[0]).status in {400, 403}
    assert s3_server.secret_key not in url
    time.sleep(2.1)
    assert urllib3.request("GET", url).status == 403
