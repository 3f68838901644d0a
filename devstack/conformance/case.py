"""Owns what a case is: a name, the behaviour it proves, a script, and what is expected of the result beside the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from devstack.conformance.plan import OURS, Grace
from devstack.conformance.scene import Scene
from egress_recorder.contract import EndReason, Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What must be true of a recording, beside what its plan asks. Limits are those of issue 5; ms unless said."""

    exit_code: int = 0
    phase: Phase = Phase.COMPLETE
    reason: str = EndReason.STOP_REQUESTED.value
    """Of `details`: "End reason: …"."""
    error: str = ""
    """Text that the error must contain; "": there is none."""
    has_video: bool = True
    has_audio: bool = True
    parts: int = 1
    """Files; 0: nothing is recorded."""
    gaps: tuple[float, float] = (0.0, 0.0)
    """Least and greatest sum of the manifest's gaps in seconds."""
    listed: tuple[str, ...] | None = None
    """Reasons of the gaps that the manifest lists inside the files, in order; None: only where they are (`judge_manifest`)."""
    clock: float | None = 60.0
    """Greatest distance of the manifest's UTC of a picture from the time it was captured; None: not asked."""
    start: float = 0.7
    """Seconds from the moment at which the recorder is there and sees a track to the first recorded media, of one that waits to the
    first picture as well."""
    end: float = 0.3
    """Seconds by which the end may differ from the planned one."""
    sync_mean: float = 10.0
    sync_p95: float = 30.0
    score: float | None = 95.0
    """Least score by LiveKit's formula; None: not asked (network faults, no pairs of flash and beep)."""
    frozen: float = 100.0
    """Longest time without a new picture while one is due."""
    missing: int = 0
    """Frame numbers that may be missing although nobody counted them as dropped."""
    phase_breaks: int = 1
    """Of the tone in ten minutes, and in a shorter case; all cases without faults together have one in ten minutes (`report`)."""
    bitrate: float = 1.05
    """Times the asked bitrate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One behaviour and its proof."""

    name: str
    proves: str
    """One line, as docs/behaviour.md says it."""
    script: Callable[[Scene], None]
    """Acts on the scene; whatever still records at its end is stopped."""
    expect: Expect = field(default_factory=Expect)
    grace: Grace = OURS
    seconds: float = 12.0
    """Roughly how long the script takes."""
    short: bool = False
    """Runs in the shortened form (`make test`)."""
    alone: bool = False
    """Measures time or needs the whole machine: never runs beside another case."""
    unavailable: Callable[[], str] = lambda: ""
    """Says why it cannot run here; "" when it can."""
