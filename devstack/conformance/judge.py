"""Owns the judgement: what was planned against what was observed; pure, every finding is a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field

from devstack.conformance.case import Expect
from devstack.conformance.observe import Observation
from devstack.conformance.plan import Plan
from devstack.conformance.recording import Recording


@dataclass(slots=True)
class Verdict:
    """What is wrong with one recording, and its figures."""

    problems: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems


def judge(expect: Expect, plan: Plan, seen: Observation, recording: Recording) -> Verdict:
    """Compare."""
    verdict = Verdict()
    if recording.exit_code != expect.exit_code:
        verdict.problems.append(f"exit code {recording.exit_code}, expected {expect.exit_code}")
    if not plan.stretches:
        verdict.problems.append("the plan asks for nothing")
    verdict.problems += [error for piece in seen.pieces for error in piece.report.errors]
    return verdict
