"""Owns what came of one case."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from devstack.conformance.case import Case
from devstack.conformance.judge import Verdict
from devstack.conformance.strip import Strip

BUSY, STOLEN = 0.3, 0.01
"""Part of the time of a case in which something waited for a CPU, and in which the hypervisor withheld one: above these
its measurements prove nothing. A case lasts some ten seconds, in which the second is one stall that is seen and heard."""


@dataclass(slots=True)
class Outcome:
    """A verdict per recording, or the reason why there is none."""

    case: Case
    verdicts: list[Verdict] = field(default_factory=list)
    strips: list[Strip] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    played: int = 0
    """Files that Chromium played to their end."""
    failure: str = ""
    """The script or a program failed."""
    skipped: str = ""
    """Why it cannot run here."""
    seconds: float = 0.0
    stalled: float = 0.0
    """Part of its time in which something on this machine waited for a CPU (PSI); a busy machine disturbs what is measured."""
    stolen: float = 0.0
    """Part of its time in which the hypervisor ran something else on a CPU (steal, proc(5)); PSI does not see that."""
    beside: bool = False
    """Recorded beside another case: its measurements prove nothing either, when they miss a limit."""
    earlier: list[str] = field(default_factory=list)
    """First problem of each attempt before this one, on a busy machine or beside another case."""

    @property
    def passed(self) -> bool:
        """True when everything is as it has to be."""
        return not self.failure and not self.skipped and all(verdict.passed for verdict in self.verdicts)

    @property
    def word(self) -> str:
        """The verdict for people."""
        return "skipped" if self.skipped else "passed" if self.passed else "FAILED"

    @property
    def disturbed(self) -> bool:
        """True when the machine was busy, or was not ours, or another case's: this one may be repeated."""
        return self.beside or self.stalled > BUSY or self.stolen > STOLEN

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures should know."""
        notes = [f"attempt {index} failed: {problem}" for index, problem in enumerate(self.earlier, 1)]
        if self.stalled > BUSY:
            notes.append(f"something waited for a CPU during {self.stalled:.0%} of the time")
        if self.stolen > STOLEN:
            notes.append(f"the hypervisor withheld a CPU during {self.stolen:.1%} of the time")
        return notes

    @property
    def problems(self) -> list[str]:
        """All that is not as it has to be."""
        found = [problem for verdict in self.verdicts for problem in verdict.problems]
        return [*found, self.failure] if self.failure else found
