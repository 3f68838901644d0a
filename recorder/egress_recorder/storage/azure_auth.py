"""Owns how requests to Azure Blob Storage prove who they are: account key, shared access signature, workload identity.

Sources: learn.microsoft.com, "Authorize with Shared Key" (the string to sign of 2009-09-19 and later), "Microsoft
identity platform and the OAuth 2.0 client credentials flow" (the federated token as client assertion).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import threading
import time
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from egress_recorder.errors import AuthorizationError, UnreachableError
from egress_recorder.redact import remember
from egress_recorder.storage.rest import HttpClient
from egress_recorder.storage.secretfiles import SecretFiles

API_VERSION = "2021-12-02"
_RENEW_BEFORE = 300.0
"""Seconds before its end that a token is replaced."""
_FIELDS = {
    "account_name": ("account_name", "AZURE_STORAGE_ACCOUNT"),
    "account_key": ("account_key", "AZURE_STORAGE_KEY"),
    "sas_token": ("sas_token", "AZURE_STORAGE_SAS_TOKEN"),
}


class AzureAuth:
    """Completes requests: returns the URL and the headers to send."""

    def __init__(self, account: str, files: SecretFiles | None, client: HttpClient, *, where: str) -> None:
        self._account = account
        self._files = files
        self._client = client
        self._where = where
        self._lock = threading.Lock()
        self._token = ("", 0.0)

    def signed(
        self, method: str, url: str, headers: Mapping[str, str], size: int
    ) -> tuple[str, dict[str, str]]:
        """Return URL and headers of an authorised request. Raises AuthorizationError where something is missing."""
        sent = {**headers, "x-ms-date": formatdate(usegmt=True), "x-ms-version": API_VERSION}
        if self._files is None:
            return url, {**sent, "Authorization": f"Bearer {self._bearer()}"}
        values = self._files.values(_FIELDS)
        if sas := values.get("sas_token", "").lstrip("?"):
            return f"{url}{'&' if '?' in url else '?'}{sas}", sent
        account = self._account or values.get("account_name", "")
        if not account or not values.get("account_key"):
            missing = "account_key" if account else "account_name"
            raise AuthorizationError(
                f"{self._where}: the credentials Secret has no key {missing!r} (or {_FIELDS[missing][1]!r}), and no "
                "'sas_token' either: add it, or leave credentialsSecretRef out to use the pod's workload identity"
            )
        try:
            key = base64.b64decode(values["account_key"], validate=True)
        except binascii.Error:
            raise AuthorizationError(
                f"{self._where}: the key 'account_key' of the credentials Secret is no base64: copy it whole"
            ) from None
        text = string_to_sign(method, url, sent, size, account=account)
        signature = base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()
        return url, {**sent, "Authorization": f"SharedKey {account}:{signature}"}

    def _bearer(self) -> str:
        with self._lock:
            until = self._token[1]
            if time.time() > until - _RENEW_BEFORE:
                self._token = self._fetch()
            return self._token[0]

    def _fetch(self) -> tuple[str, float]:
        """Exchange the projected service account token for one of the storage."""
        names = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")
        client_id, tenant, file = (os.environ.get(name, "") for name in names)
        if not (client_id and tenant and file):
            raise AuthorizationError(
                f"{self._where}: no usable credentials: name a Secret in credentialsSecretRef, or give the pod a workload "
                "identity (label azure.workload.identity/use in spec.template, a service account with a client id)"
            )
        try:
            assertion = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AuthorizationError(
                f"{self._where}: the token of the workload identity cannot be read ({type(error).__name__})"
            ) from error
        remember(assertion)
        authority = os.environ.get("AZURE_AUTHORITY_HOST") or "https://login.microsoftonline.com"
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "scope": "https://storage.azure.com/.default",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
        answer = self._client.send(
            "POST",
            f"{authority.rstrip('/')}/{quote(tenant)}/oauth2/v2.0/token",
            {"Content-Type": "application/x-www-form-urlencoded"},
            urlencode(form).encode(),
            answer_timeout=20,
        )
        if answer.status >= 500 or answer.status == 429:
            raise UnreachableError(
                f"{self._where}: the identity service cannot serve the request now ({answer.status})"
            )
        try:
            document = json.loads(answer.body)
            token, lifetime = str(document["access_token"]), float(document["expires_in"])
        except (ValueError, KeyError, TypeError):
            raise AuthorizationError(
                f"{self._where}: the workload identity is refused ({answer.status}): check the client id of the service "
                "account and its federated credential"
            ) from None
        remember(token)
        return token, time.time() + lifetime


def string_to_sign(method: str, url: str, headers: Mapping[str, str], size: int, *, account: str) -> str:
    """Return what Shared Key signs: method, standard headers, x-ms headers, resource."""
    lower = {name.lower(): value for name, value in headers.items()}
    standard = [
        lower.get("content-encoding", ""),
        lower.get("content-language", ""),
        str(size) if size else "",
        lower.get("content-md5", ""),
        lower.get("content-type", ""),
        "",  # Date: x-ms-date is sent instead
        *(
            lower.get(name, "")
            for name in ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")
        ),
    ]
    own = [f"{name}:{lower[name].strip()}" for name in sorted(lower) if name.startswith("x-ms-")]
    split = urlsplit(url)
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(split.query, keep_blank_values=True):
        query.setdefault(unquote(name).lower(), []).append(value)
    resource = [
        f"/{account}{split.path}",
        *(f"{name}:{','.join(sorted(query[name]))}" for name in sorted(query)),
    ]
    return "\n".join([method, *standard, *own, *resource])
