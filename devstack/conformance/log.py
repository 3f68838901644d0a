"""Owns what a case did, as it happened: who was there with what, which commands were carried out when; pure.

Times are wall clock (UNIX seconds).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from devstack.conformance.actor import Effect, Kind, Stimulus


@dataclass(frozen=True, slots=True)
class Cast:
    """An actor as a plan knows it; a participant that comes again is another cast of the same identity."""

    key: str
    identity: str
    start: float
    framerate: int
    stimuli: tuple[Stimulus, ...]
    published: frozenset[str]
    entered: float
    """When it had published what it publishes at once."""


@dataclass(frozen=True, slots=True)
class Change:
    """A command as it was carried out between `begin` and `end`."""

    begin: float
    end: float
    key: str
    effect: Effect


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which a kind of media (None: both) is not judged, and why."""

    begin: float
    end: float
    kind: Kind | None
    reason: str


@dataclass(frozen=True, slots=True)
class Size:
    """From `at` on the pictures of a cast have this size as they are drawn, pixels."""

    at: float
    key: str
    width: int
    height: int


@dataclass(slots=True)
class Log:
    """What a case did."""

    casts: dict[str, Cast] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    disturbances: list[Window] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
