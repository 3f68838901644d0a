"""Owns joining a LiveKit room and what a failed attempt means; every text that leaves here is redacted."""

from __future__ import annotations

import asyncio
import re

from livekit import rtc

from egress_recorder.errors import (
    AuthorizationError,
    ConfigurationError,
    NotFoundError,
    RecorderError,
    UnreachableError,
)
from egress_recorder.redact import redact

CONNECT_TIMEOUT = 15.0
"""Seconds, as LiveKit Egress."""

_late: set[asyncio.Task[None]] = set()


async def connect(room: rtc.Room, url: str, token: str, *, timeout: float = CONNECT_TIMEOUT) -> None:  # noqa: ASYNC109
    """Join hidden (the token says so), without subscribing to anything. Raises RecorderError.

    connect() must never be cancelled: the native side would finish alone, leave a ghost participant behind and
    later end the process. An attempt that takes too long is left alone and disconnected when it succeeds.
    """
    attempt = asyncio.ensure_future(room.connect(url, token, rtc.RoomOptions(auto_subscribe=False)))
    _late.add(attempt)
    attempt.add_done_callback(_late.discard)
    # A cancelled session must not cancel the attempt: asyncio.wait does not.
    done, _ = await asyncio.wait({attempt}, timeout=timeout)
    if not done:
        attempt.add_done_callback(lambda task: _disconnect_late(task, room))
        raise UnreachableError(
            f"LiveKit at {_shown(url)} accepts connections, but does not answer within {timeout:g} s: see first that UDP "
            "from here reaches LiveKit's media ports (joining waits for them), then that livekit.url names a LiveKit "
            "server and that no proxy swallows WebSockets"
        )
    try:
        attempt.result()
    except rtc.ConnectError as error:
        # `from None`: the original text repeats the access token.
        raise explain(error.message, url) from None


def _disconnect_late(task: asyncio.Task[None], room: rtc.Room) -> None:
    if not task.cancelled() and task.exception() is None:
        leaving = asyncio.ensure_future(room.disconnect())
        _late.add(leaving)
        leaving.add_done_callback(_late.discard)


def explain(text: str, url: str) -> RecorderError:  # noqa: PLR0911 - a table
    """Turn the SDK's text for a failed connect into an error that names the field and the way out."""
    where, reason = _shown(url), _reason(text)
    if re.search(r"\b40[13]\b", text):
        return AuthorizationError(
            f"LiveKit at {where} refuses the access token ({reason}): "
            "see that api-key and api-secret of the livekit credentials are those of this server"
        )
    if re.search(r"\b404\b", text):
        if "room" in text:
            return NotFoundError(f"LiveKit at {where}: {reason}")
        return ConfigurationError(
            f"there is no LiveKit at {where} (404): livekit.url is the server's base URL, without /rtc"
        )
    if "parse the url" in text or "UrlParse" in text or "unsupported scheme" in text:
        return ConfigurationError(
            f"livekit.url {where} is not a URL of LiveKit ({reason}): use ws:// or wss://"
        )
    if "InvalidContentType" in text or "corrupt message" in text:
        return ConfigurationError(
            f"livekit.url {where} is wss:// but the server speaks no TLS there: use ws://"
        )
    if "lookup address" in text or "dns error" in text:
        return UnreachableError(f"the host of livekit.url {where} is unknown ({reason})")
    return UnreachableError(f"LiveKit at {where} cannot be reached ({reason})")


def _reason(text: str) -> str:
    """Keep the innermost explanation, without tokens and with a bounded length."""
    cleaned = redact(text).replace("\n", " ").strip()
    cleaned = re.sub(
        r"^(engine: |signal failure: |client error: |transport connection error: |IO error: )+", "", cleaned
    )
    cleaned = re.split(r", error: ", cleaned)[-1] if "invalid token" in cleaned else cleaned
    return cleaned[:200].rstrip(" -")


def _shown(url: str) -> str:
    """A URL without user information, query and fragment."""
    return redact(re.sub(r"[?#].*$", "", url))
