"""Names of what a recording writes: the template language of all outputs and what is derived from a name.

Pure functions of values; operator and recorder use the same ones, the operator by way of `contract.py`. A name is
resolved as often as something new is known: tokens without a value stay, and what is complete never changes again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from egress_recorder.wire import ContractError

TOKENS = (
    "room_name",
    "room_id",
    "time",
    "utc",
    "publisher_identity",
    "track_id",
    "track_type",
    "track_source",
    "retry",
    "egress_id",
    "namespace",
    "name",
    "part",
)
"""LiveKit's (E:pkg/config/output_file.go), then ours; an unknown one is refused instead of left in the name."""
TRACK_TOKENS = ("track_id", "track_type", "track_source")
"""What has a meaning only where exactly one track is recorded."""
RESOURCE_TOKENS = ("namespace", "name")
"""What has a meaning only where a Kubernetes resource asked for the recording."""
PART_TOKENS = ("part", "retry")
"""What tells the files of one recording apart: a name with one of them gets no `-p2`."""

EXTENSION = ".mp4"
"""Of a file whose type nobody named."""
_KNOWN_EXTENSIONS = frozenset(
    {".mp4", ".ogg", ".mp3", ".webm", ".mkv", ".ts", ".m4s", ".m3u8", ".wav", ".flac", ".m4a", ".ivf"}
)
PLAYLIST_EXTENSION = ".m3u8"
_TOKEN = re.compile(r"\{([^{}]*)\}")
_DEFAULT_NAME = "{room_name}-{time}"
LONGEST_COMPONENT = 200
"""Bytes of one component of a name: a file system takes 255, and suffixes of parts and uploads have to fit as well."""
_LONGEST_EXTENSION = 16
LONGEST_NAME = 800
"""Bytes of a whole name: object stores take 1023 or 1024, and what becomes known later has to fit as well."""


class NameValues(BaseModel):
    """What the tokens of a name stand for; a value that is not known yet stays None and its token in the name."""

    model_config = ConfigDict(frozen=True)

    room_name: str
    room_id: str | None = None
    requested_at: datetime
    publisher_identity: str | None = None
    egress_id: str | None = None
    namespace: str | None = None
    name: str | None = None
    track_id: str | None = None
    track_type: str | None = None
    track_source: str | None = None
    part: int | None = None

    def value(self, token: str) -> str | None:
        """Return the text for one token, safe as a single path component; None when not known yet."""
        match token:
            case "time":
                return self.requested_at.astimezone(UTC).strftime("%Y-%m-%dT%H%M%S")
            case "utc":
                return self.requested_at.astimezone(UTC).strftime("%Y%m%d%H%M%S%f")[:-3]
            case "part":
                return None if self.part is None else str(self.part)
            case "retry":
                return None if self.part is None else str(self.part - 1)
        if token not in TOKENS:
            raise ContractError(
                f"filepath has the unknown token {{{token}}}: the tokens are {in_words(TOKENS)}"
            )
        value = getattr(self, token)
        return value and _safe(value)


def in_words(tokens: Iterable[str]) -> str:
    """Return tokens as a user writes them."""
    return ", ".join(f"{{{token}}}" for token in tokens)


def _safe(value: str) -> str:
    """An identity such as `../../etc` must stay one path component, and one such as `{time}` must stay a value."""
    cleaned = re.sub(r"[/\\{}\x00-\x1f\x7f]", "_", value)
    return re.sub(r"^\.+", lambda match: "_" * len(match.group()), cleaned) or "_"


def resolve_filepath(filepath: str, values: NameValues, extension: str = EXTENSION) -> str:
    """Return the object key or relative path for a file output (LiveKit's rules, E:pkg/config/output_file.go).

    Empty or ending in "/": `{room_name}-{time}` is appended. A right extension stays, a known wrong one is replaced,
    an unknown one is kept and the right one appended. Tokens without a value stay, so that the function can be
    applied again later; applying it twice changes nothing. A component that is too long is cut. `extension` is that
    of the file's type.

    Raises ContractError for an unknown token, a brace without partner or a name that no storage takes.
    """
    if not filepath or filepath.endswith("/"):
        filepath += _DEFAULT_NAME
    resolved = _filled(filepath, values)
    stem, found = _split_extension(resolved)
    return _bounded(f"{stem if found.lower() in _KNOWN_EXTENSIONS else resolved}{extension}")


def resolve_prefix(prefix: str, values: NameValues) -> str:
    """Return how the segments or images of an output begin: as `resolve_filepath`, without an extension. Raises ContractError."""
    return _bounded(_filled(prefix, values))


