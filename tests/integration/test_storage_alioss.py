"""What is OSS' own: signature, forbidden overwriting, region and address; against the gateway of the devstack."""

from __future__ import annotations

import io
import secrets
from pathlib import Path

import pytest

from devstack.faultproxy import FaultProxy
from devstack.xmlgateway import OssGateway
from egress_recorder.errors import AuthorizationError, ConfigurationError
from egress_recorder.storage import Storage
from support.storage_places import PART, Place, oss_place

pytestmark = pytest.mark.integration


@pytest.fixture
def key() -> str:
    return f"{secrets.token_hex(6)}/with space+plus/äöü*~.mp4"


def opened(place: Place) -> Storage:
    storage = place.open()
    assert isinstance(storage, Storage)
    return storage


def test_a_session_token_goes_along_and_is_signed(tmp_path: Path, oss_server: OssGateway, key: str) -> None:
    with FaultProxy(oss_server.url) as tap:
        place = oss_place(tmp_path, oss_server).via(tap.url)
        place.write_secret("session_token", "the-session-token")
        storage = opened(place)
        upload = storage.begin(key, "video/mp4", part_size=PART)
        storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"media"))])
        assert storage.read(key) == b"media"
        assert {seen.headers["x-oss-security-token"] for seen in tap.seen} == {"the-session-token"}


def test_put_and_completion_forbid_overwriting(tmp_path: Path, oss_server: OssGateway, key: str) -> None:
    with FaultProxy(oss_server.url) as tap:
        storage = opened(oss_place(tmp_path, oss_server).via(tap.url))
        storage.put(f"{key}.json", b"{}", content_type="application/json")
        upload = storage.begin(key, "video/mp4", part_size=PART)
        storage.complete(upload, [storage.put_part(upload, 1, io.BytesIO(b"x"))])
        forbidding = [
            seen.method for seen in tap.seen if seen.headers.get("x-oss-forbid-overwrite") == "true"
        ]
    assert forbidding == ["PUT", "POST"]


def test_the_vendors_names_of_credentials_are_understood(
    tmp_path: Path, oss_server: OssGateway, key: str
) -> None:
    place = oss_place(tmp_path, oss_server)
    directory = tmp_path / "credentials" / "keys"
    (directory / "access_key").rename(directory / "OSS_ACCESS_KEY_ID")
    (directory / "secret").rename(directory / "OSS_ACCESS_KEY_SECRET")
    opened(place).put(key, b"{}", content_type="application/json")


def test_an_unknown_access_key_is_named(tmp_path: Path, oss_server: OssGateway, key: str) -> None:
    place = oss_place(tmp_path, oss_server)
    place.write_secret("access_key", "LTAInobody")
    with pytest.raises(
        AuthorizationError, match=r"aliOSS: the access key is not known: check the key 'access_key'"
    ):
        opened(place).put(key, b"{}", content_type="application/json", overwrite=True)


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        (
            {"endpoint": "", "region": "cn-hangzhou"},
            "https://recordings.oss-cn-hangzhou.aliyuncs.com/a%20b.mp4",
        ),
        (
            {"endpoint": "", "region": "oss-cn-hangzhou"},
            "https://recordings.oss-cn-hangzhou.aliyuncs.com/a%20b.mp4",
        ),
        (
            {"endpoint": "https://oss-ap-southeast-1-internal.aliyuncs.com", "region": ""},
            "https://recordings.oss-ap-southeast-1-internal.aliyuncs.com/a%20b.mp4",
        ),
    ],
)
def test_region_and_endpoint_complete_each_other(
    tmp_path: Path, oss_server: OssGateway, changes: dict[str, str], location: str
) -> None:
    assert oss_place(tmp_path, oss_server, **changes).open().location("a b.mp4") == location


def test_an_endpoint_of_ones_own_needs_a_region(tmp_path: Path, oss_server: OssGateway) -> None:
    with pytest.raises(ConfigurationError, match=r"fileOutputs\[0\]\.aliOSS\.region is missing"):
        oss_place(tmp_path, oss_server, region="", endpoint="https://media.example.com").open()
