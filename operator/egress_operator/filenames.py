"""Owns types and names of a recording's outputs, as far as the operator knows them: resolved once, refused when wrong. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

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
    continued_name,
    default_type,
    image_prefix,
    part_filename,
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
    if is_named(resolved):
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
    images = [_images(spec, index, values) for index in range(len(spec.image_outputs))]
    if paths:
        resolved["filepaths"], resolved["fileTypes"] = paths, types
    if segments:
        resolved["segments"] = segments
    if images:
        resolved["images"] = images


def is_named(resolved: Mapping[str, Any]) -> bool:
    """Return True when the names were resolved before; streams alone have none."""
    return any(name in resolved for name in ("filepaths", "segments", "images"))


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


def _images(spec: Spec, index: int, values: NameValues) -> Document:
    """Return the names of one image output, as `_segments`. Raises ValueError."""
    prefix = spec.image_outputs[index].filename_prefix or ""
    try:
        refuse_meaningless(prefix, one_track=values.track_id is not None, resource=True)
        return {"filenamePrefix": image_prefix(prefix, values)}
    except ContractError as error:
        raise ValueError(f"spec.imageOutputs[{index}]: {error}") from None


def part_names(resolved: Mapping[str, Any], part: int) -> list[str | None]:
    """Return the name of each file and playlist in a part; None where only the recorder learns what a token stands for."""
    files = [part_filename(path, part) for path in resolved.get("filepaths") or ()]
    playlists = [continued_name(names["playlistName"], part) for names in resolved.get("segments") or ()]
    return [None if tokens_of(name) else name for name in (*files, *playlists)]


def file_types(spec: Spec) -> list[FileType]:
    """Return the type of each output, as LiveKit chooses it where none is said (reference livekit-egress.md §3.1)."""
    pictures = not isinstance(spec, TrackCompositeEgressSpec) or bool(spec.video_track_id)
    codec = (spec.advanced and spec.advanced.audio_codec) or ""
    chosen = default_type(pictures=pictures, codec=codec)
    said = (output.file_type for output in spec.file_outputs)
    return [chosen if name in {None, DEFAULT_FILETYPE} else name for name in said]


def refuse_same_names(spec: Spec, facts: Mapping[str, Any]) -> None:
    """Raise ValueError where two outputs have one name at one destination: only one of them could have it."""
    resolved = facts["resolved"]
    seen: dict[str, str] = {}
    for names, place in zip(_named(spec, resolved), resolved["storage"], strict=True):
        where = {name: value for name, value in place.items() if name not in {"origin", "backup"}}
        for one in names:
            first = seen.setdefault(json.dumps([one.what, one.name, where], sort_keys=True), one.field)
            if first != one.field:
                raise ValueError(
                    f"{one.field} gives {one.name}, as {first} does at the same destination: name them differently"
                )


class _Named(NamedTuple):
    """A name of an output; those of two `what` differ by what is appended to them."""

    field: str
    what: str
    name: str


def _named(spec: Spec, resolved: Mapping[str, Any]) -> Iterator[list[_Named]]:
    """Yield the names of each output: of one of segments both playlists, and how its segments begin."""
    for index, path in enumerate(resolved.get("filepaths") or ()):
        yield [_Named(f"spec.fileOutputs[{index}].filepath", "object", path)]
    for index, names in enumerate(resolved.get("segments") or ()):
        output = f"spec.segmentOutputs[{index}]"
        playlists = [
            _Named(f"{output}.{field}", "object", names[field])
            for field in ("playlistName", "livePlaylistName")
            if field in names
        ]
        segments = f"{spec.segment_outputs[index].container} segments"
        yield [*playlists, _Named(f"{output}.filenamePrefix", segments, names["filenamePrefix"])]
    # Whatever their suffix and type: a person tells the images of two outputs apart by their prefix.
    for index, names in enumerate(resolved.get("images") or ()):
        yield [_Named(f"spec.imageOutputs[{index}].filenamePrefix", "images", names["filenamePrefix"])]


def _one_track(spec: Spec) -> tuple[str | None, str | None]:
    """Return id and type of the track where exactly one is recorded."""
    if not isinstance(spec, TrackCompositeEgressSpec) or (spec.audio_track_id and spec.video_track_id):
        return None, None
    return spec.audio_track_id or spec.video_track_id, "audio" if spec.audio_track_id else "video"
