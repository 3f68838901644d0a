"""Owns which files can be recorded: LiveKit's EncodedFileType and ours, what each holds and how it is called. Pure.

Standard library only: operator, supervisor and capture process share it. LiveKit's table: reference
livekit-egress.md §3.1 (E:pkg/types/types.go). Pictures are H.264, encoded once per capture; a container that cannot
hold them holds the sound alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

FileType = Literal["MP4", "OGG", "MP3", "WEBM", "MKV", "M4A", "WAV", "FLAC"]
SoundCodec = Literal["aac", "opus", "mp3", "pcm", "flac"]
DEFAULT_FILETYPE = "DEFAULT_FILETYPE"
"""LiveKit's: chosen by what is recorded, see `default_type`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKind:
    """What one type of file is."""

    extension: str
    content_type: str
    sound: tuple[SoundCodec, ...]
    """The codecs it holds, the default first."""
    pictures: bool = False
    """It holds H.264."""
    rewritten: int = 0
    """How many of its first bytes the end of a file may change; all others are only appended to."""


FILE_KINDS: Mapping[FileType, FileKind] = {
    "MP4": FileKind(
        extension=".mp4", content_type="video/mp4", sound=("aac", "opus"), pictures=True, rewritten=64
    ),
    "MKV": FileKind(
        extension=".mkv",
        content_type="video/x-matroska",
        sound=("aac", "opus"),
        pictures=True,
        rewritten=4096,
    ),
    "OGG": FileKind(extension=".ogg", content_type="audio/ogg", sound=("opus",)),
    "MP3": FileKind(extension=".mp3", content_type="audio/mpeg", sound=("mp3",)),
    "WEBM": FileKind(extension=".webm", content_type="audio/webm", sound=("opus",), rewritten=4096),
    "M4A": FileKind(extension=".m4a", content_type="audio/mp4", sound=("aac",), rewritten=64),
    "WAV": FileKind(extension=".wav", content_type="audio/wav", sound=("pcm",), rewritten=256),
    "FLAC": FileKind(extension=".flac", content_type="audio/flac", sound=("flac",), rewritten=64),
}
WITH_PICTURES: tuple[FileType, ...] = tuple(name for name, kind in FILE_KINDS.items() if kind.pictures)
SOUND_ONLY: tuple[FileType, ...] = tuple(name for name, kind in FILE_KINDS.items() if not kind.pictures)

_REQUESTED: Mapping[str, SoundCodec] = {"AAC": "aac", "OPUS": "opus", "AC_MP3": "mp3"}
"""LiveKit's AudioCodec."""


def sound_codec(file_type: FileType, requested: str) -> SoundCodec:
    """Return the codec of a file's sound: the requested one (LiveKit's AudioCodec) where the file holds it."""
    held = FILE_KINDS[file_type].sound
    wanted = _REQUESTED.get(requested)
    return wanted if wanted in held else held[0]


def default_type(*, pictures: bool, codec: str = "") -> FileType:
    """Return what LiveKit's DEFAULT_FILETYPE comes to; `codec` is the audio codec that was asked for, "" for none."""
    if pictures:
        return "MP4"
    fallback: Mapping[str, FileType] = {"AAC": "MP4", "AC_MP3": "MP3"}
    return fallback.get(codec, "OGG")


def types_holding(codec: str) -> tuple[FileType, ...]:
    """Return the types whose sound can have LiveKit's AudioCodec `codec`."""
    return tuple(name for name, kind in FILE_KINDS.items() if _REQUESTED.get(codec) in kind.sound)


def distinct(types: Iterable[FileType]) -> tuple[FileType, ...]:
    """Return each type once, in order: outputs of the same type share their file."""
    return tuple(dict.fromkeys(types))


def of_extension(name: str) -> FileType | None:
    """Return the type that a file's name asks for, None when its extension says nothing."""
    suffix = PurePosixPath(name).suffix.lower()
    return next((file_type for file_type, kind in FILE_KINDS.items() if kind.extension == suffix), None)


_SEGMENTS = {".ts": "video/mp2t", ".m4s": "video/iso.segment"}


def content_type(name: str) -> str:
    """Return the media type of a file by its name."""
    file_type = of_extension(name)
    segment = _SEGMENTS.get(PurePosixPath(name).suffix)
    if segment:
        return segment
    return FILE_KINDS[file_type].content_type if file_type else "application/octet-stream"


def scratch_name(file_type: FileType) -> str:
    """Return the name of the growing file below a part's scratch directory."""
    return f"media{FILE_KINDS[file_type].extension}"


def problem(
    types: Sequence[FileType], *, pictures: bool, sound: bool, named: bool = True, codec: str = ""
) -> str:
    """Return why files of these types cannot record what is asked for, "" when they can.

    `pictures`, `sound`: what the request can bring. `named`: its pictures were asked for by a track id; otherwise they
    are a participant's, of whom a file of sound holds the sound (LiveKit refuses that). `codec`: the audio codec that
    was asked for, "" for none. The schema says the same as CEL rules (operator `api_files.py`).
    """
    silent = [name for name in types if not FILE_KINDS[name].pictures]
    if silent and not sound:
        return (
            f"{silent[0]} holds sound only and there is no audioTrackId: add audioTrackId, or use MP4 or MKV"
        )
    if pictures and len(silent) == len(types):
        if named:
            return (
                f"the video track would be in no file, {silent[0]} holds sound only:"
                " add an output with MP4 or MKV, or remove videoTrackId"
            )
        if "WEBM" in silent:
            return (
                "WEBM would hold the sound only, because pictures are H.264 and WebM takes VP8 or VP9:"
                " use MKV or MP4 for pictures, OGG for the sound alone"
            )
    if codec in _REQUESTED and not any(name in types_holding(codec) for name in types):
        return (
            f"no output can hold {codec}: use one of {', '.join(types_holding(codec))}, or remove audioCodec"
        )
    return ""
