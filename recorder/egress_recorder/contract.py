"""What operator and recorder share: configuration, status, result, manifest, exit codes (names: `naming.py`).

Everything here is a value: no I/O, no clock, no environment. The operator writes `RecorderConfig` into the
recording's Secret and reads `RecorderStatus` (HTTP) and `RecorderResult` (termination message); the recorder does
the reverse. An image of either may be one release older or newer than the other (`versions.py`): each side reads the
versions around its own `CONTRACT_VERSION`, unknown fields are ignored, new fields have defaults, a configuration says
which version it needs at least, and a recorder answers in the version of its configuration.

Units: times are RFC 3339 UTC (`datetime` with a time zone), durations are seconds as `float`, sizes are bytes,
bitrates are kbit/s. Status names are LiveKit's `EgressStatus` without the prefix (livekit_egress.proto).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AliasChoices,
    AliasGenerator,
    ConfigDict,
    Field,
    ValidationError,
    computed_field,
    model_validator,
)

from egress_recorder import versions
from egress_recorder.destinations import (
    AliOssDestination,
    AzureDestination,
    Destination,
    GcpDestination,
    HttpDestination,
    Proxy,
    S3Destination,
    VolumeDestination,
)
from egress_recorder.filetypes import (
    DEFAULT_FILETYPE,
    FILE_KINDS,
    SOUND_ONLY,
    WITH_PICTURES,
    FileType,
    default_type,
    problem,
    types_holding,
)
from egress_recorder.image_documents import ImageOutputConfig, ImageResult, ManifestImage
from egress_recorder.imaging import (
    DEFAULT_CAPTURE_INTERVAL,
    IMAGE_KINDS,
    LARGEST_SIDE,
    LONGEST_CAPTURE_INTERVAL,
    ImageCodec,
    ImageSuffix,
)
from egress_recorder.ipc_streams import StreamTarget
from egress_recorder.naming import (
    PLAYLIST_EXTENSION,
    TOKENS,
    TRACK_TOKENS,
    NameValues,
    continued_name,
    image_prefix,
    in_words,
    is_playlist,
    part_filename,
    refuse_meaningless,
    resolve_filepath,
    resolve_prefix,
    tokens_of,
)
from egress_recorder.segment_documents import (
    ManifestPlaylist,
    ManifestSegment,
    SegmentOutputConfig,
    SegmentResult,
)
from egress_recorder.segmentation import (
    DEFAULT_SEGMENT_DURATION,
    LONGEST_SEGMENT_DURATION,
    SegmentContainer,
    SegmentNames,
    SegmentSuffix,
    segment_names,
    unfit_durations,
)
from egress_recorder.spans import PartMedia
from egress_recorder.streamurls import SCHEMES, StreamProtocol, redact_url, resolve_url
from egress_recorder.vocabulary import (
    LONGEST_KEY_FRAME_INTERVAL,
    OPUS_FREQUENCY,
    AudioCodec,
    AudioFrequency,
    Corrections,
    Degradation,
    Encoding,
    EndReason,
    ErrorCode,
    ExitCode,
    Limits,
    ParticipantSource,
    Phase,
    Progress,
    Track,
    TrackCompositeSource,
    Trouble,
    VideoCodec,
    camel_case,
    wire_form,
)
from egress_recorder.wire import ContractError
from egress_recorder.wire import WireModel as _Model

__all__ = [  # noqa: RUF022 - only what is defined elsewhere and belongs to the contract
    "SCHEMES",
    "StreamProtocol",
    "StreamTarget",
    "redact_url",
    "resolve_url",
    "DEFAULT_FILETYPE",
    "FILE_KINDS",
    "SOUND_ONLY",
    "WITH_PICTURES",
    "FileType",
    "default_type",
    "problem",
    "types_holding",
    "LONGEST_KEY_FRAME_INTERVAL",
    "OPUS_FREQUENCY",
    "AudioCodec",
    "AudioFrequency",
    "Degradation",
    "AliOssDestination",
    "AzureDestination",
    "Destination",
    "GcpDestination",
    "HttpDestination",
    "Proxy",
    "S3Destination",
    "VolumeDestination",
    "Corrections",
    "EndReason",
    "Encoding",
    "ErrorCode",
    "ExitCode",
    "Limits",
    "ParticipantSource",
    "Phase",
    "Progress",
    "Track",
    "TrackCompositeSource",
    "Trouble",
    "VideoCodec",
    "wire_form",
    "ContractError",
    "NameValues",
    "TOKENS",
    "TRACK_TOKENS",
    "in_words",
    "part_filename",
    "continued_name",
    "refuse_meaningless",
    "resolve_filepath",
    "resolve_prefix",
    "tokens_of",
    "PLAYLIST_EXTENSION",
    "is_playlist",
    "DEFAULT_SEGMENT_DURATION",
    "LONGEST_SEGMENT_DURATION",
    "ManifestPlaylist",
    "ManifestSegment",
    "SegmentContainer",
    "SegmentNames",
    "SegmentSuffix",
    "SegmentOutputConfig",
    "SegmentResult",
    "segment_names",
    "unfit_durations",
    "DEFAULT_CAPTURE_INTERVAL",
    "IMAGE_KINDS",
    "LARGEST_SIDE",
    "LONGEST_CAPTURE_INTERVAL",
    "ImageCodec",
    "ImageOutputConfig",
    "ImageResult",
    "ImageSuffix",
    "ManifestImage",
    "image_prefix",
]

CONTRACT_VERSION = 2
SUPPORTED_VERSIONS = versions.supported(CONTRACT_VERSION)

# The directory that the operator mounts into the recorder's pod (one Secret per recording), file by file.
CONFIG_FILE = "config.json"
TOKEN_FILE = "token"  # noqa: S105 - a file name
CONTROL_TOKEN_FILE = "control-token"  # noqa: S105 - a file name
DESIRED_STATE_FILE = "desired-state.json"
STREAMS_FILE = "streams.json"

CONTROL_PORT = 8080
"""TCP port of the recorder's control endpoint in its pod."""

