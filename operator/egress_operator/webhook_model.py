"""Owns the values of webhooks: a receiver, how far it has got, what a request came to. No behaviour. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from yarl import URL


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where events of a recording go. `id` names it in status and holds nothing of its URL that could be secret."""

    id: str
    url: str = field(repr=False)
    signing_key: str = ""
    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    by_operator: bool = False
    """One of the operator's own: its administrator has chosen the URL."""

    def wants(self, event: str) -> bool:
        """Return whether the filter lets the event through: what is included, else what is not excluded."""
        return event in self.include if self.include else event not in self.exclude

    @property
    def origin(self) -> str:
        """Scheme, host and port: what may be shown. Path and query may hold somebody's token."""
        try:
            return str(URL(self.url).origin())
        except ValueError:
            return "an unreadable URL"

    @property
    def host(self) -> str:
        """Its host in lower case, as the client that sends reads it; empty when it is none that could be sent to."""
        try:
            return (URL(self.url).raw_host or "").lower()
        except ValueError:
            return ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """How far a receiver has got: the last event it has taken, or that was given up; and how many were given up."""

    sequence: int = 0
    dropped: int = 0
    message: str = ""
    """Why the last one was given up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came to. `message` is empty when the event was taken; it never quotes the receiver."""

    message: str = ""
    answered: bool = False
    """There was an answer, though not 2xx."""


Entry = dict[str, Any]
"""One event in `status.webhooks.events`: sequence, event, status, at, details."""