def _filled(filepath: str, values: NameValues) -> str:
    # Normalised before the tokens are filled in: a value is one component and cannot climb.
    parts = [part for part in filepath.split("/") if part not in {"", ".", ".."}]
    path = "/".join(parts) or _DEFAULT_NAME
    if set(_TOKEN.sub("", path)) & {"{", "}"}:
        raise ContractError(f"filepath {filepath!r} has a brace without its partner")
    return _TOKEN.sub(lambda match: values.value(match.group(1)) or match.group(0), path)


def _bounded(named: str) -> str:
    made = "/".join(_cut(component) for component in named.split("/"))
    if (size := len(made.encode())) > LONGEST_NAME:
        raise ContractError(
            f"filepath gives a name of {size} bytes: storages take {LONGEST_NAME}, shorten it"
        )
    return made


def _cut(component: str) -> str:
    """Shorten a component that is too long before its extension or part number; one with unknown values waits."""
    waits = bool(set(_TOKEN.findall(component)) - set(PART_TOKENS))
    if len(component.encode()) <= LONGEST_COMPONENT or waits:
        return component
    stem, brace, number = component.partition("{")
    tail = brace + number
    if not tail:
        stem, tail = _split_extension(component)
        if len(tail) > _LONGEST_EXTENSION:
            stem, tail = component, ""
    return stem.encode()[: max(1, LONGEST_COMPONENT - len(tail.encode()))].decode(errors="ignore") + tail


def _split_extension(path: str) -> tuple[str, str]:
    directory, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem:
        return path, ""
    return f"{directory}{slash}{stem}", f"{dot}{extension}"


def refuse_meaningless(filepath: str, *, one_track: bool, resource: bool) -> None:
    """Raise ContractError for a token that cannot have a value in this recording."""
    used = tokens_of(filepath)
    for token in used:
        if token in TRACK_TOKENS and not one_track:
            raise ContractError(
                f"filepath has {{{token}}}, which names one track, and more than one is recorded: use "
                "{publisher_identity}, or record one track by its id"
            )
        if token in RESOURCE_TOKENS and not resource:
            raise ContractError(
                f"filepath has {{{token}}}, and no Kubernetes resource asked for this recording"
            )


def tokens_of(path: str) -> tuple[str, ...]:
    """Return the tokens that (still) stand in a path."""
    return tuple(token for token in _TOKEN.findall(path) if token in TOKENS)


def part_filename(filename: str, part: int) -> str:
    """Return the name of part n: `a.mp4`, `a-p2.mp4`, `a-p3.mp4` …; `{part}` and `{retry}` take the suffix's place."""
    if tells_parts(filename):
        return filename.replace("{part}", str(part)).replace("{retry}", str(part - 1))
    if part == 1:
        return filename
    stem, extension = _split_extension(filename)
    return f"{stem}-p{part}{extension}"


def tells_parts(path: str) -> bool:
    """Return whether a name has a token of the part: without one a playlist goes on over all parts."""
    return bool(set(tokens_of(path)) & set(PART_TOKENS))


def continued_name(name: str, part: int) -> str:
    """Return how part n calls what goes on over all parts, a playlist or the images: only a token tells parts apart."""
    return part_filename(name, part) if tells_parts(name) else name


def part_prefix(prefix: str, part: int) -> str:
    """Return how the segments of part n begin, as `part_filename`."""
    if tells_parts(prefix):
        return part_filename(prefix, part)
    return prefix if part == 1 else f"{prefix}-p{part}"


def is_playlist(filename: str) -> bool:
    """Return whether this is the playlist of an HLS output: no type of file has its extension."""
    return filename.endswith(PLAYLIST_EXTENSION)


def image_prefix(prefix: str, values: NameValues) -> str:
    """Return how the images of an output begin; empty or ending in "/" is `{room_name}-{time}` there. Raises ContractError."""
    named = prefix if prefix and not prefix.endswith("/") else f"{prefix}{_DEFAULT_NAME}"
    return resolve_prefix(named, values)


def unique_filename(filename: str, egress_id: str) -> str:
    """Return a name that no other recording has: used when an object of that name exists (never overwritten)."""
    stem, extension = _split_extension(filename)
    return f"{stem}-{egress_id}{extension}"


def manifest_filename(filepath: str, egress_id: str) -> str:
    """Return the manifest's key: beside the file; above a directory whose name is not known yet."""
    directory, slash, _ = filepath.partition("{")[0].rpartition("/")
    return f"{directory}{slash}{egress_id}.json"
