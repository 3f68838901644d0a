"""Owns when a recording's subject counts as gone; pure, `now` and `at` are monotonic seconds.

LiveKit ends a recording the moment its participant leaves. We do so for a leave with a reason; one without may be a
full reconnect (ours looks exactly like that) and is confirmed for `CONFIRM` seconds in which our own connection was
up. A `rejoinTimeout` keeps the recording open longer. The file ends at the departure in every case.
"""

from __future__ import annotations

from dataclasses import dataclass

CONFIRM = 25.0
"""Seconds; the server drops a vanished participant after about 20."""
CONTINUING_WAIT = 30.0
"""Least seconds that a later part of a recording waits for its subject."""


@dataclass(frozen=True, slots=True)
class NeverCame:
    """The subject did not appear in time."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The subject left at `at` and is not expected back."""

    at: float


class Presence:
    """Follows one subject through arrivals, departures and our own lost connections."""

    def __init__(self, *, wait: float | None, rejoin: float, continuing: bool, now: float) -> None:
        """`wait`: seconds for the first arrival, None for ever; `rejoin`: seconds after a departure."""
        if continuing:
            wait = max(rejoin, CONTINUING_WAIT)
        self._deadline = None if wait is None else now + wait
        self._rejoin = rejoin
        self._seen = False
        self._left_at: float | None = None
        self._certain = False
        self._connected = True
        self._connected_since = now

    @property
    def left_at(self) -> float | None:
        """Since when the subject is absent; None while it is there or never came."""
        return self._left_at

    @property
    def absence(self) -> str:
        """Why media is missing, for the manifest."""
        return "absent" if self._connected else "connection lost"

    def arrived(self) -> None:
        """The subject is there."""
        self._seen, self._left_at, self._certain = True, None, False

    def departed(self, at: float, *, certain: bool) -> None:
        """The subject is gone; the first departure counts, a later one can only make it certain."""
        if self._left_at is None:
            self._left_at = at
        self._certain = self._certain or certain

    def disconnected(self) -> None:
        """Our own connection went: nobody can be seen to return."""
        self._connected = False

    def connected(self, at: float) -> None:
        """Our own connection is back."""
        if not self._connected:
            self._connected, self._connected_since = True, at

    def deadline(self) -> float | None:
        """When `verdict` may change without another event; None: never."""
        if not self._seen:
            return self._deadline
        if self._left_at is None or not self._connected:
            return None
        if self._certain:
            return self._left_at + self._rejoin
        return max(self._left_at, self._connected_since) + max(self._rejoin, CONFIRM)

    def verdict(self, now: float) -> NeverCame | Gone | None:
        """Return why the recording is over, None while it is not."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return None
        if self._left_at is None:
            return NeverCame()
        return Gone(self._left_at)
