"""Owns what the suite knows of a participant that publishes: its tracks, its clock, and what its commands mean; pure.

`devstack.publisher.PublisherProcess` (the Python SDK) is an `Actor`; the browser publisher is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

Kind = Literal["audio", "video"]
Layout = Literal["both", "left", "stereo", "either"]
"""Both tones on both channels, the left one on both, each on its own, or one of the first and the third: livekit-server
forbids stereo to the Python SDK (it takes `stereo=1` out of its answer), so it sends the sum of its two channels; if the server
does not know the track yet when it answers, they stay apart (`configurePublisherAnswer`, rtc/participant_sdp.go)."""


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One track that an actor may publish. `variant` is its colour or its tones (`testpattern.VARIANTS`)."""

    label: str
    """Name within the actor: `video`, `audio`, `video2`, `audio2`; `sid(label)` is its newest track id."""
    kind: Kind
    source: str
    """LiveKit's TrackSource: CAMERA, MICROPHONE, SCREEN_SHARE, SCREEN_SHARE_AUDIO, UNKNOWN."""
    variant: int
    silent: bool = False
    """Publishes zeros: nothing of it is to be heard."""
    layout: Layout = "both"
    """Of sound: which of its two tones are on which channel."""


class Actor(Protocol):
    """A participant under the control of a case; a context manager that has published what it should when entered."""

    identity: str
    variant: int
    framerate: int
    stimuli: tuple[Stimulus, ...]
    """All tracks it may publish."""
    published: frozenset[str]
    """Labels of the tracks that are published once it is entered."""

    def __enter__(self) -> Self:
        """Join and publish."""

    def __exit__(self, *exception: object) -> None:
        """Leave the room if that did not happen yet."""

    @property
    def start(self) -> float:
        """Wall clock (UNIX seconds) of frame 0, flash 0 and beep 0."""

    def command(self, line: str, *, timeout: float = 10.0) -> None:
        """Carry out one command and return when it is done. Raises TimeoutError."""

    def sid(self, kind: str) -> str:
        """Return the sid of the newest track of a label."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a command does to tracks: a reason to be off is added or taken away; a track without any is live.

    `label` "*" means every track of the actor. `off` None changes nothing and only disturbs (a new size).
    """

    label: str
    reason: Literal["unpublished", "muted", "held", "away", "size"]
    off: bool | None
    abrupt: bool = False
    """Nobody is told: the server finds out by its own time-out, and until then a receiver delivers silence as its sound."""


def effects(line: str) -> tuple[Effect, ...]:
    """Return what a command of the common set means. Raises ValueError for one that is not known."""
    command = line.strip().partition(" ")[0]
    verb, _, label = command.partition("_")
    match verb:
        case "publish" | "unpublish" if label:
            return (Effect(label, "unpublished", verb == "unpublish"),)
        case "mute" | "unmute" if label:
            return (Effect(label, "muted", verb == "mute"),)
        case "hold" | "resume" if label:
            return (Effect(label, "held", verb == "hold"),)
        case "size":
            return (Effect("video", "size", None),)
        case "leave" | "kill":
            return (Effect("*", "away", off=True, abrupt=verb == "kill"),)
    raise ValueError(f"command {line!r} has no known effect: give it with scene.command(…, effects=…)")


def find(stimuli: Sequence[Stimulus], label: str) -> Stimulus:
    """Return the track of a label. Raises KeyError."""
    for stimulus in stimuli:
        if stimulus.label == label:
            return stimulus
    raise KeyError(label)
