"""Owns the messages between the supervisor and its capture process: one JSON object per line, over two pipes.

Why two processes: livekit's native code and FFmpeg can take a process down (reference facts: SIGSEGV on mux after
close, an FFI panic that SIGTERMs its own process). The supervisor owns storage, control endpoint, manifest, result
and exit code; the capture process owns LiveKit and media, writes files into the scratch directory and nothing else.

Supervisor → capture: first line `CaptureRequest`, then `StopCommand` / `TokenCommand`. End of file on the command
pipe means that the supervisor is gone: stop as interrupted.
Capture → supervisor: `Joined`, `TracksChanged`, `Started`, `ProgressReport`, and `Ended` as the last one. A capture
process that exits without `Ended` crashed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from egress_recorder.contract import EndReason, ExitCode, Phase, Progress, RecorderConfig, Track


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True)

    def line(self) -> bytes:
        """Return the message as one line."""
        return self.model_dump_json().encode() + b"\n"


class CaptureRequest(_Message):
    """What to record and where to put it. The only message that holds a token; it never leaves the pipe."""

    config: RecorderConfig
    token: str = Field(repr=False)
    part: int
    directory: str = Field(description="scratch directory of this part, exists and is empty")
    continuing: bool = Field(
        default=False,
        description="a part of this recording has media already: absence ends it naturally after "
        "max(rejoinTimeout, 30 s) instead of failing",
    )
    recorded: float = Field(
        default=0.0, description="seconds recorded by earlier parts, for limits.maxDuration"
    )
    recorded_bytes: int = Field(default=0, description="bytes recorded by earlier parts, for limits.maxSize")


class StopCommand(_Message):
    """Finish the file and end. Sent at most once with effect; later ones change nothing."""

    command: Literal["stop"] = "stop"
    reason: EndReason


class TokenCommand(_Message):
    """A renewed access token, used at the next join."""

    command: Literal["token"] = "token"
    token: str = Field(repr=False)


class Joined(_Message):
    """The recorder is in the room (sent again after each new join)."""

    event: Literal["joined"] = "joined"
    room_id: str


class TracksChanged(_Message):
    """The set or state of the recorded tracks changed; `publisher_identity` is set as soon as it is known."""

    event: Literal["tracks"] = "tracks"
    tracks: tuple[Track, ...]
    publisher_identity: str = ""


class Started(_Message):
    """The first media of this part is being written."""

    event: Literal["started"] = "started"
    started_at: datetime = Field(description="wall clock of media time 0 of this part")
    filename: str = Field(description="name of the growing file in the scratch directory")
    publisher_identity: str = ""


class ProgressReport(_Message):
    """Sent once per second while media is written. Numbers of this part only."""

    event: Literal["progress"] = "progress"
    progress: Progress
    recording: bool = Field(description="False while nobody publishes and only filler is written")


class Ended(_Message):
    """The capture is over and its file, if any, is closed and complete."""

    event: Literal["ended"] = "ended"
    phase: Phase = Field(description="COMPLETE, ABORTED, LIMIT_REACHED, FAILED or INTERRUPTED")
    reason: EndReason
    exit_code: ExitCode
    error: str = ""
    error_code: int = 0
    filename: str = Field(default="", description="empty when no media was written")
    started_at: datetime | None = None
    ended_at: datetime | None = Field(default=None, description="wall clock of the end of the media")
    progress: Progress = Progress()


Command = Annotated[StopCommand | TokenCommand, Field(discriminator="command")]
Event = Annotated[Joined | TracksChanged | Started | ProgressReport | Ended, Field(discriminator="event")]

_commands: TypeAdapter[StopCommand | TokenCommand] = TypeAdapter(Command)
_events: TypeAdapter[Joined | TracksChanged | Started | ProgressReport | Ended] = TypeAdapter(Event)


def parse_command(line: bytes) -> StopCommand | TokenCommand:
    """Parse one line of the command pipe. Raises ValueError."""
    return _commands.validate_json(line)


def parse_event(line: bytes) -> Joined | TracksChanged | Started | ProgressReport | Ended:
    """Parse one line of the event pipe. Raises ValueError."""
    return _events.validate_json(line)
