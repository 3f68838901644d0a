"""Owns the interface of a source: it joins, chooses tracks, feeds a `MediaSink` and tells a `SourceListener` what happens.

Times are monotonic seconds. A source never ends a recording: it tells who is there and the session decides.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from egress_recorder.errors import RecorderError
from egress_recorder.vocabulary import Track


class RoomEnd(enum.Enum):
    """Why a source's room is over for good."""

    CLOSED = "closed"
    """The room was deleted or closed, or we were removed from it."""
    SUPERSEDED = "superseded"
    """Another participant took our identity."""
    LOST = "lost"
    """The connection is gone and could not be made again."""
    LEFT = "left"
    """We left."""


class SourceListener(Protocol):
    """What a source tells. Called in the event loop; returns at once."""

    def joined(self, room_id: str) -> None:
        """We are in the room (again)."""

    def tracks(self, tracks: Sequence[Track], publisher: str) -> None:
        """The recorded tracks or their states changed."""

    def present(self, at: float) -> None:
        """Who or what is to be recorded is there. May be repeated."""

    def absent(self, at: float, *, certain: bool) -> None:
        """It is gone since `at`; not `certain`: it may be a reconnect, ours or theirs."""

    def disconnected(self, at: float) -> None:
        """Our own connection was lost; the SDK or the source tries to restore it."""

    def connected(self, at: float) -> None:
        """Our own connection is back."""

    def refused(self, error: RecorderError) -> None:
        """What is there cannot be recorded."""


class Source(Protocol):
    """One recording's view of one room."""

    async def run(self) -> RoomEnd:
        """Join and stay until the room is over for good. Raises RecorderError when joining is hopeless."""

    async def leave(self) -> None:
        """Leave within two seconds; `run` then returns LEFT."""

    def renew(self, token: str) -> None:
        """Use this access token at the next join."""

    def missing(self) -> str:
        """Say what is awaited and not there, for people: `participant alice`, `track TR_x`."""
