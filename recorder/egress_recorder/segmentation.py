"""Owns what an HLS output is: its containers, how its playlists and segments are called, which durations go together. Pure.

LiveKit's rules of names: reference livekit-egress.md §3.4 (E:pkg/config/output_segment.go). Standard library only:
operator, supervisor and capture process share it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

SegmentContainer = Literal["TS", "FMP4"]
SegmentSuffix = Literal["INDEX", "TIMESTAMP"]
"""LiveKit's SegmentedFileSuffix."""
PLAYLIST_EXTENSION = ".m3u8"
"""As `naming.PLAYLIST_EXTENSION`, which needs pydantic."""
EXTENSIONS: Mapping[SegmentContainer, str] = {"TS": ".ts", "FMP4": ".m4s"}
DEFAULT_SEGMENT_DURATION = 4
"""Seconds; LiveKit's."""
LONGEST_SEGMENT_DURATION = 60
_DEFAULT_NAME = "{room_name}-{time}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRequest:
    """What the capture process is told of one HLS output."""

    container: SegmentContainer = "TS"
    duration: int = DEFAULT_SEGMENT_DURATION
    """Seconds from one key frame that begins a segment to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentNames:
    """Keys below the destination. `live` is "" where no live playlist is wanted; `prefix` is without number and extension."""

    playlist: str
    prefix: str
    live: str = ""


def segment_names(prefix: str, playlist: str, live: str) -> SegmentNames:
    """Return where playlists and segments go (LiveKit's rules); tokens stay in the names.

    Raises ValueError for a live playlist that is the main one or lies in another directory.
    """
    directory, name = _split(playlist)
    live_directory, live_name = _split(live)
    segment_directory, stem = _split(prefix)
    if live_name and live_directory and live_directory != directory:
        raise ValueError(
            "livePlaylistName must be in the directory of playlistName: write it without a directory"
        )
    name, live_name = _stem(name), _stem(live_name)
    # Segments in the playlist's own directory need none of their own; a playlist without one follows its segments.
    if segment_directory == directory:
        segment_directory = ""
    elif not directory:
        directory, segment_directory = segment_directory, ""
    name = name or stem or _DEFAULT_NAME
    if live_name == name:
        raise ValueError("livePlaylistName cannot be the same as playlistName: choose another one")
    return SegmentNames(
        playlist=f"{directory}{name}{PLAYLIST_EXTENSION}",
        prefix=f"{directory}{segment_directory}{stem or name}",
        live=f"{directory}{live_name}{PLAYLIST_EXTENSION}" if live_name else "",
    )


def _split(path: str) -> tuple[str, str]:
    """Return directory (with its slash, or "") and name of a path; what could leave the destination is left out."""
    components = [part for part in path.split("/") if part not in {"", ".", ".."}]
    if path.endswith("/") or not components:
        return "".join(f"{part}/" for part in components), ""
    return "".join(f"{part}/" for part in components[:-1]), components[-1]


def _stem(name: str) -> str:
    """LiveKit cuts whatever follows the last dot; here before tokens have values, so that a dot in a room's name stays."""
    return name.rpartition(".")[0] or name


def segment_key(
    prefix: str, *, suffix: SegmentSuffix, container: SegmentContainer, number: int, at: datetime
) -> str:
    """Return the key of one segment; `at` is the wall clock of its beginning."""
    return f"{prefix}_{_counted(suffix, number, at)}{EXTENSIONS[container]}"


def init_key(prefix: str, number: int | None = None) -> str:
    """Return the key of what initialises the fMP4 segments of a part; `number`: of the first segment that needs another one."""
    return f"{prefix}_init.mp4" if number is None else f"{prefix}_init_{number:05d}.mp4"


def _counted(suffix: SegmentSuffix, number: int, at: datetime) -> str:
    if suffix == "INDEX":
        return f"{number:05d}"
    return f"{at.astimezone(UTC):%Y%m%d%H%M%S}{at.microsecond // 1000:03d}"


def relative_to(playlist: str, key: str) -> str:
    """Return how a playlist calls an object that lies in its directory or below."""
    directory = playlist.rpartition("/")[0]
    return key.removeprefix(f"{directory}/") if directory else key


def unfit_durations(durations: Sequence[int]) -> str:
    """Return why several outputs cannot have these segment durations, "" when they can: they share the key frames."""
    least = min(durations, default=1)
    odd = [duration for duration in durations if duration % least]
    if not odd:
        return ""
    return (
        f"segmentDuration {odd[0]} is no multiple of the smallest one, {least}: all outputs share the key frames of one"
        f" encoding, so use {least}, {2 * least}, {3 * least} …"
    )


def directory_name(index: int) -> str:
    """Return the name of the directory of HLS output `index` below a part's scratch directory."""
    return f"segments-{index}"
