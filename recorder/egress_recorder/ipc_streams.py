"""Owns what supervisor and capture process tell each other of streams. Standard library only (see `ipc`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTarget:
    """Where a stream goes. `key` names it in the recording, `id` is the user's (StreamDestination), "" for plain URLs."""

    key: str
    url: str = field(repr=False)
    """Resolved (`streamurls.resolve_url`); a secret."""
    protocol: str
    id: str = ""
    output: int = 0
    """Index in spec.streamOutputs."""
    resumed: bool = False
    """An earlier part has had a receiver for it: a first connection that fails is tried again."""
    error: str = ""
    """Why it cannot be, where there is no URL: it has failed from the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReport:
    """LiveKit's StreamInfo of one stream, as of now."""

    key: str
    id: str = ""
    output: int = 0
    url: str
    """Redacted."""
    status: str = "ACTIVE"
    """ACTIVE, FINISHED or FAILED."""
    started_at: datetime | None = None
    """When the receiver took it for the first time."""
    ended_at: datetime | None = None
    error: str = ""
    retries: int = 0
    last_retry_at: datetime | None = None
    dropped: int = 0
    """Packets that were left out because the receiver was too slow."""


def targets(documents: Iterable[Mapping[str, Any]]) -> tuple[StreamTarget, ...]:
    """Return targets from their JSON. Raises TypeError."""
    return tuple(StreamTarget(**document) for document in documents)
