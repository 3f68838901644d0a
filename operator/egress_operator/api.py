"""Owns what a user may write: the spec of both kinds as pydantic models with the CEL rules beside the fields. Pure.

Field names are LiveKit's in protobuf-JSON spelling (livekit_egress.proto). A field that a later issue brings is
absent here and therefore refused. Nothing is defaulted in the schema: what was resolved is shown in status.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from egress_operator.api_encoding import Advanced
from egress_operator.api_files import (
    PARTICIPANT_FILES,
    SOUND_FILES,
    VIDEO_TRACK_FILES,
    audio_codec_files,
)
from egress_operator.api_images import NEED_VIDEO, ImageOutput
from egress_operator.api_parts import (
    DEFAULT_MAX_FILE_DURATION,
    DEFAULT_MAX_PARTS,
    FileOutput,
    Limits,
    LiveKit,
    duration_rule,
    no_track_tokens,
)
from egress_operator.api_segments import MAX_STORED, OUTPUT_RULES, SegmentOutput
from egress_operator.api_storage import Storage
from egress_operator.api_streams import MAX_OUTPUTS, STREAMED_SOUND, UNCHANGED, StreamOutput
from egress_operator.api_template import Template
from egress_operator.api_webhooks import MAX_RECEIVERS, WebhookConfig
from egress_operator.names import PARTICIPANT_KIND, TRACK_COMPOSITE_KIND
from egress_operator.schema import ApiModel, camel, rule
from egress_operator.units import parse_duration, parse_quantity
from egress_recorder.contract import PRESETS

DEFAULT_TRACK_TIMEOUT = 30.0
DEFAULT_UPLOAD_TIMEOUT = 3600.0


class EgressSpec(ApiModel):
    """What both kinds have in common."""

    room_name: str = Field(min_length=1, max_length=256, description="Name of the LiveKit room.")
    preset: Literal[tuple(PRESETS)] | None = Field(  # type: ignore[valid-type]
        default=None, description="LiveKit's EncodingOptionsPreset; absent: H264_720P_30."
    )
    advanced: Advanced | None = Field(default=None, description="Instead of preset.")
    file_outputs: list[FileOutput] = Field(
        default=[],
        min_length=1,
        max_length=MAX_STORED,
        description="One file each, of the same capture.",
    )
    segment_outputs: list[SegmentOutput] = Field(
        default=[],
        min_length=1,
        max_length=MAX_STORED,
        description="HLS, of the same capture: segments and playlists, uploaded while it is recorded (docs/outputs/segments.md).",
    )
    image_outputs: list[ImageOutput] = Field(
        default=[],
        min_length=1,
        max_length=MAX_STORED,
        description="Pictures of the same capture, alone or beside others, uploaded while it is recorded (docs/outputs/images.md).",
    )
    stream_outputs: list[StreamOutput] | None = Field(
        default=None,
        max_length=MAX_OUTPUTS,
        description="Live streams of the same capture, alone or beside others (docs/outputs/streams.md).",
    )
    storage: Storage | None = Field(
        default=None,
        description="Destination of each output that names none; absent: the operator's default storage.",
    )
    webhooks: list[WebhookConfig] | None = Field(
        default=None,
        max_length=MAX_RECEIVERS,
        description="Receivers of this recording's events, besides the operator's own.",
    )
    livekit: LiveKit | None = Field(
        default=None, description="LiveKit server and its key; absent: the operator's default connection."
    )
    desired_state: Literal["Recording", "Stopped"] | None = Field(
        default=None, description="Recording (default) or Stopped. A stop is final."
    )
    rejoin_timeout: str | None = Field(
        default=None,
        max_length=32,
        description="How long the recording stays open after the participant left; absent: 0s.",
        json_schema_extra=duration_rule("rejoinTimeout", zero=True),
    )
    upload_timeout: str | None = Field(
        default=None,
        max_length=32,
        description="How long a storage that takes nothing is tried again before the file goes to the backup storage;"
        " absent: 1h.",
        json_schema_extra=duration_rule("uploadTimeout", zero=False),
    )
    limits: Limits | None = None
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=2**31 - 1,
        description="Seconds after the end until the resource and all it owns are deleted; absent: never."
        " A resource that a GitOps tool applies again records again.",
    )
    template: Template | None = None

    @property
    def outputs(self) -> list[FileOutput | SegmentOutput | ImageOutput]:
        """All outputs by their number: files, then segments, then images."""
        return [*self.file_outputs, *self.segment_outputs, *self.image_outputs]

    @property
    def has_files(self) -> bool:
        """False where streams and images are all."""
        return bool(self.file_outputs or self.segment_outputs)

    @property
    def streams_alone(self) -> bool:
        """True where the recording ends with its last stream."""
        return not self.outputs

    @property
    def names_streams(self) -> bool:
        """False while no entry of `urls` or `destinations` is there."""
        return any(output.urls or output.destinations for output in self.stream_outputs or ())

    def name_of(self, output: int) -> str:
        """Return the path of an output in the resource."""
        names = [
            *(f"spec.fileOutputs[{index}]" for index in range(len(self.file_outputs))),
            *(f"spec.segmentOutputs[{index}]" for index in range(len(self.segment_outputs))),
            *(f"spec.imageOutputs[{index}]" for index in range(len(self.image_outputs))),
        ]
        return names[output]

    @property
    def rejoin_seconds(self) -> float:
        """Seconds; default 0."""
        return parse_duration(self.rejoin_timeout) if self.rejoin_timeout else 0.0

    @property
    def upload_seconds(self) -> float:
        """Seconds; default one hour."""
        return parse_duration(self.upload_timeout) if self.upload_timeout else DEFAULT_UPLOAD_TIMEOUT

    @property
    def max_parts(self) -> int:
        """Budget of parts; default 20."""
        return (self.limits and self.limits.max_parts) or DEFAULT_MAX_PARTS

    @property
    def max_duration_seconds(self) -> float | None:
        """Seconds, or None."""
        text = self.limits and self.limits.max_duration
        return parse_duration(text) if text else None

    @property
    def max_file_seconds(self) -> float:
        """Seconds of a file after which the next one begins; default 6 hours."""
        text = self.limits and self.limits.max_file_duration
        return parse_duration(text) if text else DEFAULT_MAX_FILE_DURATION

    @property
    def max_size_bytes(self) -> int | None:
        """Bytes, or None."""
        size = self.limits and self.limits.max_size
        return parse_quantity(size) if size else None

    @property
    def join_seconds(self) -> float | None:
        """Seconds to wait for the participant; None: for ever."""
        return None

    @property
    def track_seconds(self) -> float:
        """Seconds to wait for the tracks (TrackCompositeEgress)."""
        return DEFAULT_TRACK_TIMEOUT

    @model_validator(mode="after")
    def _units_parse(self) -> Self:
        _ = (
            self.rejoin_seconds,
            self.upload_seconds,
            *(one.presigned_locations.seconds for one in self.file_outputs if one.presigned_locations),
            self.max_duration_seconds,
            self.max_file_seconds,
            self.max_size_bytes,
            self.join_seconds,
            self.track_seconds,
        )
        return self


MUTABLE = ("desired_state", "template", "ttl_seconds_after_finished")
_MUTABLE_WORDS = "spec.desiredState, urls and destinations of spec.streamOutputs, spec.template and spec.ttlSecondsAfterFinished"


def _immutable(model_fields: tuple[str, ...]) -> dict[str, Any]:
    fields = [camel(name) for name in model_fields if name not in MUTABLE]
    unchanged = {
        name: f"has(self.{name}) == has(oldSelf.{name})"
        f" && (!has(self.{name}) || self.{name} == oldSelf.{name})"
        for name in fields
    }
    unchanged["streamOutputs"] = UNCHANGED
    # The first changed field is named; naming all of them exceeds the API server's cost budget for expressions.
    culprit = "".join(f"!({unchanged[name]}) ? 'spec.{name}' : " for name in fields) + "'spec'"
    return rule(
        " && ".join(f"({text})" for text in unchanged.values()),
        f"only {_MUTABLE_WORDS} can be changed: create a new resource for another recording",
        messageExpression=f"({culprit}) + ' cannot be changed (only {_MUTABLE_WORDS} can):"
        " create a new resource for another recording'",
    )


_ONE_ENCODING = rule(
    "!(has(self.preset) && has(self.advanced))",
    "preset and advanced exclude each other: remove one of them",
)


class ParticipantEgressSpec(EgressSpec):
    """LiveKit's ParticipantEgressRequest: camera and microphone of one participant, or its screen share."""

    identity: str = Field(min_length=1, max_length=256, description="Identity of the participant.")
    screen_share: bool | None = Field(
        default=None, description="Record the screen share and its audio instead of camera and microphone."
    )
    join_timeout: str | None = Field(
        default=None,
        max_length=32,
        description="How long to wait for the participant; absent: for ever.",
        json_schema_extra=duration_rule("joinTimeout", zero=False),
    )

    @property
    def join_seconds(self) -> float | None:
        """Seconds, or None."""
        return parse_duration(self.join_timeout) if self.join_timeout else None


