"""Owns which LiveKit server and key a recording uses: its own (`spec.livekit`) or the operator's default."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from egress_operator.errors import ConnectionProblem
from egress_operator.kube import SECRETS, Kube
from egress_operator.model import Recording
from egress_operator.settings import Settings

_CACHE_SECONDS = 30.0
_CACHE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Connection:
    """A LiveKit server and its key. `origin` says for messages where the key comes from."""

    url: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    origin: str = ""


class Connections:
    """Resolves connections; Secrets are kept for 30 s so that hundreds of recordings cost one read."""

    def __init__(self, settings: Settings, kube: Kube) -> None:
        self._settings = settings
        self._kube = kube
        self._cache: dict[tuple[str, str], tuple[float, tuple[str, str]]] = {}

    async def resolve(self, recording: Recording) -> Connection:
        """Return the connection. Raises ConnectionProblem with the condition's reason and sentence."""
        spec = recording.spec
        namespace = recording.key.namespace
        if spec is not None and spec.livekit is not None:
            name = spec.livekit.credentials_secret_ref.name
            key, secret = await self._credentials(namespace, name)
            return Connection(spec.livekit.url, key, secret, f"Secret {name}")
        settings = self._settings
        if not settings.has_default_connection:
            raise ConnectionProblem(
                "NoConnection",
                "the operator has no default LiveKit connection: set spec.livekit.url and"
                " spec.livekit.credentialsSecretRef, or LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of the operator",
            )
        if not settings.default_allowed_namespaces & {"*", namespace}:
            raise ConnectionProblem(
                "NamespaceNotAllowed",
                f"the operator's default LiveKit connection may not be used from namespace {namespace}:"
                " set spec.livekit, or ask for the namespace to be allowed",
            )
        return Connection(
            settings.livekit_url,
            settings.livekit_api_key,
            settings.livekit_api_secret,
            "the operator's default key",
        )

    async def _credentials(self, namespace: str, name: str) -> tuple[str, str]:
        at, credentials = self._cache.get((namespace, name), (float("-inf"), ("", "")))
        if monotonic() - at < _CACHE_SECONDS:
            return credentials
        body = await self._kube.get(SECRETS, namespace, name)
        if body is None:
            raise ConnectionProblem(
                "MissingSecret",
                f"Secret {name} (spec.livekit.credentialsSecretRef) does not exist in namespace {namespace}:"
                " create it with the keys api-key and api-secret",
            )
        credentials = (_value(body, name, "api-key"), _value(body, name, "api-secret"))
        if len(self._cache) >= _CACHE_SIZE:
            self._cache.clear()
        self._cache[namespace, name] = (monotonic(), credentials)
        return credentials


def _value(body: Mapping[str, Any], name: str, key: str) -> str:
    try:
        value = base64.b64decode((body.get("data") or {}).get(key, ""), validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        value = ""
    if not value:
        raise ConnectionProblem(
            "InvalidSecret", f"Secret {name} (spec.livekit.credentialsSecretRef) has no key {key}: add it"
        )
    return value
