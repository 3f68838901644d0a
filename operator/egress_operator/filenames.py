"""Owns types and names of a recording's files, as far as the operator knows them: resolved once, refused when wrong. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from egress_operator.api import ParticipantEgressSpec, Spec, TrackCompositeEgressSpec
from egress_operator.model import Document, Recording
from egress_operator.units import parse_time
from egress_recorder.contract import (
    DEFAULT_FILETYPE,
    FILE_KINDS,
    ContractError,
    FileType,
    NameValues,
    default_type,
    image_prefix,
    refuse_meaningless,
    resolve_filepath,
)


def resolve_names(recording: Recording, facts: Document) -> None:
    """Resolve the outputs' names once and keep them in `facts["resolved"]`; later parts find them there.

    Raises ValueError with a sentence where a name cannot be right; the schema has refused most of these.
    """
    spec = recording.spec
    assert spec is not None
    resolved = facts["resolved"]
    if "filepaths" in resolved:
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
    images = [_image_names(spec, index, values) for index in range(len(spec.image_outputs))]
    resolved["filepaths"], resolved["fileTypes"] = paths, types
    if images:
        resolved["images"] = images


def _image_names(spec: Spec, index: int, values: NameValues) -> Document:
    """Return the names of one image output, under LiveKit's names of the fields. Raises ValueError."""
    prefix = spec.image_outputs[index].filename_prefix or ""
    try:
        refuse_meaningless(prefix, one_track=values.track_id is not None, resource=True)
        return {"filenamePrefix": image_prefix(prefix, values)}
    except ContractError as error:
        raise ValueError(f"spec.imageOutputs[{index}]: {error}") from None


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
    files = len(resolved["filepaths"])
    _refuse_twice(resolved["filepaths"], resolved["storage"][:files], "fileOutputs", "filepath")
    # Whatever their suffix and type: a person tells the images of two outputs apart by their prefix.
    prefixes = [one["filenamePrefix"] for one in resolved.get("images") or ()]
    _refuse_twice(prefixes, resolved["storage"][files:], "imageOutputs", "filenamePrefix")


def _refuse_twice(
    paths: Sequence[str], places: Sequence[Mapping[str, Any]], outputs: str, field: str
) -> None:
    seen: dict[str, int] = {}
    for index, (path, place) in enumerate(zip(paths, places, strict=True)):
        where = {name: value for name, value in place.items() if name not in {"origin", "backup"}}
        first = seen.setdefault(json.dumps([path, where], sort_keys=True), index)
        if first != index:
            raise ValueError(
                f"spec.{outputs}[{index}].{field} gives {path}, as spec.{outputs}[{first}] does at the same"
                " destination: name them differently"
            )


def _one_track(spec: Spec) -> tuple[str | None, str | None]:
    """Return id and type of the track where exactly one is recorded."""
    if not isinstance(spec, TrackCompositeEgressSpec) or (spec.audio_track_id and spec.video_track_id):
        return None, None
    return spec.audio_track_id or spec.video_track_id, "audio" if spec.audio_track_id else "video"
