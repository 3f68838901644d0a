"""Owns what the contract says of image outputs: their configuration, result and place in the manifest. `contract.py` gives them to both sides."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from egress_recorder.destinations import Destination
from egress_recorder.imaging import (
    DEFAULT_CAPTURE_INTERVAL,
    LARGEST_SIDE,
    LONGEST_CAPTURE_INTERVAL,
    OVERWRITE,
    ImageCodec,
    ImageSuffix,
)
from egress_recorder.wire import WireModel


class ImageOutputConfig(WireModel):
    """One image output. `prefix` is resolved by the operator as far as it can."""

    SINCE: ClassVar[int] = 2

    prefix: str = Field(description="of the keys in the destination: number or time and extension follow")
    codec: ImageCodec = "JPEG"
    interval: int = Field(
        default=DEFAULT_CAPTURE_INTERVAL, ge=1, le=LONGEST_CAPTURE_INTERVAL, description="seconds"
    )
    width: int = Field(default=0, ge=0, le=LARGEST_SIDE, description="pixels, 0: as the source is")
    height: int = Field(default=0, ge=0, le=LARGEST_SIDE, description="pixels, 0: as the source is")
    suffix: ImageSuffix = "IMAGE_SUFFIX_INDEX"
    destination: Destination
    disable_manifest: bool = False
    backup: Destination | None = None

    @property
    def filepath(self) -> str:
        """The prefix: its directory is the output's."""
        return self.prefix

    @property
    def overwrite(self) -> bool:
        """Whether each image takes the place of the one before."""
        return self.suffix == OVERWRITE

    @property
    def presigned_expires(self) -> float | None:
        """Never: a URL per image would outgrow the status."""
        return None


class ImageResult(WireModel):
    """LiveKit's ImagesInfo: one per image output, of the whole recording."""

    filename_prefix: str
    image_count: int = Field(default=0, description="images that are in the storage")
    started_at: datetime | None = Field(default=None, description="of the first image")
    ended_at: datetime | None = Field(default=None, description="of the last image")


class ManifestImage(WireModel):
    """LiveKit's Image (E:pkg/config/manifest.go): an image that is in the storage, and whose output it is."""

    filename: str
    timestamp: datetime
    location: str
    output: int = Field(default=0, description="index in imageOutputs")
    number: int = Field(default=0, description="counts the output's images from 0")
