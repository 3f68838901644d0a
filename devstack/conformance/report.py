"""Owns the report as text: one line per case, the pooled figures, and last a line `figure:`; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from devstack.conformance.case import Expect
from devstack.conformance.outcome import Outcome

BREAK_SECONDS = 600.0
"""Of tone, in which one break is allowed (issue 5)."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures over all cases. Sync is pooled over the cases that limit it (no network faults)."""

    cases: int
    passed: int
    failed: int
    skipped: int
    least_score: float | None
    sync_mean: float | None
    """Milliseconds, flash minus beep."""
    sync_p95: float | None
    pairs: int
    breaks: int
    """Of the continuous tone, in the cases without faults."""
    tone: float
    """Seconds of tone in them."""
    files: int
    played: int
    """Files that headless Chromium played to their end."""


def summary(outcomes: Sequence[Outcome]) -> Summary:
    """Count and pool."""
    skipped = sum(bool(outcome.skipped) for outcome in outcomes)
    passed = sum(outcome.passed for outcome in outcomes)
    calm = [
        verdict.quality
        for outcome in outcomes
        if outcome.case.expect.score is not None
        for verdict in outcome.verdicts
    ]
    faultless = [
        verdict
        for outcome in outcomes
        if outcome.case.expect.score is not None and outcome.case.expect.phase_breaks <= Expect().phase_breaks
        for verdict in outcome.verdicts
    ]
    offsets = [ms for quality in calm for ms in quality.offsets]
    scores = [quality.score for quality in calm if quality.score is not None]
    return Summary(
        cases=len(outcomes),
        passed=passed,
        failed=len(outcomes) - passed - skipped,
        skipped=skipped,
        least_score=min(scores, default=None),
        sync_mean=float(np.mean(offsets)) if offsets else None,
        sync_p95=float(np.percentile(np.abs(offsets), 95)) if offsets else None,
        pairs=len(offsets),
        breaks=sum(verdict.breaks for verdict in faultless),
        tone=sum(verdict.tone for verdict in faultless),
        files=sum(len(outcome.files) for outcome in outcomes),
        played=sum(outcome.played for outcome in outcomes),
    )


def pooled_problems(total: Summary) -> list[str]:
    """Return which limits all cases together miss: a case has few flashes for a share of 95 %, and seconds where minutes count."""
    limits = Expect()
    problems = []
    if total.sync_mean is not None and abs(total.sync_mean) > limits.sync_mean:
        problems.append(
            f"the mean A/V offset of all cases is {total.sync_mean:+.1f} ms, allowed ±{limits.sync_mean:g}"
        )
    if total.sync_p95 is not None and total.sync_p95 > limits.sync_p95:
        problems.append(
            f"95 % of all A/V offsets are within ±{total.sync_p95:.0f} ms, allowed ±{limits.sync_p95:g}"
        )
    allowed = max(1, math.ceil(total.tone / BREAK_SECONDS)) * limits.phase_breaks
    if total.breaks > allowed:
        problems.append(
            f"the continuous tones of all cases break {total.breaks} times in {total.tone / 60:.1f} minutes, allowed are {allowed}"
        )
    return problems


HEADINGS = (
    "case",
    "verdict",
    "score",
    "sync mean",
    "sync 95 %",
    "missing",
    "frozen",
    "start",
    "UTC",
    "notes",
)


def row(outcome: Outcome) -> tuple[str, ...]:
    """Return the cells of one case; of several recordings the worst figure."""
    verdicts = outcome.verdicts
    scores = [v.quality.score for v in verdicts if v.quality.score is not None]
    means = [v.quality.mean for v in verdicts if v.quality.mean is not None]
    p95s = [v.quality.p95 for v in verdicts if v.quality.p95 is not None]
    starts = [v.start_ms for v in verdicts if v.start_ms is not None]
    clocks = [v.placed_ms for v in verdicts if v.placed_ms is not None]
    missing, due = sum(v.missing for v in verdicts), sum(v.due for v in verdicts)
    return (
        outcome.case.name,
        outcome.word,
        f"{min(scores):.1f}" if scores else "",
        f"{max(means, key=abs):+.1f} ms" if means else "",
        f"±{max(p95s):.0f} ms" if p95s else "",
        f"{missing}/{due}" if due else "",
        f"{max(v.frozen_ms for v in verdicts):.0f} ms" if due else "",
        f"{max(starts):+.0f} ms" if starts else "",
        f"{max(clocks, key=abs):+.0f} ms" if clocks else "",
        outcome.skipped or "; ".join([*outcome.problems, *outcome.notes]),
    )


def text(outcomes: Sequence[Outcome]) -> str:
    """Return the table."""
    rows = [HEADINGS, *(row(outcome) for outcome in outcomes)]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEADINGS) - 1)]
    lines = []
    for cells in rows:
        fixed = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells[:-1], widths, strict=True))
        ]
        lines.append("  ".join([*fixed, cells[-1]]).rstrip())
    lines.insert(1, "-" * max(len(line) for line in lines[:1]))
    total = summary(outcomes)
    lines += ["", headline(total)]
    return "\n".join(lines)


def headline(total: Summary) -> str:
    """Return one sentence for people."""
    sync = (
        ""
        if total.sync_mean is None or total.sync_p95 is None
        else f"; A/V offset {total.sync_mean:+.1f} ms, 95 % within ±{total.sync_p95:.0f} ms over {total.pairs} flashes"
    )
    breaks = f"; {total.breaks} breaks in {total.tone / 60:.1f} minutes of tone" if total.tone else ""
    least = "" if total.least_score is None else f"; least score {total.least_score:.1f}"
    played = f"; {total.played} of {total.files} files play to their end in Chromium" if total.played else ""
    return f"{total.passed} of {total.cases} cases pass, {total.failed} fail, {total.skipped} cannot run here{least}{sync}{breaks}{played}"


def figure(total: Summary) -> str:
    """Return the line for machines."""
    values = {
        "cases": total.cases,
        "passed": total.passed,
        "failed": total.failed,
        "skipped": total.skipped,
        "least_score": total.least_score,
        "sync_mean_ms": total.sync_mean,
        "sync_p95_ms": total.sync_p95,
        "tone_breaks": total.breaks,
        "tone_minutes": total.tone / 60,
        "files": total.files,
        "files_played": total.played,
    }
    return "figure: " + " ".join(f"{name}={value:.4g}" for name, value in values.items() if value is not None)
