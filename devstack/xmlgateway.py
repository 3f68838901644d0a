"""Owns what stands for GCS' and OSS' XML API: a gateway that checks their authorisation and lets a real S3 server do the rest.

No server of either vendor exists to run here (fake-gcs-server knows no XML multipart uploads). The multipart protocol is the
one they share with S3, so requests, XML and errors meet a server that is not ours; what is translated is the names of
headers and codes, and what the vendors refuse is refused here as their documents say.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import alibabacloud_oss_v2 as oss
import jwt
from alibabacloud_oss_v2.signer.v4 import SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from devstack.httpserver import LoopbackServer, SilentHandler, read_body, reply
from devstack.s3 import S3Server

_CODES = {412: "PreconditionFailed"}


class Gateway(LoopbackServer):
    """A bucket of an S3 server behind another vendor's face."""

    META: ClassVar[str]
    CONDITION: ClassVar[tuple[str, str]]

    def __init__(self, s3: S3Server) -> None:
        super().__init__(_Handler)
        self.s3 = s3

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Return status and code for a request that is not authorised or not understood."""
        raise NotImplementedError

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes] | None:
        """Return the answer to a request that is none of the storage (tokens), None for the others."""
        del method, path, headers, body
        return None

    def code(self, status: int, body: bytes) -> tuple[int, bytes]:
        """Return the vendor's form of an error."""
        return status, body


class GcsGateway(Gateway):
    """GCS' XML API with OAuth: Google's token endpoint and the metadata server as well."""

    META = "x-goog-meta-"
    CONDITION = ("x-goog-if-generation-match", "0")

    def __init__(self, s3: S3Server) -> None:
        super().__init__(s3)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.email = "recorder@project.iam.gserviceaccount.com"
        self.tokens: dict[str, float] = {}
        self.asked: list[str] = []

    def key_file(self) -> str:
        """Return the JSON key file of the service account."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps(
            {
                "type": "service_account",
                "client_email": self.email,
                "private_key_id": "k1",
                "private_key": pem.decode(),
                "token_uri": f"{self.url}/token",
            }
        )

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes] | None:
        """Give tokens for a rightly signed assertion, and to whoever asks the metadata server as Google wants it."""
        if method == "POST" and path == "/token":
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            try:
                claims = jwt.decode(
                    form["assertion"],
                    self._key.public_key(),
                    algorithms=["RS256"],
                    audience=f"{self.url}/token",
                )
            except (jwt.InvalidTokenError, KeyError):
                return 401, b'{"error": "invalid_grant"}'
            scope = "https://www.googleapis.com/auth/devstorage.read_write"
            right = form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
            if (
                not right
                or claims["iss"] != self.email
                or claims["scope"] != scope
                or claims["exp"] - claims["iat"] > 3600
            ):
                return 400, b'{"error": "invalid_request"}'
            return self._token("key file")
        if path == "/computeMetadata/v1/instance/service-accounts/default/token":
            return (
                self._token("workload identity") if headers.get("metadata-flavor") == "Google" else (403, b"")
            )
        return None

    def _token(self, way: str) -> tuple[int, bytes]:
        self.asked.append(way)
        token = f"ya29.token-{len(self.asked)}-for-{way.replace(' ', '-')}"
        self.tokens[token] = time.time() + 3600
        return 200, json.dumps({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}).encode()

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Refuse unknown tokens; and preconditions of multipart uploads, which GCS does not support."""
        del method
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if self.tokens.get(token, 0) < time.time():
            return 401, "AuthenticationRequired"
        if "uploadId" in path and self.CONDITION[0] in headers:
            return 400, "InvalidArgument"
        return None


class OssGateway(Gateway):
    """OSS with signature version 4, checked by the vendor's own signer."""

    META = "x-oss-meta-"
    CONDITION = ("x-oss-forbid-overwrite", "true")
    REGION: ClassVar[str] = "cn-hangzhou"

    def __init__(self, s3: S3Server) -> None:
        super().__init__(s3)
        self.access_key = "LTAI5tTestAccessKeyId"
        self.secret = "secret-of-the-oss-account"

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Sign the request again as the vendor's SDK does and compare."""
        given = headers.get("authorization", "")
        if f"Credential={self.access_key}/" not in given:
            return 403, "InvalidAccessKeyId"
        split = urlsplit(path)
        bucket, _, key = split.path.lstrip("/").partition("/")
        signed = {
            name: value
            for name, value in headers.items()
            if (name.startswith("x-oss-") and name != "x-oss-security-token")
            or name in {"content-type", "content-md5"}
        }
        context = SigningContext(
            product="oss",
            region=self.REGION,
            bucket=bucket,
            key=unquote(key),
            request=HttpRequest(method, self.url + path, headers=dict(signed)),
            credentials=oss.credentials.Credentials(
                self.access_key, self.secret, headers.get("x-oss-security-token")
            ),
            signing_time=datetime.strptime(headers["x-oss-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC),
        )
        SignerV4().sign(context)
        expected = {name.lower(): value for name, value in context.request.headers.items()}["authorization"]
        return None if given == expected else (403, "SignatureDoesNotMatch")

    def code(self, status: int, body: bytes) -> tuple[int, bytes]:
        """OSS says 409 FileAlreadyExists where S3 says 412."""
        return (409, _error("FileAlreadyExists")) if status == 412 else (status, body)


class _Handler(SilentHandler):
    def handle_one(self) -> None:
        gateway = self.server.owner
        assert isinstance(gateway, Gateway)
        body = read_body(self)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if (own := gateway.answer(self.command, urlsplit(self.path).path, headers, body)) is not None:
            reply(self, own[0], own[1], {"Content-Type": "application/json"})
            return
        if (refused := gateway.refusal(self.command, self.path, headers)) is not None:
            reply(self, refused[0], _error(refused[1]), {"Content-Type": "application/xml"})
            return
        status, answered, data = _ask(gateway, self.command, self.path, headers, body)
        status, data = gateway.code(status, data) if status >= 400 else (status, data)
        reply(self, status, data, answered)


def _ask(
    gateway: Gateway, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Send the request to the S3 server, signed with its keys; headers in its names, the answer's in the vendor's."""
    s3 = gateway.s3
    sent = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    for name, value in headers.items():
        if name.startswith(gateway.META):
            sent["x-amz-meta-" + name.removeprefix(gateway.META)] = value
        elif name == "content-type":
            sent[name] = value
    if headers.get(gateway.CONDITION[0]) == gateway.CONDITION[1]:
        sent["If-None-Match"] = "*"
    split = urlsplit(path)
    query = dict(parse_qsl(split.query, keep_blank_values=True))
    request = AWSRequest(method, s3.endpoint + split.path, headers=sent, params=query, data=body)
    S3SigV4Auth(Credentials(s3.access_key, s3.secret_key), "s3", s3.region).add_auth(request)
    prepared = request.prepare()
    target = urlsplit(prepared.url)
    connection = http.client.HTTPConnection(target.netloc, timeout=30)
    try:
        connection.request(
            method, f"{target.path}?{target.query}" if target.query else target.path, body or None,
            dict(prepared.headers.items()),
        )  # fmt: skip
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    answered = {}
    for name, value in answer.getheaders():
        lower = name.lower()
        if lower.startswith("x-amz-meta-"):
            answered[gateway.META + lower.removeprefix("x-amz-meta-")] = value
        elif lower in {"etag", "content-type", "content-length"}:
            answered[lower] = value
    return answer.status, answered, data


def _error(code: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'.encode()
