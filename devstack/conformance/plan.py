"""Owns what must be seen and heard when, and what must not: from what a case really did and at what time; pure.

Times are wall clock (UNIX seconds), taken before and after each command. Around every change lies a grace window in
which nothing is asked; all of them are listed in the plan, so that a report can show what was not judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from devstack.conformance.actor import Effect, Kind, Layout, find
from devstack.conformance.attendance import Attendance, Presence, Selection, attendance, edges, presence
from devstack.conformance.grace import LIVEKIT, OURS, Grace
from devstack.conformance.intervals import subtract
from devstack.conformance.log import Cast, Change, Log, Size, Window

__all__ = [  # the words of a plan, in one place for those who write cases
    "LIVEKIT",
    "OURS",
    "Cast",
    "Change",
    "Grace",
    "Log",
    "Plan",
    "Selection",
    "Stretch",
    "Voice",
    "Window",
    "build",
    "subtract",
]


@dataclass(frozen=True, slots=True)
class Voice:
    """One track of one cast: what is to be recognised in the file."""

    key: str
    label: str
    variant: int
    layout: Layout = "both"
    """Of sound."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time outside all grace windows in which exactly these are seen (at most one) or heard."""

    kind: Kind
    begin: float
    end: float
    voices: frozenset[Voice]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Plan:
    """What the file of one recording must hold."""

    begin: float
    """Latest wall clock of its first media; 0: nothing is ever to be recorded."""
    end: float
    """Wall clock of its end."""
    stretches: tuple[Stretch, ...]
    graces: tuple[Window, ...]
    casts: dict[str, Cast]
    settling: tuple[Window, ...] = ()
    """Times in which only presence and absence are judged."""
    sizes: tuple[Size, ...] = ()
    attendance: tuple[Attendance, ...] = ()
    """Which tracks the manifest must have from when to when."""
    ready: float = 0.0
    """When the recorder was in the room."""
    presence: tuple[Presence, ...] = ()
    """When somebody publishes and when nobody does: the manifest lists the latter as gaps."""

    def of(self, kind: Kind) -> list[Stretch]:
        """Return the stretches of one kind."""
        return [stretch for stretch in self.stretches if stretch.kind == kind]

    def size(self, key: str, at: float) -> tuple[int, int] | None:
        """Return width and height of what a cast draws at a time; None when nobody said it."""
        known = [size for size in self.sizes if size.key == key and size.at <= at]
        return (known[-1].width, known[-1].height) if known else None

    def settled(self, stretch: Stretch) -> list[tuple[float, float]]:
        """Return the parts of a stretch in which everything is judged."""
        holes = [(w.begin, w.end) for w in self.settling if w.kind in {None, stretch.kind}]
        return subtract((stretch.begin, stretch.end), holes)

    def is_settled(self, at: float, kind: Kind) -> bool:
        """True when everything of this kind is judged at this time."""
        return not any(w.begin <= at < w.end for w in self.settling if w.kind in {None, kind})


SETTLES = "published"
KINDS: tuple[Kind | None, ...] = ("audio", "video", None)