TERMINATION_MESSAGE_LIMIT = 4096
"""Bytes that the kubelet keeps of one container's termination message."""


# ---- facts of a recording, used on both ways ------------------------------------------------------------------


class Part(_Model):
    """One file, or the segments of one HLS output, written by one recorder process. `location` is empty until the upload succeeded.

    A recording of streams or images alone has one per recorder process, without a name: it says when media was recorded.
    """

    part: int = Field(ge=1)
    output: int = Field(default=0, ge=0, description="number of the output: fileOutputs, then segmentOutputs")
    filename: str = Field(description="of segments the playlist; empty: the recording has no file")
    location: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration: float = 0.0
    size: int = 0
    end_reason: str = ""


class StreamResult(_Model):
    """LiveKit's StreamInfo, over all parts of the recording."""

    key: str = Field(description="names the stream in its recording; holds no secret")
    id: str = Field(default="", description="of the destination; empty for a plain URL")
    output: int = Field(default=0, ge=0, description="index in streamOutputs")
    url: str = Field(description="redacted")
    status: Literal["ACTIVE", "FINISHED", "FAILED"] = "ACTIVE"
    started_at: datetime | None = Field(default=None, description="when a receiver took it first")
    ended_at: datetime | None = None
    duration: float = 0.0
    error: str = ""
    retries: int = 0
    last_retry_at: datetime | None = None
    dropped: int = Field(default=0, description="packets left out because the receiver was too slow")


class Gap(_Model):
    """A piece of wall-clock time that is in no file."""

    started_at: datetime
    duration: float
    reason: str


# ---- configuration: operator → recorder ----------------------------------------------------------------------


Source = Annotated[ParticipantSource | TrackCompositeSource, Field(discriminator="kind")]


