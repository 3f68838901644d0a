"""Owns the real places that storages are tested against: one maker per registered kind, each with its Secret on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devstack.azure import AzureServer
from devstack.putserver import PutServer
from devstack.s3 import S3Server
from devstack.xmlgateway import GcsGateway, OssGateway
from egress_recorder.contract import (
    AliOssDestination,
    AzureDestination,
    Destination,
    GcpDestination,
    HttpDestination,
    S3Destination,
    VolumeDestination,
)
from egress_recorder.storage import Storage, StorageContext, WholeStorage, open_storage

PART = 5 * 1024 * 1024
WHERE = "fileOutputs[0]"
WRONG = "d3Jvbmctc2VjcmV0LXRoYXQtbXVzdC1ub3QtYXBwZWFyLWFueXdoZXJlLWluLXRleHQ="
"""A wrong secret; base64, as an Azure key must be."""


@dataclass(frozen=True)
class Place:
    """One real place; `open` gives a fresh instance each time, as another process would have."""

    destination: Destination
    context: StorageContext
    upstream: str = ""
    """`scheme://host:port` of its server, as it stands in the destination; empty: there is no network in between."""
    address_field: str = "endpoint"
    secret_file: str = ""
    """Name of the file in the Secret that proves who we are."""
    secrets: Mapping[str, str] = field(default_factory=dict)

    def open(self) -> Storage | WholeStorage:
        """Open it as the recorder does."""
        return open_storage(self.destination, self.context)

    def via(self, url: str) -> Place:
        """Return the same place behind another server."""
        address = getattr(self.destination, self.address_field).replace(self.upstream, url)
        return dataclasses.replace(
            self, destination=self.destination.model_copy(update={self.address_field: address})
        )

    def write_secret(self, name: str, text: str) -> None:
        """Change one key of the Secret."""
        assert self.context.credentials_root
        (self.context.credentials_root / "keys" / name).write_text(text)

    def spoil_secret(self) -> None:
        """Replace what proves who we are by something wrong."""
        self.write_secret(self.secret_file, WRONG)


def secret_place(tmp_path: Path, destination: Destination, values: Mapping[str, str], **about: Any) -> Place:
    """Return a place whose Secret `keys` has these values."""
    directory = tmp_path / "credentials" / "keys"
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in values.items():
        (directory / name).write_text(text + "\n")
    context = StorageContext(where=WHERE, credentials_root=tmp_path / "credentials")
    return Place(destination, context, secrets=values, **about)


def volume_place(tmp_path: Path) -> Place:
    """A directory that stands for a mounted claim."""
    (tmp_path / "volumes" / "claim").mkdir(parents=True, exist_ok=True)
    context = StorageContext(where=WHERE, volumes_root=tmp_path / "volumes")
    return Place(VolumeDestination(volume="claim", claim_name="recordings"), context)


def s3_place(tmp_path: Path, server: S3Server, **changes: Any) -> Place:
    """A bucket of a real S3 server."""
    values = {
        "bucket": server.bucket,
        "region": server.region,
        "endpoint": server.endpoint,
        "force_path_style": True,
        "credentials": "keys",
    }
    return secret_place(
        tmp_path,
        S3Destination(**{**values, **changes}),
        {"access_key": server.access_key, "secret": server.secret_key},
        upstream=server.endpoint,
        secret_file="secret",
    )


def http_place(tmp_path: Path, server: PutServer, **changes: Any) -> Place:
    """A server that takes PUT below /in."""
    values = {"url": f"{server.url}/in", "credentials": "keys", **changes}
    return secret_place(
        tmp_path,
        HttpDestination(**values),
        {"Authorization": server.authorization},
        upstream=server.url,
        address_field="url",
        secret_file="Authorization",
    )


def azure_place(tmp_path: Path, server: AzureServer, **changes: Any) -> Place:
    """A container of Azurite."""
    values = {
        "container_name": server.container,
        "account_name": server.account,
        "endpoint": server.endpoint,
        "credentials": "keys",
    }
    return secret_place(
        tmp_path,
        AzureDestination(**{**values, **changes}),
        {"account_key": server.key},
        upstream=server.origin,
        secret_file="account_key",
    )


def gcs_place(tmp_path: Path, server: GcsGateway, **changes: Any) -> Place:
    """A bucket behind GCS' XML API."""
    values = {"bucket": server.s3.bucket, "endpoint": server.url, "credentials": "keys", **changes}
    return secret_place(
        tmp_path,
        GcpDestination(**values),
        {"credentials": server.key_file()},
        upstream=server.url,
        secret_file="credentials",
    )


def oss_place(tmp_path: Path, server: OssGateway, **changes: Any) -> Place:
    """A bucket behind OSS' API."""
    values = {
        "bucket": server.s3.bucket,
        "endpoint": server.url,
        "region": server.REGION,
        "credentials": "keys",
        **changes,
    }
    return secret_place(
        tmp_path,
        AliOssDestination(**values),
        {"access_key": server.access_key, "secret": server.secret},
        upstream=server.url,
        secret_file="secret",
    )


def trusting(request: pytest.FixtureRequest) -> None:
    """Let this process trust the certificate of the tests' servers."""
    certificate = request.getfixturevalue("certificate").certificate
    request.getfixturevalue("monkeypatch").setenv("SSL_CERT_FILE", str(certificate))


def _http(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    trusting(request)
    return http_place(tmp_path, request.getfixturevalue("put_server"))


PLACES: dict[str, Callable[[Path, pytest.FixtureRequest], Place]] = {
    "gcp": lambda path, request: gcs_place(path, request.getfixturevalue("gcs_server")),
    "aliOSS": lambda path, request: oss_place(path, request.getfixturevalue("oss_server")),
    "azure": lambda path, request: azure_place(path, request.getfixturevalue("azure_server")),
    "http": _http,
    "pvc": lambda path, _: volume_place(path),
    "s3": lambda path, request: s3_place(path, request.getfixturevalue("s3_server")),
}
"""Kind → maker; a storage that is registered without a place here fails the suite."""
WHOLE: frozenset[str] = frozenset({"http"})
"""Kinds whose objects are sent whole."""
LOCAL = frozenset({"pvc"})
"""Kinds without a network in between."""


def configured(place: Place, root: Path) -> dict[str, Any]:
    """Return the destination as a recorder's configuration has it, with its Secret below `root`."""
    (root / "keys").mkdir(parents=True, exist_ok=True)
    for name, text in place.secrets.items():
        (root / "keys" / name).write_text(text)
    return place.destination.to_dict()
