"""Owns what never leaves the process in text: tokens, keys, signatures, user information in URLs; and the log format.

Two nets: patterns for what secrets look like, and the exact values of secrets that this process has read
(`remember`). Both run over the finished line, so that tracebacks and the lines of the capture process pass as well.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from datetime import UTC, datetime

MASK = "***"
_SHORTEST_SECRET = 6
"""Shorter values are not remembered: they would mask innocent words."""

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # JSON web tokens (LiveKit access tokens), whole or cut.
    (re.compile(r"eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,2}"), MASK),
    (
        re.compile(
            r"(?i)([\w-]*(?:token|join_request|signature|credential|awsaccesskeyid|password|secret|"
            r"secret[_-]?access[_-]?key|\bsig))"
            # `name=value`, or the quoted forms of JSON and Python; a bare colon is prose ("token: missing").
            r"(\s*=\s*[\"']?|[\"']\s*:\s*b?[\"'])[^\s&\"',;)]+"
        ),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b"), MASK),
    (re.compile(r"(?i)\b(Credential|Signature)=[^\s,&]+"), rf"\1={MASK}"),
    # user:password@ in a URL
    (re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/@?#]+@"), rf"\1{MASK}@"),
)

_known: set[str] = set()
_known_lock = threading.Lock()


def remember(secret: str) -> None:
    """Mask this exact value from now on, wherever it appears."""
    if len(secret) >= _SHORTEST_SECRET:
        with _known_lock:
            _known.add(secret)


def redact(text: str) -> str:
    """Return the text without anything that looks like a secret or is a known one."""
    with _known_lock:
        known = sorted(_known, key=len, reverse=True)
    for secret in known:
        if secret in text:
            text = text.replace(secret, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, the record's extra fields, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, redacted."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        # Values are redacted before the encoding: quotes that it adds would hide the ends of a secret.
        return json.dumps(_cleaned(entry), default=lambda value: redact(str(value)), ensure_ascii=False)


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {str(name): _cleaned(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value


class HumanFormatter(logging.Formatter):
    """Lines for a person at a terminal, extra fields as `name=value`."""

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self._prefix = prefix

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, redacted."""
        extra = " ".join(f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD)
        text = f"{record.levelname.lower()}: {record.getMessage()}{' ' if extra else ''}{extra}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return self._prefix + redact(text)


def configure_logging(*, human: bool, level: int = logging.INFO, prefix: str = "") -> None:
    """Send all logs to stderr in one format; every line passes the redaction. `prefix` goes before human lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HumanFormatter(prefix) if human else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # botocore logs headers and bodies at debug, aiohttp one line per request.
    for name in ("botocore", "urllib3", "aiohttp.access", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
