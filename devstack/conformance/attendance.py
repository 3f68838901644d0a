"""Owns which tracks are there from when to when, so that the manifest's account of them can be compared; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from devstack.conformance.actor import Effect, Kind, Stimulus, find
from devstack.conformance.log import Log

Track = tuple[str, str]
"""(key of a cast, label)."""
Selection = Callable[[str, Stimulus], bool]
"""(identity, track) → it belongs to the recording."""
State = Literal["live", "muted", "held", "abrupt", "gone"]
"""`held`: sends nothing, or silence that need not be packets; `abrupt`: gone, and the server does not know it yet."""
Edge = tuple[float, dict[Track, State]]


@dataclass(frozen=True, slots=True)
class Group:
    """Tracks that a manifest cannot tell from each other."""

    identity: str
    source: str

    def __str__(self) -> str:
        """For sentences."""
        return f"{self.identity}'s {self.source}"


@dataclass(frozen=True, slots=True)
class Attendance:
    """A time outside all grace windows in which the tracks of one kind are in one state each."""

    kind: Kind
    begin: float
    end: float
    live: Counter[Group] = field(default_factory=Counter)
    muted: Counter[Group] = field(default_factory=Counter)
    """Muted after they had been heard or seen: a track is in the manifest from its first media on."""
    doubtful: Counter[Group] = field(default_factory=Counter)
    """Held, or muted from the start on: may be there or not."""
    stopped: Counter[Group] = field(default_factory=Counter)
    """Gone without a word: until the server knows it, their track is there, but stalled."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A time outside all grace windows in which somebody publishes (`there`), or nobody does."""

    begin: float
    end: float
    there: bool


def edges(log: Log) -> list[Edge]:
    """Return the times of changes, and the state of every track from each of them on."""
    off: dict[Track, set[str]] = {}
    abrupt: set[str] = set()
    events: list[tuple[float, str, Effect | None]] = [
        (cast.entered, cast.key, None) for cast in log.casts.values()
    ]
    events += [(change.end, change.key, change.effect) for change in log.changes]
    found: list[Edge] = []
    for at, key, effect in sorted(events, key=lambda event: event[0]):
        cast = log.casts[key]
        if effect is not None and effect.abrupt:
            abrupt.add(key)
        for stimulus in cast.stimuli:
            reasons = off.setdefault((key, stimulus.label), {"unpublished"})
            if effect is None:
                reasons.difference_update({"unpublished"} if stimulus.label in cast.published else ())
            elif effect.label in {"*", stimulus.label} and effect.off is not None:
                (reasons.add if effect.off else reasons.discard)(effect.reason)
        found.append((at, {track: _state(reasons, track[0] in abrupt) for track, reasons in off.items()}))
    return found


def _state(reasons: set[str], abrupt: bool) -> State:
    if "unpublished" in reasons:
        return "gone"
    if "away" in reasons:
        return "abrupt" if abrupt else "gone"
    if "muted" in reasons:
        return "muted"
    return "held" if "held" in reasons else "live"


def attendance(
    log: Log, selection: Selection, kind: Kind, spans: Sequence[tuple[float, float]], begin: float
) -> list[Attendance]:
    """Return who is there in each of these spans, each of which has no change in it; media is there from `begin` on."""
    found = edges(log)
    return [_attendance(log, selection, kind, span, found, begin) for span in spans]


def _attendance(
    log: Log,
    selection: Selection,
    kind: Kind,
    span: tuple[float, float],
    found: Sequence[Edge],
    begin: float,
) -> Attendance:
    out = Attendance(kind, *span)
    for (key, label), state in _at(found, span[0]).items():
        cast = log.casts[key]
        stimulus = find(cast.stimuli, label)
        if stimulus.kind != kind or not selection(cast.identity, stimulus) or state == "gone":
            continue
        group = Group(cast.identity, stimulus.source)
        if state == "muted" and _was_live(found, (key, label), begin, span[0]):
            out.muted[group] += 1
        elif state == "live":
            out.live[group] += 1
        elif state == "abrupt":
            out.stopped[group] += 1
        else:
            out.doubtful[group] += 1
    return out


def presence(log: Log, selection: Selection, spans: Sequence[tuple[float, float]]) -> list[Presence]:
    """Return in which of these spans, each of which has no change in it, somebody publishes; not what is doubtful."""
    out: list[Presence] = []
    found = edges(log)
    for begin, end in spans:
        states = {
            state
            for (key, label), state in _at(found, begin).items()
            if selection(log.casts[key].identity, find(log.casts[key].stimuli, label))
        }
        if "live" in states:
            out.append(Presence(begin, end, there=True))
        elif states <= {"gone", "abrupt"}:
            out.append(Presence(begin, end, there=False))
    return out


def _at(found: Sequence[Edge], at: float) -> dict[Track, State]:
    before = [states for since, states in found if since <= at]
    return before[-1] if before else {}


def _was_live(found: Sequence[Edge], track: Track, begin: float, until: float) -> bool:
    """True when it was live for a second of the file before `until`."""
    ends = [since for since, _ in found[1:]] + [until]
    return any(
        states.get(track) == "live" and min(end, until) - max(since, begin) > 1.0
        for (since, states), end in zip(found, ends, strict=True)
    )
