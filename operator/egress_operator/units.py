"""Owns durations (Go syntax, `1h30m`), quantities (`10Gi`) and RFC 3339 times: pure text <-> numbers."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

_DURATION_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
_QUANTITY = re.compile(r"([+-]?[0-9.]+)([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?")
_QUANTITY_UNITS = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}


def parse_duration(text: str) -> float:
    """Return the seconds of a Go duration (`30s`, `1h30m`). Raises ValueError with a sentence."""
    if text == "0":
        return 0.0
    position = 0
    seconds = 0.0
    while match := _DURATION_PART.match(text, position):
        seconds += float(match.group(1)) * _DURATION_UNITS[match.group(2)]
        position = match.end()
    if position == 0 or position != len(text):
        raise ValueError(f"{text!r} is not a duration: write for example 30s or 1h30m")
    return seconds


def format_duration(seconds: float) -> str:
    """Return a Go duration with millisecond precision: `0s`, `12.5s`, `1h2m3s`."""
    milliseconds = round(max(0.0, seconds) * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    tail = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    if hours:
        return f"{hours}h{minutes}m{tail}s"
    return f"{minutes}m{tail}s" if minutes else f"{tail}s"


def exact_quantity(value: str | int) -> Decimal:
    """Return a Kubernetes quantity exactly (`600m` -> 0.6). Raises ValueError with a sentence."""
    match = _QUANTITY.fullmatch(str(value))
    problem = f"{str(value)!r} is not a quantity: write for example 500Mi or 10Gi"
    if match is None:
        raise ValueError(problem)
    number, suffix = match.group(1), match.group(2) or ""
    try:
        if suffix in _QUANTITY_UNITS:
            return Decimal(number) * _QUANTITY_UNITS[suffix]
        return Decimal(number + suffix)
    except InvalidOperation:
        raise ValueError(problem) from None


def parse_quantity(value: str | int) -> int:
    """Return a Kubernetes quantity as a whole number, rounded up (`10Gi` -> bytes). Raises ValueError."""
    return math.ceil(exact_quantity(value))


def parse_time(text: str) -> datetime:
    """Return the instant of an RFC 3339 text. Raises ValueError."""
    return datetime.fromisoformat(text)


def format_time(instant: datetime) -> str:
    """Return RFC 3339 in UTC; fractions of a second only where there are some."""
    return instant.astimezone(UTC).isoformat(timespec="auto").replace("+00:00", "Z")
