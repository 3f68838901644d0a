"""Owns the account of a recording's images: how many each output has, the next number, what the manifest lists. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from egress_recorder.contract import ImageResult, ManifestImage
from egress_recorder.manifest import LISTED_IMAGES


@dataclass(slots=True)
class _Account:
    next_number: int = 0
    prefix: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    listed: deque[ManifestImage] = field(default_factory=lambda: deque(maxlen=LISTED_IMAGES))


class ImageLedger:
    """Counts the images that are stored, per output; an earlier recorder's numbers go on."""

    def __init__(self, prior: Sequence[ImageResult], *, outputs: int) -> None:
        """`prior`: of each output, as far as the operator knows it."""
        self._outputs = [_Account() for _ in range(outputs)]
        for account, known in zip(self._outputs, prior, strict=False):
            account.next_number, account.prefix = known.image_count, known.filename_prefix
            account.started_at, account.ended_at = known.started_at, known.ended_at

    def adopt(self, images: Iterable[ManifestImage]) -> None:
        """Take over what an earlier recorder's manifest lists; before the first own image."""
        known = {image.location for account in self._outputs for image in account.listed}
        for image in images:
            if image.location in known or not 0 <= image.output < len(self._outputs):
                continue
            account = self._outputs[image.output]
            account.listed.append(image)
            account.next_number = max(account.next_number, image.number + 1)
            self._widen(account, image.timestamp)

    def next_number(self, output: int) -> int:
        """Return the number of the image that comes next."""
        return self._outputs[output].next_number

    def stored(
        self, output: int, *, number: int, prefix: str, key: str, location: str, at: datetime, replaces: bool
    ) -> None:
        """Note an image that is in its storage. `replaces`: in place of the one before."""
        account = self._outputs[output]
        if replaces:
            account.listed.clear()
        account.listed.append(
            ManifestImage(filename=key, timestamp=at, location=location, output=output, number=number)
        )
        account.next_number = number + 1
        account.prefix = prefix
        self._widen(account, at)

    @staticmethod
    def _widen(account: _Account, at: datetime) -> None:
        account.started_at = min(account.started_at or at, at)
        account.ended_at = max(account.ended_at or at, at)

    def results(self) -> tuple[ImageResult, ...]:
        """LiveKit's ImagesInfo of each output; empty before the first image."""
        if not any(account.next_number for account in self._outputs):
            return ()
        return tuple(
            ImageResult(
                filename_prefix=account.prefix,
                image_count=account.next_number,
                started_at=account.started_at,
                ended_at=account.ended_at,
            )
            for account in self._outputs
        )

    def listed(self) -> tuple[ManifestImage, ...]:
        """What the manifest says: the newest images of each output."""
        return tuple(image for account in self._outputs for image in account.listed)
