"""Owns the plain values that supervisor, capture process and operator share: enumerations and frozen dataclasses.

Standard library only: the capture process, which holds the native media libraries, must not pay 12 MiB and 0.2 s for
pydantic. `contract.py` makes these values part of its documents; pydantic reads the field limits from `Annotated`
and the wire form (camelCase, tolerant) from `__pydantic_config__`. Units are those of `contract.py`.
"""

from __future__ import annotations

import enum
import re
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MultipleOf


def camel_case(name: str) -> str:
    """Return the name of a field on the wire."""
    return re.sub(r"_(.)", lambda match: match.group(1).upper(), name)


def wire_form(value: Track | Encoding) -> dict[str, Any]:
    """Return plain JSON values of a flat dataclass of this module: camelCase keys, empty fields left out."""
    return {camel_case(name): item for name, item in asdict(value).items() if item is not None}


WIRE: dict[str, Any] = {"extra": "ignore", "populate_by_name": True, "alias_generator": camel_case}


class ExitCode(enum.IntEnum):
    """Exit codes of the recorder (sysexits.h); the operator decides by them whether a next part follows."""

    FINISHED = 0
    """Complete, LimitReached or Aborted: the recording is over and its own record says how."""
    USAGE = 64
    DATA = 65
    """The request cannot be fulfilled as it is (track unknown or of the wrong kind): Failed, no next part."""
    UNREACHABLE = 69
    """LiveKit or the storage does not answer: again, within the budget."""
    SOFTWARE = 70
    """A fault of the recorder itself: next part within `maxParts`."""
    INTERRUPTED = 75
    """SIGTERM without a stop request, or superseded: the part is finalised and uploaded, a next part follows."""
    AUTHORIZATION = 77
    CONFIGURATION = 78

    @property
    def is_final_failure(self) -> bool:
        """True when repeating cannot help: no next part, the recording is Failed."""
        return self in {ExitCode.USAGE, ExitCode.DATA, ExitCode.AUTHORIZATION, ExitCode.CONFIGURATION}


class Phase(enum.StrEnum):
    """What a recorder says of itself; the operator adds only `Pending`, `Starting` and `Failed` of its own."""

    STARTING = "Starting"
    ACTIVE = "Active"
    ENDING = "Ending"
    COMPLETE = "Complete"
    FAILED = "Failed"
    ABORTED = "Aborted"
    LIMIT_REACHED = "LimitReached"
    INTERRUPTED = "Interrupted"
    """Never shown to a user: this recorder ended, the recording did not (exit code 75, 69 or 70)."""

    @property
    def is_terminal(self) -> bool:
        """True when the recorder will do nothing more."""
        return self not in {Phase.STARTING, Phase.ACTIVE, Phase.ENDING}


class Degradation(enum.StrEnum):
    """What the encoder saves on while the machine cannot keep up; a later release may know more."""

    PRESET = "Preset"
    """A cheaper encoder preset: each picture is a little worse."""
    PICTURES = "Pictures"
    """Every second picture is a repetition as well."""


class Trouble(enum.StrEnum):
    """What a recorder has to report although the recording goes on; a later release may know more."""

    SCRATCH_PRESSURE = "ScratchPressure"
    """The scratch volume is filling up."""
    BACKUP_UNUSABLE = "BackupStorageUnusable"
    """The backup storage cannot be written: a file whose storage fails would have nowhere to go."""
    BACKUP_USED = "BackupStorageUsed"
    """A storage failed for good, the file is in the backup storage."""
    FILE_HELD = "FileHeld"
    """No storage has taken a file: the recorder keeps it and goes on trying."""
    IMAGES_HELD = "ImagesHeld"
    """No storage takes images: they wait in the scratch directory as far as their room there goes."""
    IMAGES_DROPPED = "ImagesDropped"
    """Images were left out: the machine was too slow to make them, or too many waited for their storage."""
    OUTPUT_CUT = "OutputCut"
    """A file could not be written on and ends there; the others go on."""


class EndReason(enum.StrEnum):
    """LiveKit's end reasons (`details` is "End reason: X"; livekit_egress.go), and ours after them."""

    STOP_REQUESTED = "StopEgress API"
    SOURCE_CLOSED = "Source closed"
    LIMIT_REACHED = "Session limit reached"
    STREAMS_STOPPED = "All streams stopped"
    """The last stream was removed, and nothing else is recorded."""
    FAILURE = "Failure"
    KILLED = "Process killed"
    INTERRUPTED = "Interrupted"
    SUPERSEDED = "Superseded by a newer recorder"
    SCRATCH_FULL = "Scratch volume full"
    MAX_FILE_DURATION = "Max file duration reached"
    """Of a file, never of a recording: the next one begins where it ends."""


