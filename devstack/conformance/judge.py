"""Owns the verdict on one recording: everything that was judged put together; pure, every finding is a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from devstack.conformance import score
from devstack.conformance.case import Expect
from devstack.conformance.intervals import length, subtract
from devstack.conformance.judge_container import Remains, judge_file, judge_result, judge_times, waited
from devstack.conformance.judge_manifest import EDGE, HOLE, Account, account, judge_gaps, judge_spans
from devstack.conformance.judge_pictures import Canvas, PictureFindings, flashes, judge_pictures
from devstack.conformance.judge_sound import SoundFindings, beeps, judge_sound
from devstack.conformance.observe import Observation
from devstack.conformance.plan import Plan
from devstack.conformance.score import Quality

CADENCE = 120.0
"""Milliseconds; LiveKit's criterion for the drift of flashes and beeps from whole seconds."""
FEW, NONE = 10, 4
"""Pairs of flash and beep below which 95 % of them is just the worst one, so that only the middle of them is judged, and
below which nothing is said."""


@dataclass(slots=True)
class Verdict:
    """What is wrong with one recording, and its figures."""

    problems: list[str] = field(default_factory=list)
    quality: Quality = field(default_factory=lambda: Quality(None))
    """Of the publisher that scored worst."""
    missing: int = 0
    due: int = 0
    frozen_ms: float = 0.0
    breaks: int = 0
    tone: float = 0.0
    """Seconds of continuous tone that have these breaks."""
    start_ms: float | None = None
    """First media after recorder and track were there."""
    placed_ms: float | None = None
    """Median of what the file's clock says of a picture minus when it was captured."""

    @property
    def passed(self) -> bool:
        """True when nothing is wrong."""
        return not self.problems


def judge(expect: Expect, plan: Plan, seen: Observation, left: Remains) -> Verdict:
    """Compare what was planned with what was observed."""
    verdict = Verdict(problems=judge_result(expect, left))
    if not expect.parts:
        if seen.pieces:
            verdict.problems.append("there is a file although nothing was to be recorded")
        return verdict
    if not seen.pieces:
        verdict.problems.append("there is no file")
        return verdict
    if not plan.stretches:
        verdict.problems.append("the plan asks for nothing: the case is too short")
    verdict.problems += judge_times(expect, plan, seen, left)
    verdict.start_ms = waited(plan, seen, left) * 1000
    parts = left.manifest.parts if left.manifest else ()
    for piece, part in zip(seen.pieces, parts, strict=False):
        verdict.problems += judge_file(expect, piece, left.encoding, part.duration)
    zero = seen.pieces[0].zero
    told = account(left.manifest) if left.manifest else Account((), (), ())
    verdict.problems += judge_gaps(plan, told, zero=zero)
    # Where pictures may stand still for longer than that, the manifest has to tell of it.
    verdict.problems += judge_spans(plan, told, zero=zero, stalls=expect.frozen > HOLE * 1000)
    if expect.has_video:
        canvas = Canvas(left.encoding.width, left.encoding.height, left.encoding.framerate)
        _pictures(verdict, expect, judge_pictures(plan, seen, zero, canvas), left)
    sound = judge_sound(plan, seen, zero) if expect.has_audio else SoundFindings()
    _sound(verdict, expect, sound, left, told, zero)
    _quality(verdict, expect, plan, seen, sound)
    return verdict


def _pictures(verdict: Verdict, expect: Expect, found: PictureFindings, left: Remains) -> None:
    verdict.problems += found.problems
    verdict.missing, verdict.due, verdict.frozen_ms = found.missing, found.due, found.frozen_ms
    dropped = left.manifest.progress.frames_dropped if left.manifest else 0
    if found.missing > dropped + expect.missing:
        verdict.problems.append(
            f"{found.missing} of {found.due} frame numbers are missing, {dropped} were counted as dropped"
            + (f", {expect.missing} are allowed" if expect.missing else "")
        )
    if found.frozen_ms > expect.frozen + 1:
        verdict.problems.append(
            f"the picture stands still for {found.frozen_ms:.0f} ms, allowed are {expect.frozen:.0f}"
        )
    if found.placed_ms:
        verdict.placed_ms = float(np.median(found.placed_ms))
        if expect.clock is not None and abs(verdict.placed_ms) > expect.clock:
            verdict.problems.append(
                f"the manifest's UTC of pictures is {verdict.placed_ms:+.0f} ms off, allowed are ±{expect.clock:g}"
            )


