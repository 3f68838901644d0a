"""Owns `segmentOutputs` of a spec, LiveKit's SegmentedFileOutput, and what of it goes together with the other outputs. Pure."""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

from pydantic import ConfigDict, Field

from egress_operator.api_parts import name_rule
from egress_operator.api_storage import BackupStorage, Place, at_most_one, brief_places
from egress_operator.schema import rule
from egress_recorder.contract import (
    DEFAULT_SEGMENT_DURATION,
    LONGEST_SEGMENT_DURATION,
    SegmentContainer,
    SegmentNames,
    SegmentSuffix,
    segment_names,
)

MAX_STORED = 10
_DIRECTORY = "{0}.substring(0, {0}.lastIndexOf('/'))"
_LIVE_DIRECTORY = _DIRECTORY.format("self.livePlaylistName")
_MAIN_DIRECTORY = _DIRECTORY.format("self.playlistName")


_RULES = [
    at_most_one("segmentOutputs"),
    rule(
        "!has(self.livePlaylistName) || !self.livePlaylistName.contains('/') || (has(self.playlistName)"
        f" && self.playlistName.contains('/') && {_LIVE_DIRECTORY} == {_MAIN_DIRECTORY})",
        "livePlaylistName must be in the directory of playlistName: write it without a directory",
    ),
    rule(
        "!has(self.livePlaylistName) || !has(self.playlistName) || self.livePlaylistName != self.playlistName",
        "livePlaylistName cannot be the same as playlistName: choose another one",
    ),
]


class SegmentOutput(Place):
    """LiveKit's SegmentedFileOutput: HLS, segments and playlists to one destination, while it is recorded."""

    model_config = ConfigDict(json_schema_extra=partial(brief_places, _RULES))

    protocol: Literal["DEFAULT_SEGMENTED_FILE_PROTOCOL", "HLS_PROTOCOL", "HLS_FMP4_PROTOCOL"] | None = Field(
        default=None,
        description="LiveKit's SegmentedFileProtocol. HLS_PROTOCOL (default): segments are MPEG-TS; HLS_FMP4_PROTOCOL:"
        " fragmented MP4.",
    )
    filename_prefix: str | None = Field(
        default=None,
        max_length=512,
        description="How the segments begin; absent: the playlist's name. Tokens as in filepath (docs/names.md).",
        json_schema_extra=name_rule("filenamePrefix"),
    )
    playlist_name: str | None = Field(
        default=None,
        max_length=512,
        description="Of the playlist of everything (EVENT); absent: filenamePrefix, and without that {room_name}-{time}.",
        json_schema_extra=name_rule("playlistName"),
    )
    live_playlist_name: str | None = Field(
        default=None,
        max_length=512,
        description="Of a second playlist in the same directory with the newest five segments; absent: none.",
        json_schema_extra=name_rule("livePlaylistName"),
    )
    segment_duration: int | None = Field(
        default=None,
        ge=0,
        le=LONGEST_SEGMENT_DURATION,
        description=f"Seconds; absent or 0: {DEFAULT_SEGMENT_DURATION}. Beside streamOutputs at most advanced.keyFrameInterval.",
    )
    filename_suffix: Literal[get_args(SegmentSuffix)] | None = Field(  # type: ignore[valid-type]
        default=None,
        description="LiveKit's SegmentedFileSuffix. INDEX (default): _00000; TIMESTAMP: _ and the UTC of its beginning,"
        " YYYYMMDDhhmmssmmm.",
    )
    disable_manifest: bool | None = Field(
        default=None, description="True: no manifest {egressId}.json beside the playlist."
    )
    backup_storage: BackupStorage | None = Field(
        default=None,
        description="As storage: where segments go, with a playlist of their own, when their storage refuses them or does"
        " not answer within uploadTimeout. Absent: the operator's backup storage, if it has one.",
    )

    @property
    def names(self) -> SegmentNames:
        """Playlists and prefix by LiveKit's rules, tokens not filled in. Raises ValueError for a misplaced live playlist."""
        return segment_names(
            self.filename_prefix or "", self.playlist_name or "", self.live_playlist_name or ""
        )

    @property
    def seconds(self) -> int:
        """Of a segment."""
        return self.segment_duration or DEFAULT_SEGMENT_DURATION

    @property
    def container(self) -> SegmentContainer:
        """Of the segments."""
        return "FMP4" if self.protocol == "HLS_FMP4_PROTOCOL" else "TS"


def _seconds(output: str) -> str:
    said = f"{output}.segmentDuration"
    return f"(has({said}) && {said} > 0 ? {said} : {DEFAULT_SEGMENT_DURATION})"


HAS_OUTPUT = rule(
    "has(self.fileOutputs) || has(self.segmentOutputs) || has(self.imageOutputs)"
    " || (has(self.streamOutputs) && self.streamOutputs.size() > 0)",
    "a recording needs an output: set fileOutputs, segmentOutputs, imageOutputs or streamOutputs",
)
AT_MOST_TEN = rule(
    " + ".join(
        f"(has(self.{outputs}) ? self.{outputs}.size() : 0)"
        for outputs in ("fileOutputs", "segmentOutputs", "imageOutputs")
    )
    + f" <= {MAX_STORED}",
    f"fileOutputs, segmentOutputs and imageOutputs take {MAX_STORED} entries together: use a second resource for the others",
)
DURATIONS = rule(
    "!has(self.segmentOutputs) || self.segmentOutputs.exists(least,"
    f" self.segmentOutputs.all(output, {_seconds('output')} % {_seconds('least')} == 0))",
    "segmentOutputs: each segmentDuration must be a multiple of the smallest one, because all share the key frames of one"
    " encoding: use for example 4 and 8",
)
OUTPUT_RULES = (HAS_OUTPUT, AT_MOST_TEN, DURATIONS)
