"""Owns which publications belong to a recording; pure. Rules of LiveKit Egress (E:pkg/pipeline/source/sdk.go)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from egress_recorder.errors import RequestDataError
from egress_recorder.media.values import Kind
from egress_recorder.vocabulary import ParticipantSource, TrackCompositeSource

CAMERA_SOURCES = frozenset({"CAMERA", "MICROPHONE"})
SCREEN_SOURCES = frozenset({"SCREEN_SHARE", "SCREEN_SHARE_AUDIO", "UNKNOWN"})
OVERLAP = 2.0
"""Seconds by which a replacement may be seen before the track that it replaces is gone."""
STILL_SOURCES = frozenset({"SCREEN_SHARE"})
"""A shared screen that does not change sends few pictures or none: the last one stays."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A published track as the room lists it. `source` is LiveKit's TrackSource name, `participant` a PA_ sid."""

    sid: str
    kind: Kind
    source: str
    identity: str
    participant: str = ""
    encrypted: bool = False


class Selection(Protocol):
    """Decides over publications; `choose` is called with all of the room whenever something changed."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of media the file has."""

    @property
    def identity(self) -> str:
        """The participant to be recorded; empty where tracks are."""

    def choose(self, publications: Iterable[Publication], now: float) -> list[Publication]:
        """Return what is to be recorded at `now` (monotonic seconds). Raises RequestDataError when the request does not fit."""

    def complete(self, chosen: Iterable[Publication]) -> bool:
        """True when all that was asked for by name is there."""

    def missing(self, chosen: Iterable[Publication]) -> str:
        """Say for people what is not there."""


class ParticipantSelection:
    """Camera and microphone of one participant, or its screen share (and tracks of unknown source).

    Only the `kinds` that some output holds are received and decoded.
    """

    def __init__(
        self, identity: str, *, screen_share: bool, kinds: frozenset[Kind] = frozenset({"audio", "video"})
    ) -> None:
        self.identity = identity
        self.kinds = kinds
        self._sources = SCREEN_SOURCES if screen_share else CAMERA_SOURCES

    def choose(self, publications: Iterable[Publication], now: float) -> list[Publication]:  # noqa: ARG002 - interface
        """Return the participant's tracks of the wanted sources, of any number and kind."""
        return [
            item
            for item in publications
            if item.identity == self.identity and item.source in self._sources and item.kind in self.kinds
        ]

    def complete(self, chosen: Iterable[Publication]) -> bool:  # noqa: ARG002 - interface
        """A participant without tracks is complete."""
        return True

    def missing(self, chosen: Iterable[Publication]) -> str:  # noqa: ARG002 - interface
        """Name the participant."""
        return f"participant {self.identity}"


class TrackSelection:
    """Up to two tracks by sid, wherever they are published.

    A publisher's full reconnect gives its tracks new sids: identity and source of a track that is gone are followed,
    to what came with a new participant sid or was published afterwards, or shortly before: a replacement may be told
    before the end of what it replaces (a second microphone that was there all the time is not a successor).
    """

    def __init__(self, audio: str, video: str) -> None:
        wanted: dict[Kind, str] = {}
        if audio:
            wanted["audio"] = audio
        if video:
            wanted["video"] = video
        self.identity = ""
        self.kinds: frozenset[Kind] = frozenset(wanted)
        self._wanted = wanted
        self._current: dict[Kind, Publication] = {}
        self._seen: dict[str, float] = {}
        self._bystanders: dict[Kind, frozenset[str]] = {}

    def choose(self, publications: Iterable[Publication], now: float) -> list[Publication]:
        """Return the tracks for the sids, or what took their place."""
        listed = {item.sid: item for item in publications}
        for sid in listed:
            self._seen.setdefault(sid, now)
        return [item for kind in self._wanted if (item := self._find(kind, listed, now)) is not None]

    def complete(self, chosen: Iterable[Publication]) -> bool:
        """True when every requested track, or its successor, is there."""
        return {item.kind for item in chosen} >= self.kinds

    def missing(self, chosen: Iterable[Publication]) -> str:
        """Name the tracks that are not there."""
        there = {item.kind for item in chosen}
        absent = [sid for kind, sid in self._wanted.items() if kind not in there]
        return f"track {' and '.join(absent or self._wanted.values())}"

    def _find(self, kind: Kind, listed: dict[str, Publication], now: float) -> Publication | None:
        current = self._current.get(kind)
        sid = self._wanted[kind] if current is None else current.sid
        found = listed.get(sid)
        if found is not None:
            self._check(kind, found)
            self._bystanders.pop(kind, None)
        elif current is not None:
            # What was there long before the track went is not what replaces it, unless it has another participant sid.
            old = (sid for sid, since in self._seen.items() if now - since > OVERLAP)
            bystanders = self._bystanders.setdefault(kind, frozenset(old))
            successors = [
                item
                for item in listed.values()
                if (item.identity, item.source, item.kind) == (current.identity, current.source, kind)
                and (item.sid not in bystanders or item.participant != current.participant)
            ]
            found = successors[-1] if successors else None
        if found is not None:
            self._current[kind] = found
        return found

    def _check(self, kind: Kind, item: Publication) -> None:
        if item.kind != kind:
            article = "an" if item.kind == "audio" else "a"
            raise RequestDataError(
                f"{kind}TrackId {item.sid} names {article} {item.kind} track: put it into {item.kind}TrackId"
            )


def selection_for(
    source: ParticipantSource | TrackCompositeSource, *, pictures: bool = True, sound: bool = True
) -> ParticipantSelection | TrackSelection:
    """Return the selection that a request asks for. `pictures`, `sound`: some output holds them."""
    if isinstance(source, ParticipantSource):
        wanted: dict[Kind, bool] = {"audio": sound, "video": pictures}
        kinds = frozenset(kind for kind, held in wanted.items() if held)
        return ParticipantSelection(source.identity, screen_share=source.screen_share, kinds=kinds)
    return TrackSelection(source.audio_track_id if sound else "", source.video_track_id)
