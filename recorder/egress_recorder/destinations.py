"""Owns the destinations of the contract: where a recorder puts objects, without any secret.

Secrets are files: a destination only names a directory below the recorder's credentials root. Field names are those
of LiveKit's upload messages (livekit_egress.proto) where LiveKit has them. `contract.py` gives these names to both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from egress_recorder.wire import WireModel

_SECOND: dict[str, Any] = {"since": 2}
"""New in contract version 2 (`versions.py`): an older recorder would ignore the field and must refuse instead."""

_CREDENTIALS = "name of a directory below the credentials root"


class Proxy(WireModel):
    """LiveKit's ProxyConfig; the password is the file `password_key` of the directory `credentials`."""

    url: str
    username: str = ""
    credentials: str = Field(default="", description=_CREDENTIALS)
    password_key: str = "password"  # noqa: S105 - a file name


class S3Destination(WireModel):
    """LiveKit's S3Upload without its secret fields: these are files in `credentials`."""

    kind: Literal["s3"] = "s3"
    bucket: str
    region: str = ""
    endpoint: str = ""
    force_path_style: bool = False
    credentials: str = Field(
        default="",
        description=_CREDENTIALS + " whose files are LiveKit's field names "
        "(access_key, secret, session_token) or AWS_*; empty: the SDK's default chain (workload identity)",
    )
    assume_role_arn: str = Field(default="", json_schema_extra=_SECOND)
    assume_role_external_id: str = Field(default="", json_schema_extra=_SECOND)
    metadata: Mapping[str, str] = Field(default={}, json_schema_extra=_SECOND)
    tagging: str = Field(default="", description="key=value&…, URL-encoded", json_schema_extra=_SECOND)
    content_disposition: str = Field(
        default="", description="empty: inline, as LiveKit's", json_schema_extra=_SECOND
    )
    server_side_encryption: str = Field(
        default="", description="AES256, aws:kms or aws:kms:dsse", json_schema_extra=_SECOND
    )
    sse_kms_key_id: str = Field(default="", json_schema_extra=_SECOND)
    proxy: Proxy | None = Field(default=None, json_schema_extra=_SECOND)


class AzureDestination(WireModel):
    """LiveKit's AzureBlobUpload without its key."""

    SINCE: ClassVar[int] = 2

    kind: Literal["azure"] = "azure"
    container_name: str
    account_name: str = ""
    endpoint: str = Field(default="", description="empty: https://{account_name}.blob.core.windows.net")
    credentials: str = Field(
        default="",
        description=_CREDENTIALS + " with the files account_key or sas_token; empty: workload identity",
    )
    proxy: Proxy | None = None


class GcpDestination(WireModel):
    """LiveKit's GCPUpload without its credentials."""

    SINCE: ClassVar[int] = 2

    kind: Literal["gcp"] = "gcp"
    bucket: str
    endpoint: str = Field(default="", description="empty: https://storage.googleapis.com")
    credentials: str = Field(
        default="", description=_CREDENTIALS + " with the file credentials; empty: workload identity"
    )
    proxy: Proxy | None = None


class AliOssDestination(WireModel):
    """LiveKit's AliOSSUpload without its keys."""

    SINCE: ClassVar[int] = 2

    kind: Literal["aliOSS"] = "aliOSS"
    bucket: str
    region: str = Field(default="", description="cn-hangzhou; empty: the endpoint's")
    endpoint: str = ""
    credentials: str = Field(
        description=_CREDENTIALS + " with the files access_key, secret and session_token"
    )
    proxy: Proxy | None = None


class HttpDestination(WireModel):
    """A server that takes PUT; each file of the directory `credentials` is a header."""

    SINCE: ClassVar[int] = 2

    kind: Literal["http"] = "http"
    url: str = Field(description="base URL, or one with {filepath} in its path")
    headers: Mapping[str, str] = {}
    credentials: str = Field(default="", description=_CREDENTIALS + " with one file per header")
    proxy: Proxy | None = None


class VolumeDestination(WireModel):
    """A mounted volume (PersistentVolumeClaim)."""

    kind: Literal["pvc"] = "pvc"
    volume: str = Field(description="name of a directory below the volumes root where the claim is mounted")
    claim_name: str = Field(default="", description="only for messages and locations")


AFTER_THE_END = frozenset({"http", "pvc"})
"""Kinds that get a file only when it is closed: HTTP has no parts that could be replaced, and a volume's file would have
to be written twice as well. All others take it while it grows."""

Destination = Annotated[
    S3Destination
    | GcpDestination
    | AzureDestination
    | AliOssDestination
    | HttpDestination
    | VolumeDestination,
    Field(discriminator="kind"),
]