PRESETS: Mapping[str, Encoding] = {
    "H264_720P_30": Encoding(),
    "H264_720P_60": Encoding(framerate=60, video_bitrate=4500),
    "H264_1080P_30": Encoding(width=1920, height=1080, video_bitrate=4500),
    "H264_1080P_60": Encoding(width=1920, height=1080, framerate=60, video_bitrate=6000),
    "PORTRAIT_H264_720P_30": Encoding(width=720, height=1280),
    "PORTRAIT_H264_720P_60": Encoding(width=720, height=1280, framerate=60, video_bitrate=4500),
    "PORTRAIT_H264_1080P_30": Encoding(width=1080, height=1920, video_bitrate=4500),
    "PORTRAIT_H264_1080P_60": Encoding(width=1080, height=1920, framerate=60, video_bitrate=6000),
}
"""LiveKit's EncodingOptionsPreset (livekit_egress.proto); `H264_720P_30` is also the implicit default."""
DEFAULT_PRESET = "H264_720P_30"


class FileOutputConfig(_Model):
    """One file output. `filepath` is resolved by the operator as far as it can; the recorder does the rest."""

    filepath: str = Field(description="key in the destination with extension, see `resolve_filepath`")
    file_type: FileType = Field(
        default="MP4",
        json_schema_extra={"since": 2},
        description="LiveKit's EncodedFileType, never the default",
    )
    destination: Destination
    disable_manifest: bool = Field(
        default=False, description="LiveKit's: no manifest beside this output's file"
    )
    overwrite: bool = Field(
        default=False,
        description="an object that has the file's name already is replaced",
        json_schema_extra={"since": 2},
    )
    presigned_expires: float | None = Field(
        default=None,
        gt=0,
        description="seconds for which `FileResult.presigned` lets anybody read the file; None: not at all",
        json_schema_extra={"since": 2},
    )
    backup: Destination | None = Field(
        default=None,
        description="where the file goes when `destination` has failed for good",
        json_schema_extra={"since": 2},
    )


class Prior(_Model):
    """What earlier parts of this recording left: a later part continues the numbers, not the file."""

    parts: tuple[Part, ...] = ()
    gaps: tuple[Gap, ...] = ()
    streams: tuple[StreamResult, ...] = ()
    started_at: datetime | None = Field(default=None, description="first media of the whole recording")
    progress: Progress | None = Field(default=None, description="numbers so far; a manifest's count instead")
    images: tuple[ImageResult, ...] = Field(
        default=(), description="of imageOutputs, as far as the status knows: their numbers go on"
    )


