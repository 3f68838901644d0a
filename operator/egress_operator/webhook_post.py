"""Owns one request to a receiver: signed as LiveKit signs, bounded in time, no redirects, no inner addresses.

What a receiver answers is never read beyond its status line, and never shown beyond the number: a URL that a resource
names must not become a way to read what only the operator can reach.
"""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from livekit import api

from egress_operator.errors import ApiError, ConnectionProblem
from egress_operator.model import Recording
from egress_operator.settings import Settings
from egress_operator.webhook_model import Answer, Receiver
from egress_operator.webhook_receivers import is_inner, may_reach

TIMEOUT = 10.0
"""Seconds for one request."""
_TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT, connect=5)
_TOKEN_LIFETIME = timedelta(minutes=5)
"""LiveKit's (P:webhook/url_notifier.go)."""
_KEYS_LIMIT = 10_000

SigningKey = tuple[str, str]
KeyOf = Callable[[Recording, Receiver], Awaitable[SigningKey]]


class Poster:
    """Sends events. `async with` opens and closes its connections."""

    def __init__(self, settings: Settings, *, key_of: KeyOf) -> None:
        """``key_of`` returns name and secret of the key that signs; raises ConnectionProblem, ApiError."""
        self._settings = settings
        self._key_of = key_of
        self._keys: dict[tuple[str, str], SigningKey] = {}
        self._stack = AsyncExitStack()
        self._own: aiohttp.ClientSession | None = None
        self._foreign: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        guard = _GuardedResolver(self._settings.webhook_allowed_hosts)
        self._own = await self._stack.enter_async_context(_session(None))
        self._foreign = await self._stack.enter_async_context(_session(guard))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(
        self, recording: Recording, receiver: Receiver, body: bytes, *, sequence: int, event_id: str
    ) -> Answer:
        """Send one event once. Never raises for what keys, network or receiver do."""
        try:
            name, secret = await self._key(recording, receiver)
        except (ConnectionProblem, ApiError) as problem:
            return Answer(problem.message)
        headers = {
            "Authorization": signature(name, secret, body),
            "Content-Type": "application/webhook+json",
            "User-Agent": "livekit-egress-operator",
            # Beside the body, which is LiveKit's to the byte.
            "Egress-Event-Id": event_id,
            "Egress-Sequence": str(sequence),
        }
        session = self._own if receiver.by_operator else self._foreign
        assert session is not None
        try:
            async with session.post(
                receiver.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # The class only: messages quote addresses and URLs.
            return Answer(f"{receiver.origin} cannot be reached ({type(error).__name__})")
        if 200 <= status < 300:
            return Answer()
        hint = ": redirects are not followed" if 300 <= status < 400 else ""
        return Answer(f"{receiver.origin} answers with HTTP {status}{hint}", answered=True)

    async def _key(self, recording: Recording, receiver: Receiver) -> SigningKey:
        """The key as it is now; when its Secret is gone (a namespace that is deleted), as it was last."""
        place = (recording.uid, receiver.id)
        try:
            key = await self._key_of(recording, receiver)
        except (ConnectionProblem, ApiError):
            if place not in self._keys:
                raise
            return self._keys[place]
        if len(self._keys) >= _KEYS_LIMIT:
            self._keys.clear()
        self._keys[place] = key
        return key


def signature(name: str, secret: str, body: bytes) -> str:
    """Return LiveKit's Authorization: a JWT with the SHA-256 of the body, without "Bearer"."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return str(api.AccessToken(name, secret).with_sha256(digest).with_ttl(_TOKEN_LIFETIME).to_jwt())


def _session(resolver: AbstractResolver | None) -> aiohttp.ClientSession:
    # No limit in all: a receiver that hangs must not take the connections of the others. Each has a few (webhooks.py).
    connector = aiohttp.TCPConnector(limit=0, resolver=resolver, ttl_dns_cache=10)
    return aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar())


class _GuardedResolver(AbstractResolver):
    """Leaves out loopback and link-local addresses, unless the name itself is allowed; asked for each connection."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = tuple(pattern for pattern in allowed if pattern != "*")
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if may_reach(host.lower(), self._allowed):
            return found
        usable = [one for one in found if not is_inner(one["host"])]
        if not usable:
            raise OSError("the name leads to an address that is not sent to")
        return usable

    async def close(self) -> None:
        await self._inner.close()