class ErrorCode(enum.IntEnum):
    """HTTP-like codes of LiveKit's `EgressInfo.error_code`."""

    NONE = 0
    INVALID_ARGUMENT = 400
    UNAUTHENTICATED = 401
    PERMISSION_DENIED = 403
    NOT_FOUND = 404
    FAILED_PRECONDITION = 412
    LIMIT_REACHED = 413
    INTERNAL = 500
    UNAVAILABLE = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One subscribed track (LiveKit TrackInfo, the fields a reader of a recording wants)."""

    __pydantic_config__: ClassVar = WIRE

    sid: str
    kind: Literal["audio", "video"]
    source: str = ""
    """CAMERA, MICROPHONE, SCREEN_SHARE, SCREEN_SHARE_AUDIO, UNKNOWN."""
    codec: str = ""
    width: int = 0
    height: int = 0
    muted: bool = False
    identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantSource:
    """Camera and microphone of one participant, or its screen share and that one's audio (ParticipantEgress)."""

    __pydantic_config__: ClassVar = WIRE

    kind: Literal["participant"] = "participant"
    identity: str
    screen_share: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackCompositeSource:
    """One audio and/or one video track, by track sid (TrackCompositeEgress). Raises ValueError without any."""

    __pydantic_config__: ClassVar = WIRE

    kind: Literal["trackComposite"] = "trackComposite"
    audio_track_id: str = ""
    video_track_id: str = ""

    def __post_init__(self) -> None:
        if not (self.audio_track_id or self.video_track_id):
            raise ValueError("audioTrackId or videoTrackId is required")


VideoCodec = Literal["H264_BASELINE", "H264_MAIN", "H264_HIGH"]
AudioCodec = Literal["AAC", "OPUS", "AC_MP3"]
"""LiveKit's; each output takes it where its container can (`filetypes.sound_codec`)."""
AudioFrequency = Literal[8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000]
"""Hz that AAC knows (ISO/IEC 14496-3, table 1.18)."""
OPUS_FREQUENCY = 48_000
"""Hz; Opus has no other, LiveKit ignores what is asked for."""
LONGEST_KEY_FRAME_INTERVAL = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """What the file is encoded to. Defaults are LiveKit's in code (E:pkg/config/pipeline.go), not its comments.

    Two differ: audio stays at the 48 kHz in which it arrives (LiveKit resamples AAC to 44.1 kHz), and key frames come
    every 2 s, so that players can seek (LiveKit: up to 10 s apart).
    The limits are checked where a document is parsed, not by the constructor.
    """

    __pydantic_config__: ClassVar = WIRE

    width: Annotated[int, Ge(16), Le(4096), MultipleOf(2)] = 1280
    height: Annotated[int, Ge(16), Le(4096), MultipleOf(2)] = 720
    framerate: Annotated[int, Ge(1), Le(60)] = 30
    video_bitrate: Annotated[int, Ge(1)] = 3000
    """kbit/s."""
    audio_bitrate: Annotated[int, Ge(1)] = 128
    """kbit/s, stereo."""
    video_codec: VideoCodec = field(default="H264_MAIN", metadata={"since": 2})
    audio_codec: AudioCodec = field(default="AAC", metadata={"since": 2})
    audio_frequency: AudioFrequency = field(default=48_000, metadata={"since": 2})
    """Hz."""
    key_frame_interval: Annotated[float, Gt(0), Le(LONGEST_KEY_FRAME_INTERVAL)] = field(
        default=2.0, metadata={"since": 2}
    )
    """Seconds from one key frame to the next: each comes with the first frame that is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Ends a recording with LimitReached, the file complete. Absent: no limit. Counted over all parts."""

    __pydantic_config__: ClassVar = WIRE

    max_duration: Annotated[float, Gt(0)] | None = None
    """Seconds of media."""
    max_size: Annotated[int, Gt(0)] | None = None
    """Bytes of media."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """What was changed so that the file keeps its time; counted over the whole recording unless it says otherwise."""

    __pydantic_config__: ClassVar = WIRE

    frames_late: int = 0
    """Pictures that came after their frame was written (part of `frames_dropped`)."""
    frames_surplus: int = 0
    """Pictures that a newer one for the same frame replaced (part of `frames_dropped`)."""
    frames_overflow: int = 0
    """Pictures that a full queue dropped because the encoder was behind (part of `frames_dropped`)."""
    frames_skipped: int = 0
    """Frames that the file leaves out because the encoder was seconds behind (part of `frames_dropped`)."""
    frames_saved: int = 0
    """Pictures that the encoder left out to keep up, the one before stands (part of `frames_dropped`)."""
    pictures_moved: int = 0
    """Pictures that the lip-sync moved by half a frame or more."""
    lip_sync: float = 0.0
    lip_sync_max: float = 0.0
    lip_sync_slewed: float = 0.0
    """Seconds by which pictures are moved now (negative: earlier), the largest amount, all changes added up."""
    samples_added: int = 0
    samples_removed: int = 0
    """Samples (48 kHz) by which sound was stretched and squeezed."""
    samples_cut: int = 0
    sound_dropped: float = 0.0
    """Samples that came after their place was written; seconds of sound that a full queue dropped."""
    receive_delay: float = 0.0
    """Mean seconds for which the receiver held back the sound, of the newest part (without sound: the pictures)."""
    axis_moved: float = 0.0
    """Seconds by which media time 0 of the newest part was moved later, at most a frame (media/timeline.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Numbers of the whole recording so far (this pod's parts and the prior ones)."""

    __pydantic_config__: ClassVar = WIRE

    duration: float = 0.0
    bytes_written: int = 0
    bytes_uploaded: int = 0
    frames: int = 0
    frames_dropped: int = 0
    frames_duplicated: int = 0
    silence_inserted: float = 0.0
    """Seconds of silence that no publisher sent."""
    degraded: float = 0.0
    """Seconds of media that are worse than asked for, because the encoder could not keep up."""
    corrections: Corrections = field(default_factory=Corrections)
    uploads_after_end: bool = False
    """An output's storage takes a file only when it is closed: `bytes_uploaded` stays behind while it grows."""
