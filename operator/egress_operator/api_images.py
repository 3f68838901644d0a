"""Owns `imageOutputs` of a spec, LiveKit's ImageOutput, and what of it goes together with the other outputs. Pure."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal, get_args

from pydantic import ConfigDict, Field

from egress_operator.api_parts import name_rule
from egress_operator.api_storage import BackupStorage, Place, at_most_one, brief_places
from egress_operator.schema import rule
from egress_recorder.contract import (
    DEFAULT_CAPTURE_INTERVAL,
    LARGEST_SIDE,
    LONGEST_CAPTURE_INTERVAL,
    ImageCodec,
    ImageSuffix,
)

_CODECS: Final[dict[str, ImageCodec]] = {
    "IC_DEFAULT": "JPEG",
    "IC_JPEG": "JPEG",
    "IC_PNG": "PNG",
    "IC_WEBP": "WEBP",
}


class ImageOutput(Place):
    """LiveKit's ImageOutput: a picture every few seconds, to one destination, while it is recorded."""

    model_config = ConfigDict(json_schema_extra=partial(brief_places, [at_most_one("imageOutputs")]))

    capture_interval: int | None = Field(
        default=None,
        ge=0,
        le=LONGEST_CAPTURE_INTERVAL,
        description=f"Seconds between two images; absent or 0: {DEFAULT_CAPTURE_INTERVAL}.",
    )
    width: int | None = Field(
        default=None,
        ge=0,
        le=LARGEST_SIDE,
        description="Pixels, made even; absent or 0: as the source is, or as height asks for.",
    )
    height: int | None = Field(
        default=None,
        ge=0,
        le=LARGEST_SIDE,
        description="Pixels, made even; absent or 0: as the source is, or as width asks for.",
    )
    filename_prefix: str | None = Field(
        default=None,
        max_length=512,
        description="How the images begin; absent or ending in /: {room_name}-{time} is appended. Tokens as in filepath"
        " (docs/names.md).",
        json_schema_extra=name_rule("filenamePrefix"),
    )
    filename_suffix: Literal[get_args(ImageSuffix)] | None = Field(  # type: ignore[valid-type]
        default=None,
        description="LiveKit's ImageFileSuffix. IMAGE_SUFFIX_INDEX (default): _00000; IMAGE_SUFFIX_TIMESTAMP: _ and the UTC"
        " of the picture, YYYYMMDDhhmmssmmm; IMAGE_SUFFIX_NONE_OVERWRITE: none, each image takes the place of the one before.",
    )
    image_codec: Literal[tuple(_CODECS)] | None = Field(  # type: ignore[valid-type]
        default=None,
        description="LiveKit's ImageCodec, IC_JPEG by default; IC_PNG and IC_WEBP are of ours.",
    )
    disable_manifest: bool | None = Field(
        default=None, description="True: no manifest {egressId}.json beside the images."
    )
    backup_storage: BackupStorage | None = Field(
        default=None,
        description="As storage: where images go when their storage refuses them or does not answer within uploadTimeout."
        " Absent: the operator's backup storage, if it has one.",
    )

    @property
    def interval(self) -> int:
        """Seconds."""
        return self.capture_interval or DEFAULT_CAPTURE_INTERVAL

    @property
    def codec(self) -> ImageCodec:
        """The type of the images."""
        return _CODECS[self.image_codec or "IC_DEFAULT"]


NEED_VIDEO = rule(
    "!has(self.imageOutputs) || has(self.videoTrackId)",
    "imageOutputs: only an audio track is recorded, of which there are no images: set videoTrackId, or remove imageOutputs",
)