class RecorderConfig(_Model):
    """Everything one recorder needs, except its secrets (`TOKEN_FILE`, `CONTROL_TOKEN_FILE`, credentials)."""

    contract_version: int = CONTRACT_VERSION
    min_contract_version: int = versions.FIRST
    egress_id: str = Field(pattern=r"^EG_[A-Za-z0-9]+$")
    part: int = Field(default=1, ge=1, description="number of the first file part this recorder writes")
    max_parts: int = Field(
        default=20, ge=1, description="highest part number that may be started in this pod"
    )
    url: str = Field(description="LiveKit server, ws(s):// or http(s)://")
    room_name: str
    room_id: str = ""
    source: Source
    encoding: Encoding = Encoding()
    outputs: tuple[FileOutputConfig, ...] = Field(default=(), max_length=10)
    segments: tuple[SegmentOutputConfig, ...] = Field(
        default=(), max_length=10, description="HLS outputs", json_schema_extra={"since": 2}
    )
    images: tuple[ImageOutputConfig, ...] = Field(
        default=(), max_length=10, description="image outputs", json_schema_extra={"since": 2}
    )
    streaming: bool = Field(
        default=False,
        description="streams may be wanted, now or later (`STREAMS_FILE`): the encoder has a constant bitrate",
        json_schema_extra={"since": 2},
    )
    join_timeout: float | None = Field(default=None, description="seconds; None: wait for ever")
    track_timeout: float = 30.0
    rejoin_timeout: float = 0.0
    limits: Limits = Limits()
    max_file_duration: float | None = Field(
        default=None,
        gt=0,
        description="seconds of media after which a new file begins without a gap; None: never. A recorder that does not"
        " know it records on in one file",
    )
    upload_timeout: float | None = Field(
        default=None,
        gt=0,
        description="seconds for which a storage that takes nothing is tried again; None: the recorder's own setting",
        json_schema_extra={"since": 2},
    )
    termination_grace: float | None = Field(
        default=None, description="seconds from SIGTERM to SIGKILL; None: not known, nothing is hurried"
    )
    scratch_size: int | None = Field(
        default=None, description="bytes that the scratch volume may hold; None: as many as its file system"
    )
    requested_at: datetime
    prior: Prior = Prior()

    @model_validator(mode="after")
    def _has_outputs(self) -> Self:
        if not self.every_output and not self.streaming:
            raise ValueError(
                "a recording needs an output: fileOutputs, segmentOutputs, imageOutputs or streamOutputs"
            )
        return self

    @property
    def has_files(self) -> bool:
        """False where streams and images are all: then a part has no file, and nothing of it is uploaded at its end."""
        return bool(self.outputs or self.segments)

    @property
    def streams_alone(self) -> bool:
        """True where the recording ends with its last stream."""
        return not self.every_output

    @property
    def every_output(self) -> tuple[FileOutputConfig | SegmentOutputConfig | ImageOutputConfig, ...]:
        """All outputs by their number: files, then segments, then images."""
        return (*self.outputs, *self.segments, *self.images)

    def name_of(self, output: int) -> str:
        """Return an output as the user wrote it."""
        names = (
            *(f"fileOutputs[{index}]" for index in range(len(self.outputs))),
            *(f"segmentOutputs[{index}]" for index in range(len(self.segments))),
            *(f"imageOutputs[{index}]" for index in range(len(self.images))),
        )
        return names[output]

    @classmethod
    def parse(cls, text: str | bytes) -> RecorderConfig:
        """Parse `CONFIG_FILE`. Raises ContractError with a sentence that names the field."""
        return _parse(cls, text, "recorder configuration")

    def stamped(self) -> RecorderConfig:
        """Return it with the lowest version whose recorders understand all that it asks for."""
        return self.model_copy(update={"min_contract_version": versions.required(self)})

    @property
    def answer_version(self) -> int:
        """The version in which this side answers: that of whoever wrote the configuration, if it is the older one."""
        return versions.answering(CONTRACT_VERSION, self.contract_version)


class DesiredState(_Model):
    """`DESIRED_STATE_FILE` and the body of `PUT /v1/desired-state`; the higher generation wins."""

    generation: int = 0
    desired_state: Literal["Recording", "Stopped"] = "Recording"

    @classmethod
    def parse(cls, text: str | bytes) -> DesiredState:
        """Parse the document. Raises ContractError."""
        return _parse(cls, text, "desired state")


class WantedStreams(_Model):
    """`STREAMS_FILE`: the streams that are to run now. Its URLs are secrets; it may change at any time."""

    contract_version: int = CONTRACT_VERSION
    streams: tuple[StreamTarget, ...] = Field(default=(), max_length=100)

    @classmethod
    def parse(cls, text: str | bytes) -> WantedStreams:
        """Parse the document. Raises ContractError."""
        return _parse(cls, text, "list of streams")


# ---- status and result: recorder → operator ------------------------------------------------------------------


class FileResult(_Model):
    """LiveKit's FileInfo: one per output, of the last part; the others are in `parts`."""

    filename: str
    location: str = ""
    presigned: str = Field(
        default="",
        repr=False,
        description="a URL with a signature, where one was asked for: never in a log or manifest",
    )
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration: float = 0.0
    size: int = 0


