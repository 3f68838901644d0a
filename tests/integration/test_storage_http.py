"""What is HTTP PUT's own: URL and headers, redirects, certificates, servers that know less than the standard."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.certificates import Certificate
from devstack.faultproxy import FaultProxy
from devstack.putserver import PutServer
from egress_recorder.contract import Proxy
from egress_recorder.errors import AuthorizationError, ConfigurationError, UnreachableError
from egress_recorder.redact import redact
from egress_recorder.storage import ObjectExistsError, WholeStorage
from support.storage_places import Place, http_place

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[PutServer]:
    with PutServer() as made:
        yield made


def opened(place: Place) -> WholeStorage:
    storage = place.open()
    assert isinstance(storage, WholeStorage)
    return storage


def put(storage: WholeStorage, key: str, data: bytes = b"media") -> None:
    storage.put_whole(key, io.BytesIO(data), content_type="video/mp4")


def test_the_name_goes_where_the_url_says_and_the_query_is_kept_and_never_shown(
    tmp_path: Path, server: PutServer
) -> None:
    signed = "sig=very-secret-signature"
    plain = opened(http_place(tmp_path, server, url=f"{server.url}/in/base?{signed}"))
    template = opened(http_place(tmp_path, server, url=f"{server.url}/in/{{filepath}}/data?{signed}"))
    put(plain, "a b/c.mp4")
    put(template, "a b/c.mp4")
    assert set(server.objects) == {"/in/base/a b/c.mp4", "/in/a b/c.mp4/data"}
    assert all(path.endswith(f"?{signed}") for method, path, _ in server.seen)
    assert plain.location("a b/c.mp4") == f"{server.url}/in/base/a%20b/c.mp4"
    assert template.location("x.mp4") == f"{server.url}/in/x.mp4/data"
    assert redact(f"failed: {signed}") == "failed: ***"


def test_headers_of_the_spec_and_of_the_secret_go_along(tmp_path: Path, server: PutServer) -> None:
    place = http_place(tmp_path, server, headers={"X-Team": "media"})
    place.write_secret("X-Second", "second")
    put(opened(place), "a.mp4")
    method, _, headers = server.seen[-1]
    assert (method, headers["x-team"], headers["x-second"]) == ("PUT", "media", "second")
    assert headers["content-type"] == server.types["/in/a.mp4"] == "video/mp4"
    assert headers["content-length"] == "5"


def test_a_server_without_conditions_is_asked_before(tmp_path: Path, server: PutServer) -> None:
    server.conditional = False
    server.objects["/in/a.mp4"] = b"precious"
    with pytest.raises(ObjectExistsError):
        put(opened(http_place(tmp_path, server)), "a.mp4")
    assert server.objects["/in/a.mp4"] == b"precious"


def test_a_server_that_only_takes_put_decides_by_the_condition(tmp_path: Path, server: PutServer) -> None:
    server.only_put = True
    storage = opened(http_place(tmp_path, server))
    assert not storage.exists("a.mp4")
    assert storage.read("a.mp4") is None
    put(storage, "a.mp4")
    with pytest.raises(ObjectExistsError):
        put(opened(http_place(tmp_path, server)), "a.mp4")


@pytest.mark.parametrize("conditional", [True, False])
def test_a_lost_answer_is_no_second_object_and_no_error(
    tmp_path: Path, server: PutServer, conditional: bool
) -> None:
    server.conditional, server.lost_answers = conditional, 1
    put(opened(http_place(tmp_path, server)), "a.mp4")
    assert server.objects == {"/in/a.mp4": b"media"}


# ---- redirects -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_that_keeps_the_method_is_followed_with_the_whole_body(
    tmp_path: Path, server: PutServer, status: int
) -> None:
    server.redirect = (status, f"{server.url}/in")
    put(opened(http_place(tmp_path, server, url=f"{server.url}/old")), "a.mp4", b"x" * 300_000)
    assert server.objects["/in/a.mp4"] == b"x" * 300_000


def test_another_server_does_not_get_the_headers_of_the_secret(tmp_path: Path, server: PutServer) -> None:
    with PutServer() as other:
        server.redirect = (307, f"{other.url}/in")
        place = http_place(tmp_path, server, url=f"{server.url}/old", headers={"X-Team": "media"})
        with pytest.raises(AuthorizationError):
            opened(place).put("a.json", b"{}", content_type="application/json", overwrite=True)
        _, _, headers = other.seen[-1]
        assert headers["x-team"] == "media"
        assert "authorization" not in headers


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_makes_a_get_of_it_says_what_to_write(
    tmp_path: Path, server: PutServer, status: int
) -> None:
    server.redirect = (status, f"{server.url}/in")
    storage = opened(http_place(tmp_path, server, url=f"{server.url}/old"))
    with pytest.raises(
        ConfigurationError, match=rf"redirect \({status}\) to {server.url}/in/a.json.*write that"
    ):
        storage.put("a.json", b"{}", content_type="application/json", overwrite=True)


def test_a_circle_of_redirects_ends(tmp_path: Path, server: PutServer) -> None:
    server.redirect = (308, f"{server.url}/old")
    storage = opened(http_place(tmp_path, server, url=f"{server.url}/old"))
    with pytest.raises(ConfigurationError, match=r"http\.url: .* redirects in a circle"):
        storage.put("a.json", b"{}", content_type="application/json", overwrite=True)


def test_a_redirect_from_https_to_http_is_not_followed(
    tmp_path: Path, server: PutServer, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    with PutServer(certificate.server_context()) as secure:
        secure.redirect = (307, f"{server.url}/in")
        storage = opened(http_place(tmp_path, secure, url=f"{secure.url}/old"))
        with pytest.raises(ConfigurationError, match="redirects from https"):
            storage.put("a.json", b"{}", content_type="application/json", overwrite=True)
    assert not server.seen


# ---- what is wrong -------------------------------------------------------------------------------------------


def test_a_certificate_that_is_not_trusted_is_refused(tmp_path: Path, certificate: Certificate) -> None:
    with PutServer(certificate.server_context()) as secure:
        with pytest.raises(
            ConfigurationError, match=r"http: https://127\.0\.0\.1:\d+ has a certificate that is not"
        ):
            put(opened(http_place(tmp_path, secure)), "a.mp4")
        assert not secure.seen


def test_statuses_become_sentences_that_name_the_field(tmp_path: Path, server: PutServer) -> None:
    storage = opened(http_place(tmp_path, server, url=f"{server.url}/elsewhere"))
    with pytest.raises(
        ConfigurationError, match=r"fileOutputs\[0\]\.http\.url: the server takes no PUT there \(404\)"
    ):
        storage.put("a.json", b"{}", content_type="application/json", overwrite=True)
    with FaultProxy(server.url) as proxy:
        through = opened(http_place(tmp_path, server).via(proxy.url))
        for status, kind, words in (
            (413, ConfigurationError, "larger than the server takes"),
            (400, ConfigurationError, "the server refuses PUT \\(400\\)"),
            (403, AuthorizationError, "credentialsSecretRef"),
            (507, UnreachableError, "cannot serve the request now"),
        ):
            proxy.refusals = [status] * 3
            with pytest.raises(kind, match=words):
                put(through, f"{secrets.token_hex(4)}.mp4")


def test_a_url_that_is_none_is_refused_at_once(tmp_path: Path, server: PutServer) -> None:
    for url in (
        "ftp://x/",
        "http://user:password@x/",
        "http://x:port/",
        "http://x/#f",
        "http://x/?n={filepath}",
    ):
        with pytest.raises(ConfigurationError, match=r"fileOutputs\[0\]\.http\.url") as caught:
            http_place(tmp_path, server, url=url).open()
        assert "password" not in str(caught.value)


def test_requests_go_through_the_proxy_with_its_user_and_password(tmp_path: Path, server: PutServer) -> None:
    with FaultProxy(user="recorder", password="p@ss/word") as forward:
        place = http_place(tmp_path, server)
        place = http_place(
            tmp_path, server, proxy=Proxy(url=forward.url, username="recorder", credentials="proxy")
        )
        directory = tmp_path / "credentials" / "proxy"
        directory.mkdir()
        (directory / "password").write_text("p@ss/word")
        put(opened(place), "a.mp4")
        assert server.objects["/in/a.mp4"] == b"media"
        assert {seen.path for seen in forward.seen} == {f"{server.url}/in/a.mp4"}
        (directory / "password").write_text("wrong-password")
        with pytest.raises(
            AuthorizationError, match=r"http\.proxy: the proxy refuses user and password"
        ) as caught:
            put(opened(place), "b.mp4")
        assert "wrong-password" not in str(caught.value)
    with pytest.raises(UnreachableError, match=r"http\.proxy"):
        put(opened(place), "c.mp4")
