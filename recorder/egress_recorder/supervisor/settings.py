"""Owns what a supervisor is told about its surroundings and its patience."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from egress_recorder.retry import RetryPolicy
from egress_recorder.supervisor.attempt import AttemptLimits
from egress_recorder.supervisor.process import FINALIZE_COMMAND, Spawn, spawn_capture


def utc_now() -> datetime:
    """The clock of the supervisor."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where this recorder works and how patient it is (seconds)."""

    scratch: Path
    credentials_root: Path | None = None
    volumes_root: Path | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    limits: AttemptLimits = field(default_factory=AttemptLimits)
    spawn: Spawn = spawn_capture
    finalize_command: Sequence[str] = FINALIZE_COMMAND
    probe_patience: float = 15.0
    probe_head_start: float = 1.0
    """How long part 1 waits for the first word of its destinations."""
    manifest_patience: float = 3.0
    """How long part 2 and later wait for the earlier parts' manifest; the child loads its libraries meanwhile."""
    first_backoff: float = 0.2
    longest_backoff: float = 10.0
    hold_pause: float | None = None
    """Between two tries with the last copy of a file that no storage takes; None: the process ends, the file stays."""
    scratch_interval: float = 1.0
    """Between two looks at the scratch volume: less than 1 MB at 6 Mbit/s."""
    now: Callable[[], datetime] = utc_now
