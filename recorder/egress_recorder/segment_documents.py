"""Owns what the contract says of HLS outputs: their configuration, result and place in the manifest. `contract.py` gives them to both sides."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import Field

from egress_recorder.destinations import Destination
from egress_recorder.segmentation import (
    DEFAULT_SEGMENT_DURATION,
    LONGEST_SEGMENT_DURATION,
    SegmentContainer,
    SegmentSuffix,
)
from egress_recorder.wire import WireModel


class SegmentOutputConfig(WireModel):
    """One HLS output. Names are keys in the destination, resolved by the operator as far as it can."""

    SINCE: ClassVar[int] = 2

    playlist: str = Field(description="with extension")
    prefix: str = Field(description="of segments: number and extension follow")
    live_playlist: str = Field(default="", description="empty: none is wanted")
    container: SegmentContainer = "TS"
    duration: int = Field(
        default=DEFAULT_SEGMENT_DURATION, ge=1, le=LONGEST_SEGMENT_DURATION, description="seconds"
    )
    suffix: SegmentSuffix = "INDEX"
    destination: Destination
    disable_manifest: bool = False
    backup: Destination | None = None

    @property
    def filepath(self) -> str:
        """The playlist: its directory is the output's."""
        return self.playlist

    @property
    def overwrite(self) -> bool:
        """Never: what is there stays."""
        return False

    @property
    def presigned_expires(self) -> float | None:
        """A playlist names its segments; signed URLs of it alone would open nothing."""
        return None


class SegmentResult(WireModel):
    """LiveKit's SegmentsInfo: one per HLS output, of the whole recording."""

    playlist_name: str
    playlist_location: str = ""
    live_playlist_name: str = ""
    live_playlist_location: str = ""
    segment_count: int = 0
    duration: float = 0.0
    size: int = Field(default=0, description="bytes of all segments")
    started_at: datetime | None = None
    ended_at: datetime | None = None


class ManifestSegment(WireModel):
    """LiveKit's File of a playlist (E:pkg/config/manifest.go): a segment that is in the storage."""

    filename: str
    location: str


class ManifestPlaylist(WireModel):
    """LiveKit's Playlist, and whose output it is."""

    location: str
    output: int = Field(default=0, description="index in segmentOutputs")
    segments: tuple[ManifestSegment, ...] = ()
