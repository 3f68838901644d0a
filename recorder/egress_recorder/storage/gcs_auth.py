"""Owns how requests to Google Cloud Storage prove who they are: a service account's key, or the workload identity.

Sources: RFC 7523 and Google's "Using OAuth 2.0 for Server to Server Applications" (a JWT signed with the account's key,
exchanged for a token); "View and query VM metadata" (the metadata server, which GKE's workload identity speaks too).

RS256 is the only thing of a cryptography library that is needed (14 MB in the image for one signature an hour), and it
is one modular power (RFC 8017 §8.2.1); the result is checked with the public exponent before it is used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import threading
import time
from typing import Any
from urllib.parse import urlencode

from egress_recorder.errors import AuthorizationError, UnreachableError
from egress_recorder.redact import remember
from egress_recorder.storage.rest import Answer, HttpClient
from egress_recorder.storage.secretfiles import SecretFiles

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_FILES = {"credentials": ("credentials", "credentials.json", "key.json")}
_RENEW_BEFORE = 300.0
"""Seconds before its end that a token is replaced."""
_LIFETIME = 3600
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
"""DigestInfo of SHA-256, RFC 8017 §9.2 note 1."""


class GcsAuth:
    """Gives access tokens; a rotated Secret gets a new one."""

    def __init__(self, files: SecretFiles | None, client: HttpClient, *, where: str) -> None:
        self._files = files
        self._client = client
        self._local = HttpClient(where=where, direct=True)
        self._where = where
        self._lock = threading.Lock()
        self._token = ("", "", 0.0)

    def bearer(self) -> str:
        """Return a token that is valid for a while. Raises AuthorizationError."""
        document = self._document()
        with self._lock:
            made_of, token, until = self._token
            if made_of != document or time.time() > until - _RENEW_BEFORE:
                token, until = self._of_key(document) if document else self._of_pod()
                remember(token)
                self._token = (document, token, until)
            return token

    def _document(self) -> str:
        if self._files is None:
            return ""
        text = self._files.values(_FILES).get("credentials", "")
        if not text:
            raise AuthorizationError(
                f"{self._where}: the credentials Secret has no key 'credentials' (or 'credentials.json'): add the "
                "service account's key file, or leave credentialsSecretRef out to use the pod's workload identity"
            )
        return text

    def _of_key(self, document: str) -> tuple[str, float]:
        try:
            account: dict[str, Any] = json.loads(document)
            kind = account.get("type")
            email, key = str(account["client_email"]), str(account["private_key"])
            modulus, public, private = rsa_numbers(key)
        except (ValueError, KeyError, AttributeError, TypeError, IndexError):
            kind = kind if "kind" in locals() else None
            said = (
                f"of the type {kind!r}"
                if isinstance(kind, str) and kind != "service_account"
                else "not whole"
            )
            raise AuthorizationError(
                f"{self._where}: the key 'credentials' of the credentials Secret is no key file of a service account "
                f"({said}): put the JSON file there as it was downloaded"
            ) from None
        remember(key)
        address = str(account.get("token_uri") or "https://oauth2.googleapis.com/token")
        now = int(time.time())
        claims = {"iss": email, "scope": SCOPE, "aud": address, "iat": now, "exp": now + _LIFETIME}
        header = {
            "alg": "RS256",
            "typ": "JWT",
            **({"kid": account["private_key_id"]} if account.get("private_key_id") else {}),
        }
        signing = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        assertion = f"{signing}.{_encoded(sign(signing.encode(), modulus, public, private))}"
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        answer = self._client.send(
            "POST", address, {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode(),
            answer_timeout=20,
        )  # fmt: skip
        return self._token_of(
            answer, "check that the service account's key in the credentials Secret still exists"
        )

    def _of_pod(self) -> tuple[str, float]:
        host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
        url = f"http://{host}/computeMetadata/v1/instance/service-accounts/default/token"
        try:
            answer = self._local.send("GET", url, {"Metadata-Flavor": "Google"}, answer_timeout=20)
        except UnreachableError as error:
            raise AuthorizationError(
                f"{self._where}: no usable credentials, the metadata server does not answer: name a Secret in "
                "credentialsSecretRef or give the pod's service account a workload identity"
            ) from error
        return self._token_of(answer, "check that the pod's service account is bound to one that may write")

    def _token_of(self, answer: Answer, way_out: str) -> tuple[str, float]:
        if answer.status >= 500 or answer.status == 429:
            raise UnreachableError(
                f"{self._where}: the identity service cannot serve the request now ({answer.status})"
            )
        try:
            document = json.loads(answer.body)
            return str(document["access_token"]), time.time() + float(document["expires_in"])
        except (ValueError, KeyError, TypeError):
            raise AuthorizationError(
                f"{self._where}: the identity is refused ({answer.status}): {way_out}"
            ) from None


def sign(data: bytes, modulus: int, public: int, private: int) -> bytes:
    """Return the RSASSA-PKCS1-v1_5 signature with SHA-256. Raises ValueError for numbers that are no key."""
    size = (modulus.bit_length() + 7) // 8
    digest = _SHA256_INFO + hashlib.sha256(data).digest()
    message = int.from_bytes(b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest)
    signature = pow(message, private, modulus)
    if pow(signature, public, modulus) != message:
        raise ValueError("the numbers are no RSA key")
    return signature.to_bytes(size)


def rsa_numbers(pem: str) -> tuple[int, int, int]:
    """Return modulus, public and private exponent of a PKCS#8 key (RFC 5208, RFC 8017 A.1.2). Raises ValueError."""
    lines = [line.strip() for line in pem.strip().splitlines()]
    if len(lines) < 3 or lines[0] != "-----BEGIN PRIVATE KEY-----":
        raise ValueError("no PKCS#8 key")
    try:
        der = base64.b64decode("".join(lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
    key = _children(_children(_children(der)[0])[2])[0]
    numbers = [int.from_bytes(item) for item in _children(key)]
    return numbers[1], numbers[2], numbers[3]


def _children(der: bytes) -> list[bytes]:
    """Return the contents of the DER values that stand one after the other."""
    found, at = [], 0
    while at < len(der):
        length, at = der[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(der[at : at + count]), at + count
        found.append(der[at : at + length])
        at += length
    return found


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
