"""Names of what a recording writes: the template language of `filepath` and what is derived from a name.

Pure functions of values; operator and recorder use the same ones. `contract.py` re-exports what the operator needs.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from egress_recorder.wire import ContractError

TOKENS = ("room_name", "room_id", "time", "utc", "publisher_identity")
"""Tokens of `filepath` (LiveKit's); an unknown one is refused instead of left in the name."""

EXTENSION = ".mp4"
_KNOWN_EXTENSIONS = frozenset(
    {".mp4", ".ogg", ".mp3", ".webm", ".mkv", ".ts", ".m3u8", ".wav", ".flac", ".m4a", ".ivf"}
)
_TOKEN = re.compile(r"\{([^{}]*)\}")


class NameValues(BaseModel):
    """What the tokens of a name stand for; a value that is not known yet stays None and its token in the name."""

    model_config = ConfigDict(frozen=True)

    room_name: str
    room_id: str | None = None
    requested_at: datetime
    publisher_identity: str | None = None

    def value(self, token: str) -> str | None:
        """Return the text for one token, safe as a single path component; None when not known yet."""
        match token:
            case "time":
                return self.requested_at.astimezone(UTC).strftime("%Y-%m-%dT%H%M%S")
            case "utc":
                return self.requested_at.astimezone(UTC).strftime("%Y%m%d%H%M%S%f")[:-3]
            case "room_name":
                return _safe(self.room_name)
            case "room_id":
                return self.room_id and _safe(self.room_id)
            case "publisher_identity":
                return self.publisher_identity and _safe(self.publisher_identity)
        raise ContractError(
            f"filepath has the unknown token {{{token}}}: use {', '.join('{' + name + '}' for name in TOKENS)}"
        )


def _safe(value: str) -> str:
    """An identity such as `../../etc` must stay one path component."""
    cleaned = re.sub(r"[/\\\x00-\x1f\x7f]", "_", value)
    return re.sub(r"^\.+", lambda match: "_" * len(match.group()), cleaned) or "_"


def resolve_filepath(filepath: str, values: NameValues) -> str:
    """Return the object key or relative path for a file output (LiveKit's rules, E:pkg/config/output_file.go).

    Empty or ending in "/": `{room_name}-{time}` is appended. A right extension stays, a known wrong one is replaced,
    an unknown one is kept and the right one appended. Tokens without a value stay, so that the function can be
    applied again later; applying it twice changes nothing.

    Raises ContractError for an unknown token or a brace without partner.
    """
    if not filepath or filepath.endswith("/"):
        filepath += "{room_name}-{time}"
    # Normalised before the tokens are filled in: a value is one component and cannot climb.
    parts = [part for part in filepath.split("/") if part not in {"", ".", ".."}]
    path = "/".join(parts) or "{room_name}-{time}"
    resolved = _TOKEN.sub(lambda match: values.value(match.group(1)) or match.group(0), path)
    if set(_TOKEN.sub("", path)) & {"{", "}"}:
        raise ContractError(f"filepath {filepath!r} has a brace without its partner")
    stem, extension = _split_extension(resolved)
    return f"{stem if extension.lower() in _KNOWN_EXTENSIONS else resolved}{EXTENSION}"


def _split_extension(path: str) -> tuple[str, str]:
    directory, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem:
        return path, ""
    return f"{directory}{slash}{stem}", f"{dot}{extension}"


def unresolved_tokens(path: str) -> tuple[str, ...]:
    """Return the tokens that still stand in a path."""
    return tuple(token for token in _TOKEN.findall(path) if token in TOKENS)


def part_filename(filename: str, part: int) -> str:
    """Return the name of part n: `a.mp4`, `a-p2.mp4`, `a-p3.mp4` …"""
    if part == 1:
        return filename
    stem, extension = _split_extension(filename)
    return f"{stem}-p{part}{extension}"


def unique_filename(filename: str, egress_id: str) -> str:
    """Return a name that no other recording has: used when an object of that name exists (never overwritten)."""
    stem, extension = _split_extension(filename)
    return f"{stem}-{egress_id}{extension}"


def manifest_filename(filepath: str, egress_id: str) -> str:
    """Return the manifest's key: beside the file; above a directory whose name is not known yet."""
    directory, slash, _ = filepath.partition("{")[0].rpartition("/")
    return f"{directory}{slash}{egress_id}.json"