class TrackCompositeEgressSpec(EgressSpec):
    """LiveKit's TrackCompositeEgressRequest: one audio and/or one video track by id."""

    audio_track_id: str | None = Field(
        default=None, min_length=1, max_length=64, description="Id of an audio track, TR_…"
    )
    video_track_id: str | None = Field(
        default=None, min_length=1, max_length=64, description="Id of a video track, TR_…"
    )
    track_timeout: str | None = Field(
        default=None,
        max_length=32,
        description="How long to wait for the tracks; absent: 30s.",
        json_schema_extra=duration_rule("trackTimeout", zero=False),
    )

    @property
    def track_seconds(self) -> float:
        """Seconds; default 30, as LiveKit."""
        return parse_duration(self.track_timeout) if self.track_timeout else DEFAULT_TRACK_TIMEOUT


Spec = ParticipantEgressSpec | TrackCompositeEgressSpec

SPEC_RULES: dict[str, list[dict[str, Any]]] = {
    PARTICIPANT_KIND: [
        _ONE_ENCODING,
        *OUTPUT_RULES,
        PARTICIPANT_FILES,
        audio_codec_files(),
        STREAMED_SOUND,
        no_track_tokens(
            "a ParticipantEgress records all that its participant publishes: use {publisher_identity}"
        ),
        _immutable(tuple(ParticipantEgressSpec.model_fields)),
    ],
    TRACK_COMPOSITE_KIND: [
        _ONE_ENCODING,
        *OUTPUT_RULES,
        NEED_VIDEO,
        VIDEO_TRACK_FILES,
        SOUND_FILES,
        audio_codec_files(sound_alone="!has(self.videoTrackId)"),
        STREAMED_SOUND,
        rule(
            "has(self.audioTrackId) || has(self.videoTrackId)",
            "a track composite needs a track: set audioTrackId, videoTrackId or both",
        ),
        no_track_tokens(
            "this records two: use {publisher_identity}, or a resource for each track",
            when="has(self.audioTrackId) && has(self.videoTrackId)",
        ),
        _immutable(tuple(TrackCompositeEgressSpec.model_fields)),
    ],
}

SPECS: dict[str, type[ParticipantEgressSpec | TrackCompositeEgressSpec]] = {
    PARTICIPANT_KIND: ParticipantEgressSpec,
    TRACK_COMPOSITE_KIND: TrackCompositeEgressSpec,
}


def parse_spec(kind: str, spec: object) -> Spec:
    """Parse `spec` of an object. Raises ValueError with a sentence without the input's values."""
    try:
        return SPECS[kind].model_validate(spec)
    except ValidationError as error:
        problems = "; ".join(
            f"spec.{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise ValueError(
            f"{problems}: apply the CRDs of this operator's release and correct the field"
        ) from None