class RecorderStatus(_Model):
    """`GET /v1/status`: where the recorder is now."""

    contract_version: int = CONTRACT_VERSION
    egress_id: str
    sequence: int = Field(default=0, description="grows with each change; the cursor of the long poll")
    phase: Phase = Phase.STARTING
    message: str = ""
    room_id: str = ""
    in_room: bool = Field(default=False, description="the recorder has joined the room")
    recording: bool = Field(default=False, description="media is being written right now")
    degraded: str = Field(
        default="",
        description="what the encoder saves on to keep up right now (`Degradation`), empty: nothing",
    )
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    error_code: int = 0
    details: str = ""
    desired_generation: int = Field(default=0, description="generation of the desired state that was taken")
    tracks: tuple[Track, ...] = ()
    progress: Progress = Progress()
    parts: tuple[Part, ...] = ()
    gaps: tuple[Gap, ...] = ()
    file_results: tuple[FileResult, ...] = ()
    segment_results: tuple[SegmentResult, ...] = ()
    image_results: tuple[ImageResult, ...] = ()
    stream_results: tuple[StreamResult, ...] = ()
    manifest_location: str = ""
    backup_storage_writes: int = Field(default=0, description="files that went to a backup storage")
    troubles: Mapping[str, str] = Field(
        default={}, description="a sentence for each `Trouble` that lasts, or that is worth remembering"
    )
    exit_code: int | None = None

    @classmethod
    def parse(cls, text: str | bytes) -> RecorderStatus:
        """Parse the body of `GET /v1/status`. Raises ContractError."""
        return _parse(cls, text, "recorder status")


class RecorderResult(RecorderStatus):
    """The last word of a recorder: the termination message, and what `POST /v1/ack` acknowledges."""

    truncated: bool = False

    @classmethod
    def parse(cls, text: str | bytes) -> RecorderResult:
        """Parse a termination message. Raises ContractError; an empty one is not a result."""
        return _parse(cls, text, "recorder result")

    def to_termination_message(self, limit: int = TERMINATION_MESSAGE_LIMIT) -> bytes:
        """Return at most `limit` bytes of JSON that always parse; what does not fit is dropped, verdict last.

        Order of sacrifice: tracks, gaps, all but the newest parts, error text, file results. `truncated` says so.
        """
        candidate = self
        for shrink in _SHRINK_STEPS:
            encoded = candidate.to_json().encode()
            if len(encoded) <= limit:
                return encoded
            candidate = candidate.model_copy(update={**shrink(candidate), "truncated": True})
        encoded = candidate.to_json().encode()
        if len(encoded) > limit:
            raise ContractError(f"a result cannot be expressed in {limit} bytes")
        return encoded


def _shortened(result: StreamResult) -> StreamResult:
    return result.model_copy(update={"error": result.error[:80]})


_SHRINK_STEPS: tuple[Callable[[RecorderResult], dict[str, Any]], ...] = (
    lambda _: {"tracks": ()},
    lambda r: {"gaps": r.gaps[-5:]},
    lambda r: {"parts": r.parts[-5:]},
    lambda r: {"parts": r.parts[-2:], "gaps": ()},
    lambda r: {"error": r.error[:300], "message": r.message[:100]},
    lambda r: {"file_results": tuple(one.model_copy(update={"presigned": ""}) for one in r.file_results)},
    lambda r: {"parts": r.parts[-1:], "file_results": r.file_results[:1]},
    lambda r: {"stream_results": tuple(_shortened(one) for one in r.stream_results)},
    lambda r: {"stream_results": r.stream_results[-5:]},
    lambda _: {"parts": (), "file_results": ()},
    lambda _: {"segment_results": ()},
    lambda _: {"image_results": ()},
    lambda _: {"stream_results": ()},
    lambda _: {"troubles": {}},
    lambda r: {"error": r.error[:100], "message": "", "details": r.details[:100], "manifest_location": ""},
)


class ManifestFile(_Model):
    """LiveKit's File (E:pkg/config/manifest.go), and which part it is. An entry is an object that is there."""

    filename: str
    location: str
    part: int = 1
    output: int = 0
    size: int = 0
    sha256: str = Field(default="", description="hexadecimal, of the whole file; empty: not known")


_LIVEKIT_NAMES = frozenset(
    {"egress_id", "room_id", "room_name", "publisher_identity", "audio_track_id", "video_track_id"}
)


