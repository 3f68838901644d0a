"""Owns objects in Alibaba Cloud OSS: multipart uploads, never overwriting, with OSS' own signature.

`x-oss-forbid-overwrite: true` makes a PUT or a completion fail when the object exists (FileAlreadyExists). Signature
version 4 ("Include a V4 signature in the Authorization header", OSS developer reference), payload unsigned: TLS keeps it.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import quote, urlsplit

from egress_recorder.contract import AliOssDestination, Destination
from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError
from egress_recorder.storage.base import StorageContext
from egress_recorder.storage.rest import HttpClient, checked_url
from egress_recorder.storage.secretfiles import SecretFiles
from egress_recorder.storage.xml_multipart import XmlMultipartStorage, path_of, query_of

_FILES = {
    "access_key": ("access_key", "OSS_ACCESS_KEY_ID"),
    "secret": ("secret", "OSS_ACCESS_KEY_SECRET"),
    "session_token": ("session_token", "OSS_SESSION_TOKEN"),
}
_REGION = re.compile(r"^(?:oss-)?([a-z]{2,}-[a-z0-9-]+?)(?:-internal)?$")
_REFUSED = {
    "InvalidAccessKeyId": "the access key is not known: check the key 'access_key' of the credentials Secret",
    "SignatureDoesNotMatch": "the secret does not belong to the access key: check the key 'secret' of the credentials Secret",
    "SecurityTokenExpired": "the session token has expired: renew the credentials Secret",
    "InvalidSecurityToken": "the session token is not valid: check the key 'session_token' of the credentials Secret",
    "RequestTimeTooSkewed": "the clocks of recorder and server differ too much: correct the node's clock",
    "UserDisable": "the account is disabled",
}


class AliOssStorage(XmlMultipartStorage):
    """A bucket and what is in it."""

    META = "x-oss-meta-"
    NOT_OVER_PUT: ClassVar[Mapping[str, str]] = {"x-oss-forbid-overwrite": "true"}
    NOT_OVER_COMPLETE: ClassVar[Mapping[str, str]] = {"x-oss-forbid-overwrite": "true"}

    def __init__(self, destination: Destination, context: StorageContext) -> None:
        assert isinstance(destination, AliOssDestination)
        where = f"{context.where}.aliOSS"
        root = context.credentials_root
        client = HttpClient(where=where, proxy=destination.proxy, credentials_root=root)
        super().__init__(context, client, where=where, bucket=destination.bucket)
        self._region = _region(destination, where)
        endpoint = destination.endpoint or f"https://oss-{self._region}.aliyuncs.com"
        self._base = _base(checked_url(endpoint, f"{where}.endpoint"), destination.bucket)
        self._files = SecretFiles(root, destination.credentials, where=where)

    def location(self, key: str) -> str:
        """Return the object's URL, without a signature."""
        return f"{self._base}/{path_of(key)}"

    def _signed(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        values = self._files.values(_FILES)
        for field in ("access_key", "secret"):
            if not values.get(field):
                first, second = _FILES[field][:2]
                raise AuthorizationError(
                    f"{self._where}: the credentials Secret has no key {first!r} (or {second!r}): add it"
                )
        now = datetime.now(UTC)
        sent = {
            **headers,
            "x-oss-date": now.strftime("%Y%m%dT%H%M%SZ"),
            "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
        }
        if values.get("session_token"):
            sent["x-oss-security-token"] = values["session_token"]
        sent["Authorization"] = authorization(
            method, f"/{self._bucket}/{key}", query, sent,
            region=self._region, access_key=values["access_key"], secret=values["secret"],
        )  # fmt: skip
        return f"{self._base}/{path_of(key)}{query_of(query)}", sent

    def _refusal(self, code: str) -> RecorderError | None:
        if code in _REFUSED:
            return AuthorizationError(f"{self._where}: {_REFUSED[code]} ({code})")
        if code == "InvalidBucketName":
            return ConfigurationError(
                f"{self._where}.bucket {self._bucket!r} is not a valid name of a bucket"
            )
        if code == "AccessDenied":
            return AuthorizationError(
                f"{self._where}: the credentials may not write to the bucket {self._bucket!r}, or the endpoint is not that "
                f"of its region ({code}): allow oss:PutObject and oss:AbortMultipartUpload, check aliOSS.endpoint"
            )
        return None


def authorization(
    method: str,
    resource: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    *,
    region: str,
    access_key: str,
    secret: str,
) -> str:
    """Return the Authorization header; `resource` is `/bucket/key`, `headers` hold x-oss-date and the payload's hash."""
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    date = lower["x-oss-date"]
    scope = f"{date[:8]}/{region}/oss/aliyun_v4_request"
    pairs = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    signed = sorted(
        name for name in lower if name.startswith("x-oss-") or name in {"content-type", "content-md5"}
    )
    request = "\n".join(
        [
            method,
            quote(resource, safe="/-_.~"),
            "&".join(f"{name}={value}" if value else name for name, value in pairs),
            "".join(f"{name}:{lower[name]}\n" for name in signed),
            "",
            lower["x-oss-content-sha256"],
        ]
    )
    text = "\n".join(["OSS4-HMAC-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"aliyun_v4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return f"OSS4-HMAC-SHA256 Credential={access_key}/{scope},Signature={signature}"


def _region(destination: AliOssDestination, where: str) -> str:
    """Return the region, `cn-hangzhou`: given (LiveKit ignores it), or the endpoint's."""
    host = urlsplit(destination.endpoint).hostname or ""
    match = _REGION.match(destination.region or host.partition(".")[0])
    if match is None or (not destination.region and not host.endswith(".aliyuncs.com")):
        raise ConfigurationError(
            f"{where}.region is missing and the endpoint does not say it: write for example cn-hangzhou"
        )
    return match.group(1)


def _base(endpoint: str, bucket: str) -> str:
    """Return the address of the bucket: a host of its own; a path only where the endpoint is no name (tests)."""
    scheme, _, server = endpoint.partition("://")
    try:
        ipaddress.ip_address(urlsplit(endpoint).hostname or "")
    except ValueError:
        return f"{scheme}://{bucket}.{server}"
    return f"{endpoint}/{bucket}"
