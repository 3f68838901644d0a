"""Owns what images are: types, sizes, when one is due, what it is called. Pure; the capture process imports it too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

ImageCodec = Literal["JPEG", "PNG", "WEBP"]
ImageSuffix = Literal["IMAGE_SUFFIX_INDEX", "IMAGE_SUFFIX_TIMESTAMP", "IMAGE_SUFFIX_NONE_OVERWRITE"]
"""LiveKit's ImageFileSuffix."""

DEFAULT_CAPTURE_INTERVAL = 10
"""Seconds; LiveKit's (reference livekit-egress.md §3.7)."""
LONGEST_CAPTURE_INTERVAL = 86400
LARGEST_SIDE = 4096
"""Pixels."""
OVERWRITE: ImageSuffix = "IMAGE_SUFFIX_NONE_OVERWRITE"
IMAGE_FILES = "image-"
"""How the names of images in the scratch directory begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageKind:
    """How images of a type are called; the extension of JPEG is LiveKit's."""

    extension: str
    content_type: str


IMAGE_KINDS: Mapping[ImageCodec, ImageKind] = {
    "JPEG": ImageKind(extension=".jpeg", content_type="image/jpeg"),
    "PNG": ImageKind(extension=".png", content_type="image/png"),
    "WEBP": ImageKind(extension=".webp", content_type="image/webp"),
}


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """What the capture process is asked for. `width` and `height` are pixels, 0: as the source is."""

    interval: int = DEFAULT_CAPTURE_INTERVAL
    """Seconds."""
    codec: ImageCodec = "JPEG"
    width: int = 0
    height: int = 0


_EXTENSIONS = "|".join(re.escape(kind.extension) for kind in IMAGE_KINDS.values())
_SCRATCH_NAME = re.compile(rf"{IMAGE_FILES}([0-9]+)-[0-9]+({_EXTENSIONS})")


def image_key(prefix: str, *, suffix: ImageSuffix, codec: ImageCodec, number: int, at: datetime) -> str:
    """Return LiveKit's name of an image (E:pkg/pipeline/builder/image.go); `number` from 0, `at` when it was shown."""
    extension = IMAGE_KINDS[codec].extension
    if suffix == "IMAGE_SUFFIX_INDEX":
        return f"{prefix}_{number:05d}{extension}"
    if suffix == "IMAGE_SUFFIX_TIMESTAMP":
        return f"{prefix}_{at.astimezone(UTC).strftime('%Y%m%d%H%M%S%f')[:-3]}{extension}"
    return f"{prefix}{extension}"


def scratch_name(output: int, number: int, codec: ImageCodec) -> str:
    """Return the name of an image in the scratch directory, whole; while it grows another extension follows."""
    return f"{IMAGE_FILES}{output}-{number:06d}{IMAGE_KINDS[codec].extension}"


def output_of(name: str) -> int | None:
    """Return whose image a file of the scratch directory is, None when it is not a whole one."""
    match = _SCRATCH_NAME.fullmatch(name)
    return None if match is None else int(match.group(1))


def image_size(source: tuple[int, int], wanted: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of an image: both even, at least 16. A side of 0 follows from the other one, or the source."""
    width, height = wanted
    if not width and not height:
        width, height = source
    elif not width:
        width = round(height * source[0] / source[1])
    elif not height:
        height = round(width * source[1] / source[0])
    return _even(width), _even(height)


def _even(side: int) -> int:
    return max(16, min(side, LARGEST_SIDE) & ~1)
