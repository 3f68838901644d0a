"""Owns the shape of status: LiveKit's EgressInfo and what Kubernetes tools read; only the schema is made of it. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from egress_operator.schema import ApiModel

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Phase = Literal["Pending", "Starting", "Active", "Ending", "Complete", "Failed", "Aborted", "LimitReached"]
TERMINAL_PHASES = frozenset({"Complete", "Failed", "Aborted", "LimitReached"})
LIST_LIMIT = 50
"""Newest entries of parts and gaps that status keeps; all of them are in the manifest beside the media."""

_Name = Annotated[str, Field(max_length=1024)]
_Location = Annotated[str, Field(max_length=4096)]
_Message = Annotated[str, Field(max_length=32768)]
_Duration = Annotated[str, Field(max_length=32)]
_Destination = Annotated[
    dict[str, Any] | None,
    Field(description="As in the spec.", json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
]


class FileInfo(ApiModel):
    """LiveKit's FileInfo."""

    filename: _Name | None = None
    location: _Location | None = Field(
        default=None, description="Where the file is. With presignedLocations a URL that reads it: a secret."
    )
    started_at: Time | None = None
    ended_at: Time | None = None
    duration: _Duration | None = None
    size: int | None = Field(default=None, json_schema_extra={"format": "int64"})


class StreamInfo(ApiModel):
    """LiveKit's StreamInfo."""

    key: _Name = Field(description="Names the stream in this recording.")
    id: _Name | None = Field(default=None, description="Of the destination.")
    output: int | None = Field(default=None, description="Index in spec.streamOutputs.")
    url: _Name | None = Field(default=None, description="Without its key.")
    status: Literal["ACTIVE", "FINISHED", "FAILED"]
    started_at: Time | None = Field(default=None, description="When a receiver took it first.")
    ended_at: Time | None = None
    duration: _Duration | None = None
    error: _Message | None = None
    retries: int | None = None
    last_retry_at: Time | None = None


class PartInfo(FileInfo):
    """One file of one recorder; of an HLS output its playlist, with what this part added to it.

    Where streams or images are all, a recorder has one without a filename: it says when media was recorded.
    """

    part: int
    output: int = Field(
        description="Number of the output: those of spec.fileOutputs, then spec.segmentOutputs."
    )
    end_reason: _Name | None = Field(default=None, description="Why the file ended.")


class SegmentsInfo(ApiModel):
    """LiveKit's SegmentsInfo, of the whole recording."""

    playlist_name: _Name | None = None
    playlist_location: _Name | None = None
    live_playlist_name: _Name | None = None
    live_playlist_location: _Name | None = None
    segment_count: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    started_at: Time | None = None
    ended_at: Time | None = None
    duration: _Duration | None = None
    size: int | None = Field(
        default=None, description="Bytes of all segments.", json_schema_extra={"format": "int64"}
    )


class SegmentNamesInfo(ApiModel):
    """How an HLS output's objects are called; numbers and extensions follow the prefix."""

    playlist_name: _Name | None = None
    filename_prefix: _Name | None = None
    live_playlist_name: _Name | None = None


class ImagesInfo(ApiModel):
    """LiveKit's ImagesInfo, of the whole recording."""

    filename_prefix: _Name | None = None
    image_count: int | None = Field(
        default=None, description="Images that are in the storage.", json_schema_extra={"format": "int64"}
    )
    started_at: Time | None = Field(default=None, description="Of the first image.")
    ended_at: Time | None = Field(default=None, description="Of the last image.")


class ImageNamesInfo(ApiModel):
    """How an image output's objects begin; number or time and extension follow."""

    filename_prefix: _Name | None = None


class GapInfo(ApiModel):
    """Time that is in no file, and of a recording without files: in no stream or image."""

    started_at: Time
    duration: _Duration
    reason: _Name


class TrackInfo(ApiModel):
    """A subscribed track."""

    sid: _Name
    kind: _Name | None = None
    source: _Name | None = None
    codec: _Name | None = None
    width: int | None = None
    height: int | None = None
    muted: bool | None = None


class ProgressInfo(ApiModel):
    """Numbers of the whole recording so far."""

    duration: _Duration | None = None
    bytes_written: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    bytes_uploaded: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    frames: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    frames_dropped: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    frames_duplicated: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    silence_inserted: _Duration | None = None
    degraded: _Duration | None = Field(
        default=None, description="Media that is worse than asked for: the encoder could not keep up."
    )
    uploads_after_end: bool | None = Field(
        default=None,
        description="True: the storage of an output (HTTP PUT, a volume) takes its file only after its end; bytesUploaded"
        " stays behind until then.",
    )


class EncodingInfo(ApiModel):
    """What the file is encoded to; bitrates in kbit/s."""

    width: int | None = None
    height: int | None = None
    framerate: int | None = None
    video_bitrate: int | None = None
    audio_bitrate: int | None = None
    video_codec: _Name | None = None
    audio_codec: _Name | None = None
    audio_frequency: int | None = Field(default=None, description="Hz.")
    key_frame_interval: float | None = Field(default=None, description="Seconds.")


class PlaceInfo(ApiModel):
    """One destination, and who said so."""

    origin: Literal["output", "spec.storage", "operator"]
    s3: _Destination = None
    gcp: _Destination = None
    azure: _Destination = None
    ali_oss: Annotated[_Destination, Field(alias="aliOSS")] = None
    http: _Destination = None
    pvc: _Destination = None


class StorageInfo(PlaceInfo):
    """Where the file of one output goes."""

    backup: PlaceInfo | None = Field(default=None, description="Where it goes when that has failed.")


