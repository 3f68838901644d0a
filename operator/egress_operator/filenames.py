"""Owns types and names of a recording's files, as far as the operator knows them: resolved once, refused when wrong. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from egress_operator.api import ParticipantEgressSpec, Spec, TrackCompositeEgressSpec
from egress_operator.model import Document, Recording
from egress_operator.units import parse_time
from egress_recorder.contract import (
    DEFAULT_FILETYPE,
    FILE_KINDS,
    PLAYLIST_EXTENSION,
    ContractError,
    FileType,
    NameValues,
    default_type,
    part_filename,
    part_playlist,
    refuse_meaningless,
    resolve_filepath,
    resolve_prefix,
    tokens_of,
)


def resolve_names(recording: Recording, facts: Document) -> None:
    """Resolve the outputs' names once and keep them in `facts["resolved"]`; later parts find them there.

    Raises ValueError with a sentence where a name cannot be right; the schema has refused most of these.
    """
    spec = recording.spec
    assert spec is not None
    resolved = facts["resolved"]
    if "filepaths" in resolved or "segments" in resolved:
        return
    track_id, track_type = _one_track(spec)
    values = NameValues(
        room_name=spec.room_name,
        room_id=facts.get("roomId") or None,
        requested_at=parse_time(resolved["requestedAt"]),
        publisher_identity=spec.identity if isinstance(spec, ParticipantEgressSpec) else None,
        egress_id=facts["egressId"],
        namespace=recording.key.namespace,
        name=recording.key.name,
        track_id=track_id,
        track_type=track_type,
    )
    types, paths = file_types(spec), []
    for index, (output, file_type) in enumerate(zip(spec.file_outputs, types, strict=True)):
        try:
            refuse_meaningless(output.filepath or "", one_track=track_id is not None, resource=True)
            paths.append(resolve_filepath(output.filepath or "", values, FILE_KINDS[file_type].extension))
        except ContractError as error:
            raise ValueError(f"spec.fileOutputs[{index}]: {error}") from None
    segments = [_segments(spec, index, values) for index in range(len(spec.segment_outputs))]
    if paths:
        resolved["filepaths"], resolved["fileTypes"] = paths, types
    if segments:
        resolved["segments"] = segments


def _segments(spec: Spec, index: int, values: NameValues) -> Document:
    """Return the names of one HLS output, under LiveKit's names of the fields. Raises ValueError."""
    output = spec.segment_outputs[index]
    try:
        names = output.names
        for path in (names.playlist, names.prefix, names.live):
            refuse_meaningless(path, one_track=values.track_id is not None, resource=True)
        resolved = {
            "playlistName": resolve_filepath(names.playlist, values, PLAYLIST_EXTENSION),
            "filenamePrefix": resolve_prefix(names.prefix, values),
        }
        if names.live:
            resolved["livePlaylistName"] = resolve_filepath(names.live, values, PLAYLIST_EXTENSION)
    except (ContractError, ValueError) as error:
        raise ValueError(f"{spec.name_of(len(spec.file_outputs) + index)}: {error}") from None
    return resolved


def output_names(resolved: Mapping[str, Any]) -> list[str]:
    """Return the name of each output by its number: of a file its path, of segments their playlist."""
    playlists = (names["playlistName"] for names in resolved.get("segments") or ())
    return [*(resolved.get("filepaths") or ()), *playlists]


def part_names(resolved: Mapping[str, Any], part: int) -> list[str | None]:
    """Return the name of each output in a part; None where only the recorder learns what a token stands for."""
    files = [part_filename(path, part) for path in resolved.get("filepaths") or ()]
    playlists = [part_playlist(names["playlistName"], part) for names in resolved.get("segments") or ()]
    return [None if tokens_of(name) else name for name in (*files, *playlists)]


def file_types(spec: Spec) -> list[FileType]:
    """Return the type of each output, as LiveKit chooses it where none is said (reference livekit-egress.md §3.1)."""
    pictures = not isinstance(spec, TrackCompositeEgressSpec) or bool(spec.video_track_id)
    codec = (spec.advanced and spec.advanced.audio_codec) or ""
    chosen = default_type(pictures=pictures, codec=codec)
    said = (output.file_type for output in spec.file_outputs)
    return [chosen if name in {None, DEFAULT_FILETYPE} else name for name in said]


def refuse_same_names(facts: Mapping[str, Any]) -> None:
    """Raise ValueError where two outputs have one name at one destination: only one file could have it."""
    resolved = facts["resolved"]
    seen: dict[str, int] = {}
    names = output_names(resolved)
    for index, (path, place) in enumerate(zip(names, resolved["storage"], strict=True)):
        where = {name: value for name, value in place.items() if name not in {"origin", "backup"}}
        first = seen.setdefault(json.dumps([path, where], sort_keys=True), index)
        if first != index:
            raise ValueError(
                f"{_said(resolved, index)} gives {path}, as {_said(resolved, first, field=False)} does at the same"
                " destination: name them differently"
            )


def _said(resolved: Mapping[str, Any], output: int, *, field: bool = True) -> str:
    files = len(resolved.get("filepaths") or ())
    if output < files:
        return f"spec.fileOutputs[{output}]{'.filepath' * field}"
    return f"spec.segmentOutputs[{output - files}]{'.playlistName' * field}"


def _one_track(spec: Spec) -> tuple[str | None, str | None]:
    """Return id and type of the track where exactly one is recorded."""
    if not isinstance(spec, TrackCompositeEgressSpec) or (spec.audio_track_id and spec.video_track_id):
        return None, None
    return spec.audio_track_id or spec.video_track_id, "audio" if spec.audio_track_id else "video"
