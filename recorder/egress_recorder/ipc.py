"""Owns the messages between the supervisor and its capture process: one JSON object per line, over two pipes.

Why two processes: livekit's native code and FFmpeg can take a process down (reference facts: SIGSEGV on mux after
close, an FFI panic that SIGTERMs its own process). The supervisor owns storage, control endpoint, manifest, result
and exit code; the capture process owns LiveKit and media, writes files into the scratch directory and nothing else.

Supervisor → capture: first line `CaptureRequest`, then `StopCommand` / `TokenCommand` / `StreamsCommand`. End of file on the command
pipe means that the supervisor is gone: stop as interrupted.
Capture → supervisor: `Joined`, `TracksChanged`, `Started`, `ProgressReport`, `SegmentClosed`, `ImageMade`, `FilesClosed`, `SpansChanged`, `StreamsChanged`, and `Ended` as the last one. A capture
process that exits without `Ended` crashed.

Dataclasses and the standard library only (memory of the capture process, see `vocabulary.py`). What the supervisor
sends was validated before; what it reads, from a process with native code, is validated in `supervisor/events.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from egress_recorder.filetypes import FileType
from egress_recorder.imaging import ImageRequest
from egress_recorder.ipc_streams import StreamReport, StreamTarget, targets
from egress_recorder.segmentation import SegmentRequest
from egress_recorder.spans import MediaGap, TrackSpan
from egress_recorder.vocabulary import (
    Encoding,
    EndReason,
    ExitCode,
    Limits,
    ParticipantSource,
    Phase,
    Progress,
    Track,
    TrackCompositeSource,
)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One line of a pipe."""

    def line(self) -> bytes:
        """Return the message as one line of JSON; times as RFC 3339."""
        return json.dumps(asdict(self), default=datetime.isoformat, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class CaptureRequest(Message):
    """What to record and where to put it. The only message but `TokenCommand` that holds a token, and but `StreamsCommand` with URLs of streams.

    Units and meaning of what is in `RecorderConfig` too are described there.
    """

    url: str
    token: str = field(repr=False)
    room_name: str
    source: ParticipantSource | TrackCompositeSource
    encoding: Encoding = field(default_factory=Encoding)
    join_timeout: float | None = None
    track_timeout: float = 30.0
    rejoin_timeout: float = 0.0
    limits: Limits = field(default_factory=Limits)
    directory: str
    """Scratch directory of this part, exists and is empty."""
    files: tuple[FileType, ...] = ("MP4",)
    """The types of the files to write, each once; named `filetypes.scratch_name`."""
    segments: tuple[SegmentRequest, ...] = ()
    """HLS outputs. Each is a directory, named `segmentation.directory_name`, and comes after `files` in lists of files."""
    images: tuple[ImageRequest, ...] = ()
    """Image outputs."""
    streaming: bool = False
    """Streams may be wanted, now or later: the encoder works for them from the beginning."""
    streams: tuple[StreamTarget, ...] = ()
    continuing: bool = False
    """A part of this recording has media already: absence ends it naturally after max(rejoinTimeout, 30 s)
    instead of failing."""
    max_file_duration: float | None = None
    """Seconds of media after which all files are completed and new ones begin (`FilesClosed`); None: never."""
    recorded: float = 0.0
    """Seconds recorded by earlier parts, for limits.maxDuration."""
    recorded_bytes: int = 0
    """Bytes recorded by earlier parts, for limits.maxSize; each file counts."""


@dataclass(frozen=True, kw_only=True)
class StopCommand(Message):
    """Finish the file and end. Sent at most once with effect; later ones change nothing."""

    command: Literal["stop"] = "stop"
    reason: EndReason


@dataclass(frozen=True, kw_only=True)
class TokenCommand(Message):
    """A renewed access token, used at the next join."""

    command: Literal["token"] = "token"
    token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class StreamsCommand(Message):
    """The streams that are to run from now on; what is not among them is finished. Holds secrets."""

    command: Literal["streams"] = "streams"
    streams: tuple[StreamTarget, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Joined(Message):
    """The recorder is in the room (sent again after each new join)."""

    event: Literal["joined"] = "joined"
    room_id: str


@dataclass(frozen=True, kw_only=True)
class TracksChanged(Message):
    """The set or state of the recorded tracks changed; `publisher_identity` is set as soon as it is known."""

    event: Literal["tracks"] = "tracks"
    tracks: tuple[Track, ...]
    publisher_identity: str = ""


@dataclass(frozen=True, kw_only=True)
class Started(Message):
    """The first media of this part is being written."""

    event: Literal["started"] = "started"
    started_at: datetime
    """Wall clock of media time 0 of this part."""
    files: tuple[str, ...]
    """Names of the growing files in the scratch directory, as `CaptureRequest.files`."""
    publisher_identity: str = ""


@dataclass(frozen=True, kw_only=True)
class ProgressReport(Message):
    """Sent once per second while media is written. Numbers of this part only: since `Started` or the last `FilesClosed`."""

    event: Literal["progress"] = "progress"
    progress: Progress
    recording: bool
    """False while nobody publishes and only filler is written."""
    degraded: str = ""
    """What the encoder saves on (`Degradation`); empty: nothing."""
    sizes: tuple[int, ...] = ()
    """Bytes so far, as `CaptureRequest.files`."""
    problems: dict[str, str] = field(default_factory=dict)
    """Sentence by name of each file that could not be written on; the others go on."""


@dataclass(frozen=True, kw_only=True)
class SegmentClosed(Message):
    """A segment of an HLS output is complete."""

    event: Literal["segment"] = "segment"
    output: int
    """Index in `CaptureRequest.segments`."""
    number: int
    """Counts the segments of this part from 0."""
    name: str
    """Of the file in the output's directory."""
    start: float
    """Seconds of media time."""
    duration: float
    started_at: datetime
    """Wall clock of its beginning, without what the receiver held the media back."""
    size: int


@dataclass(frozen=True, kw_only=True)
class ImageMade(Message):
    """An image is complete in the scratch directory."""

    event: Literal["image"] = "image"
    output: int
    """Index in `CaptureRequest.images`."""
    name: str
    at: datetime
    """Wall clock of the picture, without what the receiver held the media back."""
    size: int
    dropped: int = 0
    """Images of this part, of all outputs, that were not made because the machine was too slow."""


@dataclass(frozen=True, kw_only=True)
class FilesClosed(Message):
    """The files are closed and complete, but for those in `problems`; the capture goes on in new ones, without a gap.

    What follows is told of the new ones: `ProgressReport`, `Ended`. Times in `SpansChanged` and `SegmentClosed` go on.
    """

    event: Literal["files"] = "files"
    files: tuple[str, ...]
    """As in `Started`; HLS outputs are among them and go on."""
    problems: dict[str, str] = field(default_factory=dict)
    """As in `ProgressReport`."""
    next_files: tuple[str, ...]
    """Names of the new files."""
    until: float
    """Media time, since `Started`, at which the new files begin, seconds."""
    at: datetime
    """Wall clock of that, as `Started.started_at`."""
    progress: Progress
    """Of the closed files."""


@dataclass(frozen=True, kw_only=True)
class SpansChanged(Message):
    """What this capture's files hold of which track changed: after `Started`, at most once per second and before `Ended`.

    An entry replaces the former one of its number; the other ones stay.
    """

    event: Literal["spans"] = "spans"
    spans: tuple[TrackSpan, ...] = ()
    gaps: tuple[MediaGap, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ended(Message):
    """The capture is over and its files, if any, are closed and complete, but for those in `problems`."""

    event: Literal["ended"] = "ended"
    phase: Phase
    """COMPLETE, ABORTED, LIMIT_REACHED, FAILED or INTERRUPTED."""
    reason: EndReason
    exit_code: ExitCode
    error: str = ""
    error_code: int = 0
    files: tuple[str, ...] = ()
    """As in `Started`; empty when no media was written."""
    problems: dict[str, str] = field(default_factory=dict)
    """As in `ProgressReport`; what such a file holds up to there is kept."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    """Wall clock of the end of the media."""
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True, kw_only=True)
class StreamsChanged(Message):
    """What became of this part's streams: all of them, whenever anything changed, and before `Ended`."""

    event: Literal["streams"] = "streams"
    streams: tuple[StreamReport, ...]


M = TypeVar("M", bound=Message)
Event = (
    Joined
    | TracksChanged
    | Started
    | ProgressReport
    | SegmentClosed
    | ImageMade
    | FilesClosed
    | SpansChanged
    | StreamsChanged
    | Ended
)
Command = StopCommand | TokenCommand | StreamsCommand

_SOURCES: dict[str, type[ParticipantSource | TrackCompositeSource]] = {
    "participant": ParticipantSource,
    "trackComposite": TrackCompositeSource,
}


def parse_request(line: bytes) -> CaptureRequest:
    """Parse the first line of the command pipe. Raises ValueError."""
    return _understood(_request, line)


def parse_command(line: bytes) -> Command:
    """Parse one later line of the command pipe. Raises ValueError."""
    return _understood(_command, line)


def _understood(make: Callable[[dict[str, Any]], M], line: bytes) -> M:
    try:
        return make(json.loads(line))
    except (KeyError, TypeError) as error:
        # Not the text of the error: it may hold the value of a field.
        raise ValueError(f"a message is not understood ({type(error).__name__})") from None


def _request(document: dict[str, Any]) -> CaptureRequest:
    source = document["source"]
    known = {
        "source": _SOURCES[source["kind"]](**source),
        "encoding": Encoding(**document["encoding"]),
        "limits": Limits(**document["limits"]),
    }
    lists = {
        "files": tuple(document["files"]),
        "segments": tuple(SegmentRequest(**one) for one in document["segments"]),
        "images": tuple(ImageRequest(**one) for one in document["images"]),
        "streams": targets(document["streams"]),
    }
    return CaptureRequest(**{**document, **known, **lists})


def _command(document: dict[str, Any]) -> Command:
    kinds: dict[str, Callable[[], Command]] = {
        "stop": lambda: StopCommand(reason=EndReason(document["reason"])),
        "token": lambda: TokenCommand(token=document["token"]),
        "streams": lambda: StreamsCommand(streams=targets(document["streams"])),
    }
    return kinds[document["command"]]()
