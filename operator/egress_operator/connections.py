"""Owns which LiveKit server and key a recording uses, its own (`spec.livekit`) or the operator's default, and which key signs."""

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
from egress_operator.webhook_model import Receiver

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
        self._cache: dict[tuple[str, str], tuple[float, Mapping[str, Any]]] = {}

    async def resolve(self, recording: Recording) -> Connection:
        """Return the connection. Raises ConnectionProblem with the condition's reason and sentence."""
        spec = recording.spec
        namespace = recording.key.namespace
        if spec is not None and spec.livekit is not None:
            name = spec.livekit.credentials_secret_ref.name
            body = await self._secret(namespace, name)
            key, secret = _value(body, name, "api-key"), _value(body, name, "api-secret")
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

    async def signing_key(self, recording: Recording, receiver: Receiver) -> tuple[str, str]:
        """Return name and secret of the key that signs for a receiver. Raises ConnectionProblem, ApiError."""
        settings = self._settings
        operators = (settings.livekit_api_key, settings.livekit_api_secret)
        if receiver.by_operator:
            return operators
        wanted, spec = receiver.signing_key, recording.spec
        # The operator's key signs for whoever may use its connection.
        usable = bool(settings.default_allowed_namespaces & {"*", recording.key.namespace})
        if wanted and wanted == operators[0] and usable:
            return operators
        connection = await self.resolve(recording)
        if wanted in {"", connection.api_key}:
            return connection.api_key, connection.api_secret
        where = "of the operator"
        if spec is not None and spec.livekit is not None:
            name = spec.livekit.credentials_secret_ref.name
            body = await self._secret(recording.key.namespace, name)
            if wanted in (body.get("data") or {}) and wanted not in {"api-key", "api-secret"}:
                return wanted, _value(body, name, wanted)
            where = f"in Secret {name}, or of the operator"
        raise ConnectionProblem(
            "UnknownSigningKey",
            f"spec.webhooks: signingKey {wanted} names no key {where}: create the resource anew without it (the key of"
            " the connection signs then) or with the name of a key that is there, or add the key to the Secret",
        )

    async def _secret(self, namespace: str, name: str) -> Mapping[str, Any]:
        at, body = self._cache.get((namespace, name), (float("-inf"), {}))
        if monotonic() - at < _CACHE_SECONDS:
            return body
        read = await self._kube.get(SECRETS, namespace, name)
        if read is None:
            raise ConnectionProblem(
                "MissingSecret",
                f"Secret {name} (spec.livekit.credentialsSecretRef) does not exist in namespace {namespace}:"
                " create it with the keys api-key and api-secret",
            )
        # An incomplete one is read again the next time: somebody is about to correct it.
        _value(read, name, "api-key"), _value(read, name, "api-secret")
        if len(self._cache) >= _CACHE_SIZE:
            self._cache.clear()
        self._cache[namespace, name] = (monotonic(), read)
        return read


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