class ResolvedInfo(ApiModel):
    """What defaults and names came to."""

    requested_at: Time | None = Field(default=None, description="The instant of {time} and {utc}.")
    preset: _Name | None = None
    encoding: EncodingInfo | None = None
    filepaths: Annotated[list[_Name], Field(max_length=10)] | None = None
    file_types: Annotated[list[_Name], Field(max_length=10)] | None = Field(
        default=None, description="Type of each file, as said or chosen."
    )
    segments: Annotated[list[SegmentNamesInfo], Field(max_length=10)] | None = None
    images: Annotated[list[ImageNamesInfo], Field(max_length=10)] | None = None
    storage: Annotated[list[StorageInfo], Field(max_length=10)] | None = Field(
        default=None,
        description="Destination of each output: those of spec.fileOutputs, then spec.segmentOutputs, then spec.imageOutputs.",
    )
    tracks: _Name | None = Field(default=None, description="Track ids, for the printer column.")
    url: _Name | None = Field(default=None, description="LiveKit server.")
    token_expires_at: Time | None = None
    streams_generation: int | None = Field(
        default=None,
        description="Generation of the spec whose streams the recorder was told.",
        json_schema_extra={"format": "int64"},
    )


class Condition(ApiModel):
    """metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(max_length=1024)]
    message: _Message
    last_transition_time: Time
    observed_generation: int | None = Field(default=None, json_schema_extra={"format": "int64"})


class WebhookEventInfo(ApiModel):
    """An event that not every receiver has."""

    sequence: int
    event: _Name
    status: Annotated[_Name, Field(description="LiveKit's status that it tells.")]
    at: Time
    details: _Name | None = None


class WebhookReceiverInfo(ApiModel):
    """How far a receiver has got."""

    receiver: Annotated[
        _Name, Field(description="spec-N: entry N of spec.webhooks; operator-…: one of the operator's.")
    ]
    origin: Annotated[_Name, Field(description="Scheme, host and port of its URL.")]
    sequence: Annotated[int, Field(description="Last event that it has taken, or that was given up.")]
    dropped: int | None = Field(default=None, description="Events that were given up.")
    message: _Name | None = Field(default=None, description="Why the last of them was.")


class WebhooksInfo(ApiModel):
    """Events of this recording and who has got them; written with the other changes, so it may be a little behind."""

    sequence: int = Field(description="Number of the last event.")
    events: Annotated[list[WebhookEventInfo], Field(max_length=8)] | None = None
    receivers: Annotated[list[WebhookReceiverInfo], Field(max_length=32)] | None = None


class EgressStatus(ApiModel):
    """LiveKit's EgressInfo and what Kubernetes tools read."""

    observed_generation: int | None = Field(default=None, json_schema_extra={"format": "int64"})
    egress_id: _Name | None = Field(default=None, description="EG_…")
    phase: Phase | None = None
    message: _Message | None = Field(default=None, description="One sentence on where the recording is.")
    room_id: _Name | None = None
    room_name: _Name | None = None
    started_at: Time | None = Field(default=None, description="First media.")
    ended_at: Time | None = None
    updated_at: Time | None = None
    error: _Message | None = None
    error_code: int | None = Field(default=None, description="HTTP-like code, as LiveKit's.")
    details: _Message | None = Field(default=None, description="End reason, in LiveKit's words.")
    file_results: Annotated[list[FileInfo], Field(max_length=10)] | None = None
    segment_results: Annotated[list[SegmentsInfo], Field(max_length=10)] | None = None
    image_results: Annotated[list[ImagesInfo], Field(max_length=10)] | None = None
    stream_results: Annotated[list[StreamInfo], Field(max_length=LIST_LIMIT)] | None = None
    location: _Location | None = Field(
        default=None,
        description="Where the recording can be found: its newest file, without files (or until the first one is stored) the HLS"
        " playlist, of images alone their prefix. For the printer column.",
    )
    manifest_location: _Name | None = None
    backup_storage_used: bool | None = Field(
        default=None, description="True: a file went to a backup storage, as its location says."
    )
    retry_count: int | None = Field(default=None, description="Recorders started after the first one.")
    job_name: _Name | None = None
    pod_name: _Name | None = None
    part: int | None = Field(default=None, description="Number of the newest Job.")
    next_part_at: Time | None = Field(default=None, description="Back-off before the next recorder.")
    failures: int | None = Field(default=None, description="Recorders in a row that ended without any media.")
    room_waits: int | None = Field(
        default=None,
        description="Parts that do not count: the room was closed before any media, or a pod that never"
        " started was replaced.",
    )
    full_files: int | None = Field(
        default=None,
        description="Parts that do not count either: limits.maxFileDuration ended the file before, and the recorder went on.",
    )
    stop_requested_at: Time | None = Field(default=None, description="The stop is latched since.")
    resolved: ResolvedInfo | None = None
    progress: ProgressInfo | None = None
    tracks: Annotated[list[TrackInfo], Field(max_length=LIST_LIMIT)] | None = None
    parts: Annotated[list[PartInfo], Field(max_length=LIST_LIMIT)] | None = None
    parts_count: int | None = None
    gaps: Annotated[list[GapInfo], Field(max_length=LIST_LIMIT)] | None = None
    gaps_count: int | None = None
    gaps_duration: _Duration | None = Field(default=None, description="Total of all gaps.")
    webhooks: WebhooksInfo | None = None
    conditions: Annotated[list[Condition], Field(max_length=16)] | None = Field(
        default=None,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
