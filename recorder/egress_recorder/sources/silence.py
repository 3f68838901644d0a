"""Owns which tracks are published and deliver nothing; pure, times are monotonic seconds.

A track can be announced, subscribed and dead: UDP that does not reach the server, a codec that nobody here decodes, AV1
under end-to-end encryption (livekit-client never sends a packet of it), a publisher that was suspended.
"""

from __future__ import annotations

from collections.abc import Iterable

MEDIA_TIMEOUT = 20.0
"""Seconds from the announcement of an unmuted track to its first packet that can be used."""


class Silence:
    """Tells once of every track that is silent for too long from its beginning on."""

    def __init__(self, timeout: float = MEDIA_TIMEOUT) -> None:
        self._timeout = timeout
        self._since: dict[str, float] = {}
        self._heard: set[str] = set()
        self._told: set[str] = set()

    @property
    def all_silent(self) -> bool:
        """True while no track at all has delivered anything."""
        return not self._heard

    def heard(self, track: str) -> None:
        """The track delivered something."""
        self._heard.add(track)

    def restart(self, now: float) -> None:
        """Our own connection was lost or is back: all have their time anew."""
        self._since = dict.fromkeys(self._since, now)

    def overdue(self, expected: Iterable[str], now: float) -> list[str]:
        """Return which of the tracks that should deliver are silent since `MEDIA_TIMEOUT`; each is told once."""
        waiting = [track for track in expected if track not in self._heard]
        self._since = {track: self._since.get(track, now) for track in waiting}
        late = [
            track
            for track, since in self._since.items()
            if now - since >= self._timeout and track not in self._told
        ]
        self._told.update(late)
        return late