def _sound(
    verdict: Verdict, expect: Expect, found: SoundFindings, left: Remains, told: Account, zero: float
) -> None:
    verdict.problems += found.problems
    verdict.breaks, verdict.tone = len(found.breaks), found.judged
    # One in ten minutes is what a jitter buffer may do without a fault. A short case has the same allowance, because it cannot
    # tell a tenth of one; all cases together are held to it (`report.pooled_problems`).
    if verdict.breaks > max(expect.phase_breaks, expect.phase_breaks * found.judged / 600):
        places = " ".join(f"{at - zero:.2f}" for at in found.breaks[:8])
        verdict.problems.append(f"the continuous tone breaks {verdict.breaks} times, at {places} s")
    verdict.problems += [
        f"{at - zero:.2f} s: a hole of {seconds:.2f} s that the manifest does not list"
        for at, seconds in found.holes
        if seconds > HOLE + EDGE and length(subtract((at, at + seconds), told.silent())) > 2 * EDGE
    ]
    # A manifest has no places of shorter ones, it counts them: what it counts beyond the times that it lists as without any track.
    short = [(at, seconds) for at, seconds in found.holes if seconds <= HOLE + EDGE]
    counted = left.manifest.progress.silence_inserted if left.manifest else 0.0
    listed = told.silent(surely=True)
    silence = max(0.0, counted - length(listed) + EDGE * len(listed))
    total = sum(seconds for _, seconds in short)
    if total > silence + 0.005:
        verdict.problems.append(
            f"{len(short)} holes of {total * 1000:.0f} ms in all, first at {short[0][0] - zero:.2f} s;"
            f" the manifest counts {silence * 1000:.0f} ms of silence beside what it lists"
        )


def _quality(verdict: Verdict, expect: Expect, plan: Plan, seen: Observation, sound: SoundFindings) -> None:
    """Score every publisher by itself; the worst counts."""
    voices = {voice for stretch in plan.stretches for voice in stretch.voices}
    for key in sorted({voice.key for voice in voices}):
        lit: list[float] = []
        heard: list[float] = []
        for stretch_voice in sorted((v for v in voices if v.key == key), key=lambda v: v.label):
            if stretch_voice.label.startswith("video"):
                lit += flashes(seen, plan, key, stretch_voice.variant)
            else:
                heard += beeps(sound, plan, stretch_voice)
        quality = score.quality(sorted(lit), sorted(heard))
        for what, events in (("flashes", lit), ("beeps", heard)):
            drift = score.cadence(sorted(events))
            if drift is not None and drift > CADENCE:
                verdict.problems.append(f"{key}: the {what} drift by {drift:.0f} ms from whole seconds")
        judge_limits(verdict, expect, key, quality)
        if verdict.quality.score is None or (quality.score or 100) < verdict.quality.score:
            verdict.quality = quality


def judge_limits(verdict: Verdict, expect: Expect, key: str, quality: Quality) -> None:
    """Hold one publisher's figures against the case's limits."""
    if expect.score is not None and quality.score is not None and quality.score < expect.score:
        verdict.problems.append(f"{key}: score {quality.score:.1f}, required {expect.score:g}")
    if len(quality.offsets) < NONE or quality.mean is None or quality.p95 is None:
        return
    if len(quality.offsets) < FEW:
        typical = float(np.median(quality.offsets))
        if abs(typical) > expect.sync_mean:
            verdict.problems.append(
                f"{key}: median A/V offset {typical:+.1f} ms of {len(quality.offsets)}, allowed ±{expect.sync_mean:g}"
            )
        return
    if abs(quality.mean) > expect.sync_mean:
        verdict.problems.append(
            f"{key}: mean A/V offset {quality.mean:+.1f} ms, allowed ±{expect.sync_mean:g}"
        )
    if quality.p95 > expect.sync_p95:
        verdict.problems.append(
            f"{key}: 95 % of the A/V offsets within ±{quality.p95:.0f} ms, not ±{expect.sync_p95:g}"
        )
