"""Owns the URLs of streams: which are taken, what LiveKit's short forms mean, and how a URL is shown. Pure.

Standard library only: operator, supervisor and capture process share it. Rules: reference livekit-egress.md §3.5
(E:pkg/config/urls.go). The last part of an RTMP URL is a stream key, `streamid` and `passphrase` of an SRT URL are
secrets: LiveKit masks the first only, we mask all of them. No sentence here holds any part of a URL but its scheme.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

StreamProtocol = Literal["RTMP", "SRT"]

_SHORT_FORMS = {
    "mux": "rtmps://global-live.mux.com:443/app/",
    # Twitch's own global address: it leads to the nearest ingest server, so that nothing has to be looked up.
    "twitch": "rtmps://ingest.global-contribute.live-video.net:443/app/",
}
_PROTOCOLS: dict[str, StreamProtocol] = {
    "rtmp": "RTMP",
    "rtmps": "RTMP",
    "mux": "RTMP",
    "twitch": "RTMP",
    "srt": "SRT",
}
SCHEMES = tuple(_PROTOCOLS)
_SRT_SECRETS = frozenset({"streamid", "passphrase"})
_SRT_MODES = frozenset({"", "caller"})
LONGEST_URL = 2048


def resolve_url(url: str, *, protocol: str = "") -> tuple[str, StreamProtocol]:
    """Return the URL to connect to, short forms written out, and its protocol.

    `protocol`: LiveKit's StreamProtocol, "" or DEFAULT_PROTOCOL for that of the scheme. Raises ValueError with a
    sentence that holds no secret.
    """
    text = url.strip().removesuffix(" live=1")
    scheme, _, rest = text.partition("://")
    known = _PROTOCOLS.get(scheme)
    if known is None or not rest:
        raise ValueError(f"a stream's URL begins with one of {', '.join(f'{one}://' for one in SCHEMES)}")
    if protocol not in {"", "DEFAULT_PROTOCOL", known}:
        raise ValueError(f"a URL with {scheme}:// does not fit protocol {protocol}: use {known}")
    if len(text) > LONGEST_URL or re.search(r"[\s\x00-\x1f]", text):
        raise ValueError("a stream's URL has neither blanks nor line breaks, and at most 2048 characters")
    if scheme in _SHORT_FORMS:
        return _SHORT_FORMS[scheme] + rest, known
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("a stream's URL has a host that cannot be read: scheme://host:port/…") from None
    if not parts.hostname:
        raise ValueError("a stream's URL names no host: scheme://host:port/…")
    if known == "SRT":
        _check_srt(parts, port)
    elif len([part for part in parts.path.split("/") if part]) < 2:
        raise ValueError(f"a stream's URL is {scheme}://host/app/key: application or stream key is missing")
    return text, known


def _check_srt(parts: SplitResult, port: int | None) -> None:
    if port is None:
        raise ValueError("an SRT URL needs a port: srt://host:port")
    values = dict(parse_qsl(parts.query))
    if values.get("mode", "") not in _SRT_MODES:
        raise ValueError(
            "an SRT URL with mode=listener or rendezvous is not known: the recorder is the caller"
        )
    if "passphrase" in values and not 10 <= len(values["passphrase"]) <= 79:
        raise ValueError("the passphrase of an SRT URL has 10 to 79 characters")
    if values.get("pbkeylen", "16") not in {"16", "24", "32"}:
        raise ValueError("pbkeylen of an SRT URL is 16, 24 or 32")
    if not values.get("latency", "0").isdigit():
        raise ValueError("latency of an SRT URL is a number of milliseconds")


def redact_key(key: str) -> str:
    """Return LiveKit's form of a stream key: `{abc...xyz}` (P:utils/redact.go), fewer letters for a short one."""
    shown = next((count for least, count in ((9, 3), (6, 2), (3, 1)) if len(key) >= least), 0)
    return f"{{{key[:shown]}...{key[len(key) - shown :]}}}"


def redact_url(url: str) -> str:
    """Return a resolved URL as it may be shown in status, manifest, webhook and log."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "{...}"
    host = f"***@{parts.netloc.rpartition('@')[2]}" if "@" in parts.netloc else parts.netloc
    if parts.scheme == "srt":
        pairs = [pair.partition("=") for pair in parts.query.split("&") if pair]
        query = "&".join(
            f"{name}{sign}{redact_key(value) if name.lower() in _SRT_SECRETS else value}"
            for name, sign, value in pairs
        )
        return urlunsplit((parts.scheme, host, parts.path, query, ""))
    directory, _, key = parts.path.rpartition("/")
    key += f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{host}{directory}/{redact_key(key)}"


def secrets_of(url: str) -> tuple[str, ...]:
    """Return the parts of a resolved URL that must never be in a text, the URL itself first."""
    if not url:
        return ()
    parts = urlsplit(url)
    if parts.scheme == "srt":
        keys = tuple(value for name, value in parse_qsl(parts.query) if name.lower() in _SRT_SECRETS)
    else:
        keys = (parts.path.rpartition("/")[2], *(value for _, value in parse_qsl(parts.query)))
    return (url, *(key for key in keys if key), *((parts.password,) if parts.password else ()))