class Manifest(_Model):
    """`{egress_id}.json` beside the media: the truth of a recording, written from the first second.

    LiveKit's manifest fields (E:pkg/config/manifest.go) have LiveKit's names and forms (`started_at` and `ended_at`
    in nanoseconds, `files`), ours are camelCase with RFC 3339 times. A reader takes either spelling of any name, so
    that releases before these names read it too. It holds no URL of a server, no token and no credential.
    """

    model_config = ConfigDict(
        alias_generator=AliasGenerator(
            validation_alias=lambda name: (
                AliasChoices(camel_case(name), name) if name in _LIVEKIT_NAMES else camel_case(name)
            ),
            serialization_alias=lambda name: name if name in _LIVEKIT_NAMES else camel_case(name),
        )
    )

    contract_version: int = CONTRACT_VERSION
    egress_id: str
    room_id: str = ""
    room_name: str
    publisher_identity: str = ""
    audio_track_id: str = ""
    video_track_id: str = ""
    phase: Phase = Phase.STARTING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime
    parts: tuple[Part, ...] = ()
    gaps: tuple[Gap, ...] = ()
    streams: tuple[StreamResult, ...] = ()
    media: tuple[PartMedia, ...] = Field(default=(), description="what each part's file holds")
    playlists: tuple[ManifestPlaylist, ...] = Field(
        default=(), description="LiveKit's `playlists`: HLS outputs and their segments that were uploaded"
    )
    images: tuple[ManifestImage, ...] = Field(
        default=(), description="LiveKit's `images`: those that were uploaded, the newest of each output"
    )
    progress: Progress = Progress()
    error: str = ""
    details: str = ""
    backup_storage_used: bool = Field(default=False, description="LiveKit's backup_storage_used")

    @computed_field(alias="started_at")  # type: ignore[prop-decorator]
    @property
    def started_nanoseconds(self) -> int | None:
        """LiveKit's `started_at`."""
        return _nanoseconds(self.started_at)

    @computed_field(alias="ended_at")  # type: ignore[prop-decorator]
    @property
    def ended_nanoseconds(self) -> int | None:
        """LiveKit's `ended_at`."""
        return _nanoseconds(self.ended_at)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def files(self) -> tuple[ManifestFile, ...]:
        """LiveKit's `files`: the objects that were uploaded, per part and output."""
        media = {one.part: one for one in self.media}
        return tuple(
            ManifestFile(
                filename=part.filename,
                location=part.location,
                part=part.part,
                output=part.output,
                size=part.size,
                sha256=_hash(media.get(part.part), part.output),
            )
            for part in self.parts
            if part.location and not is_playlist(part.filename)
        )

    @classmethod
    def parse(cls, text: str | bytes) -> Manifest:
        """Parse a manifest. Raises ContractError."""
        return _parse(cls, text, "manifest")


def _hash(media: PartMedia | None, output: int) -> str:
    if media is None:
        return ""
    return media.hashes[output] if output < len(media.hashes) else "" if media.hashes else media.sha256


def _nanoseconds(time: datetime | None) -> int | None:
    return (
        None if time is None else (time - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1) * 1000
    )


_Document = TypeVar("_Document", bound=_Model)


def _check_version(document: Mapping[str, Any], what: str) -> None:
    version = document.get("contractVersion", CONTRACT_VERSION)
    needed = document.get("minContractVersion", versions.FIRST)
    if type(version) is int and type(needed) is int:
        if version in SUPPORTED_VERSIONS and needed <= CONTRACT_VERSION:
            return
        version = version if version not in SUPPORTED_VERSIONS else f"{version} and needs {needed}"
    raise ContractError(
        f"{what} has contractVersion {version}, this side understands {sorted(SUPPORTED_VERSIONS)}: "
        "install operator and recorder images that are at most one release apart"
    )


def stated_version(text: str | bytes) -> int:
    """Return the version that a document says it has, also one that cannot be read; ours when it says none."""
    try:
        version = json.loads(text)["contractVersion"]
    except (ValueError, TypeError, KeyError):
        return CONTRACT_VERSION
    return version if type(version) is int else CONTRACT_VERSION


def _parse(cls: type[_Document], text: str | bytes, what: str) -> _Document:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ContractError(f"{what} is not JSON: {error}") from None
    if isinstance(document, dict):
        _check_version(document, what)
    try:
        return cls.model_validate(document)
    except ValidationError as error:
        # Not str(error): pydantic repeats the input, and a configuration must never reach a log.
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'document'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise ContractError(f"{what} is invalid: {problems}") from None