def build(log: Log, selection: Selection, window: tuple[float, float], grace: Grace) -> Plan:
    """Return the plan of a recording that was ready at `window[0]` and ended at `window[1]`."""
    ready, end = window
    times, states = _states(log, selection)
    first = next((at for at, (sight, sounds) in zip(times, states, strict=True) if sight or sounds), end)
    begin = max(ready, first)
    # The last state before the recorder was ready is what it finds.
    graces = [
        *log.disturbances,
        *_graces(log, selection, grace),
        Window(ready, begin + grace.publish, None, "start"),
        Window(end - grace.tail, end, None, "end"),
    ]
    stretches: list[Stretch] = []
    for kind in ("video", "audio"):
        spans = [
            (max(a, begin), min(b, end), sight if kind == "video" else sounds)
            for (a, b), (sight, sounds) in zip(
                itertools.pairwise([*times, float("inf")]), states, strict=True
            )
        ]
        closed = [(w.begin, w.end) for w in graces if w.kind in {None, kind}]
        for a, b, voices in _merged(spans):
            stretches += [
                Stretch("video" if kind == "video" else "audio", x, y, voices)
                for x, y in subtract((a, b), closed)
                if y - x > 0.05
            ]
    settling = [
        Window(begin, begin + grace.settle, None, "start"),
        *(
            Window(w.begin, w.end + max(0.0, grace.settle - grace.publish), w.kind, w.reason)
            for w in _graces(log, selection, grace)
            if w.reason.endswith(SETTLES)
        ),
    ]
    # No change lies in what is left between the grace windows, because there is one around each of them.
    quiet = {
        kind: subtract(
            (begin, end), [(w.begin, w.end) for w in graces if kind is None or w.kind in {None, kind}]
        )
        for kind in KINDS
    }
    return Plan(
        begin,
        end,
        tuple(stretches),
        tuple(graces),
        dict(log.casts),
        tuple(settling),
        tuple(log.sizes),
        tuple(
            one for kind in ("audio", "video") for one in attendance(log, selection, kind, quiet[kind], begin)
        ),
        ready,
        tuple(presence(log, selection, quiet[None])),
    )


def _states(
    log: Log, selection: Selection
) -> tuple[list[float], list[tuple[frozenset[Voice], frozenset[Voice]]]]:
    """Return the times of changes, and what is seen and heard from each of them on."""
    order: list[tuple[str, str]] = []
    times: list[float] = []
    states: list[tuple[frozenset[Voice], frozenset[Voice]]] = []
    for at, tracks in edges(log):
        live = [track for track, state in tracks.items() if state == "live"]
        order = [track for track in order if track in live] + [track for track in live if track not in order]
        times.append(at)
        states.append(_state(log, selection, order))
    return times, states


def _state(
    log: Log, selection: Selection, order: Sequence[tuple[str, str]]
) -> tuple[frozenset[Voice], frozenset[Voice]]:
    """The newest live picture is seen, all live sounds are heard (a silent one adds nothing)."""
    sight: list[Voice] = []
    sounds: list[Voice] = []
    for key, label in order:
        cast = log.casts[key]
        stimulus = find(cast.stimuli, label)
        if not selection(cast.identity, stimulus):
            continue
        voice = Voice(key, label, stimulus.variant, stimulus.layout)
        if stimulus.kind == "video":
            sight.append(voice)
        elif not stimulus.silent:
            sounds.append(voice)
    return frozenset(sight[-1:]), frozenset(sounds)


def _graces(log: Log, selection: Selection, grace: Grace) -> list[Window]:
    windows: list[Window] = []
    entered = Effect("*", "unpublished", off=False)
    changes = [
        *(Change(cast.entered - 1.0, cast.entered, cast.key, entered) for cast in log.casts.values()),
        *log.changes,
    ]
    for change in changes:
        cast = log.casts[change.key]
        touched: set[Kind] = {
            stimulus.kind
            for stimulus in cast.stimuli
            if change.effect.label in {"*", stimulus.label} and selection(cast.identity, stimulus)
        }
        windows += [
            Window(
                change.begin - grace.before,
                change.end + grace.after(change.effect, kind),
                kind,
                f"{change.key} {change.effect.label} {_word(change.effect)}",
            )
            for kind in touched
        ]
    return windows


def _word(effect: Effect) -> str:
    """Name what happened."""
    words = {
        "unpublished": ("unpublished", SETTLES),
        "muted": ("muted", "unmuted"),
        "held": ("held", "resumed"),
        "away": ("left", SETTLES),
    }
    return words[effect.reason][not effect.off] if effect.reason in words else effect.reason


def _merged(
    spans: Sequence[tuple[float, float, frozenset[Voice]]],
) -> list[tuple[float, float, frozenset[Voice]]]:
    """Join neighbours that ask for the same."""
    out: list[tuple[float, float, frozenset[Voice]]] = []
    for begin, end, voices in spans:
        if end <= begin:
            continue
        if out and out[-1][2] == voices and abs(out[-1][1] - begin) < 1e-6:
            out[-1] = (out[-1][0], end, voices)
        else:
            out.append((begin, end, voices))
    return out
