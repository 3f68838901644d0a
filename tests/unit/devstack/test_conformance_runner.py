"""A case is repeated only when its failure may be the machine's, and the report tells of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devstack.conformance import report
from devstack.conformance.case import Case, Expect
from devstack.conformance.judge import Verdict
from devstack.conformance.outcome import Outcome
from devstack.conformance.recording import first_seen
from devstack.conformance.runner import Suite, Take
from devstack.conformance.scene import Scene
from devstack.conformance.score import Quality

pytestmark = pytest.mark.unit


class Scripted(Suite):
    """Outcomes as given, per case in order; nothing runs."""

    def __init__(self, directory: Path, **results: list[tuple[str, float]]) -> None:
        super().__init__(directory, progress=lambda _: None)
        self.results = results

    def record(self, case: Case) -> Take:
        failure, stalled = self.results[case.name].pop(0)
        return Take(Outcome(case, failure=failure, stalled=stalled), None)


def case(name: str) -> Case:
    return Case(name=name, proves="Something.", script=lambda _: None)


def test_a_failure_on_a_busy_machine_is_repeated_and_told(tmp_path: Path) -> None:
    suite = Scripted(tmp_path, a=[("late", 0.9), ("", 0.1)])

    (outcome,) = suite.run([case("a")], attempts=3)

    assert outcome.passed
    assert outcome.notes == ["attempt 1 failed: late"]


def test_a_failure_on_a_calm_machine_is_one(tmp_path: Path) -> None:
    suite = Scripted(tmp_path, a=[("late", 0.1), ("", 0.1)])

    (outcome,) = suite.run([case("a")], attempts=3)

    assert not outcome.passed


def test_a_busy_machine_excuses_nothing_for_ever(tmp_path: Path) -> None:
    suite = Scripted(tmp_path, a=[("late", 0.9), ("later", 0.9), ("latest", 0.9)])

    (outcome,) = suite.run([case("a")], attempts=2)

    assert outcome.problems == ["later"]
    assert outcome.word == "FAILED"


def test_cases_side_by_side_come_back_in_their_order_and_failures_are_repeated_alone(tmp_path: Path) -> None:
    suite = Scripted(tmp_path, a=[("", 0.1)], b=[("late", 0.1), ("", 0.1)], c=[("", 0.1)])

    outcomes = suite.run([case("a"), case("b"), case("c")], jobs=2, attempts=2)

    assert [outcome.case.name for outcome in outcomes] == ["a", "b", "c"]
    assert all(outcome.passed for outcome in outcomes)


def test_what_failed_alone_on_a_calm_machine_has_failed_also_after_it_failed_beside_another(
    tmp_path: Path,
) -> None:
    suite = Scripted(tmp_path, a=[("late", 0.1), ("off by 15 ms", 0.1), ("", 0.1)], b=[("", 0.1)])

    outcomes = suite.run([case("a"), case("b")], jobs=2, attempts=3)

    assert (outcomes[0].passed, outcomes[0].problems, outcomes[0].earlier) == (
        False,
        ["off by 15 ms"],
        ["late"],
    )


def test_a_case_that_is_always_alone_is_judged_by_its_first_run(tmp_path: Path) -> None:
    suite = Scripted(tmp_path, a=[("late", 0.1), ("", 0.1)], b=[("", 0.1)])
    lonely = Case(name="a", proves="Something.", script=lambda _: None, alone=True)

    outcomes = suite.run([lonely, case("b")], jobs=2, attempts=3)

    assert [outcome.passed for outcome in outcomes] == [False, True]


def test_a_case_that_fails_to_run_has_failed_with_its_reason(tmp_path: Path) -> None:
    def script(scene: Scene) -> None:
        raise TimeoutError("no recorder")

    suite = Suite(tmp_path, progress=lambda _: None)
    (outcome,) = suite.run([Case(name="a", proves="Something.", script=script)])

    assert outcome.problems == ["TimeoutError: no recorder"]
    assert "no recorder" in (tmp_path / "a" / "traceback.txt").read_text()


def test_a_case_that_cannot_run_here_is_skipped_not_passed(tmp_path: Path) -> None:
    here = Case(name="a", proves="Something.", script=lambda _: None, unavailable=lambda: "no browser")
    (outcome,) = Suite(tmp_path, progress=lambda _: None).run([here])

    assert (outcome.word, outcome.passed, outcome.skipped) == ("skipped", False, "no browser")


def test_an_interrupted_suite_ends_its_waits(tmp_path: Path) -> None:
    suite = Suite(tmp_path, progress=lambda _: None)
    suite._interrupted.set()
    (outcome,) = suite.run([Case(name="a", proves="Something.", script=lambda scene: scene.sleep(60))])

    assert "InterruptedError" in outcome.failure


def test_a_machine_that_the_hypervisor_withheld_excuses_like_a_busy_one() -> None:
    outcome = Outcome(case("a"), failure="late", stolen=0.02)

    assert outcome.disturbed
    assert outcome.notes == ["the hypervisor withheld a CPU during 2.0% of the time"]
    assert not Outcome(case("a"), stolen=0.001).disturbed


@pytest.mark.parametrize(
    ("offsets", "missed"),
    [([4.0, -6.0] * 20, []), ([12.0] * 40, ["mean"]), ([-40.0, 40.0] * 20, ["95 %"])],
)
def test_all_flashes_together_have_limits_of_their_own(offsets: list[float], missed: list[str]) -> None:
    """A case has too few of them for a share of 95 %."""
    outcome = Outcome(case("a"), verdicts=[Verdict(quality=Quality(100.0, tuple(offsets)))])

    problems = report.pooled_problems(report.summary([outcome]))

    assert [next(word for word in ("mean", "95 %") if word in problem) for problem in problems] == missed


def test_all_tones_together_may_break_once_in_ten_minutes() -> None:
    """Each case is allowed one, because it cannot tell a tenth of a break."""

    def problems(*breaks: int, tone: float) -> list[str]:
        outcomes = [Outcome(case("a"), verdicts=[Verdict(breaks=count, tone=tone)]) for count in breaks]
        return report.pooled_problems(report.summary(outcomes))

    assert problems(1, 0, 0, tone=8.0) == []
    assert problems(1, 1, 0, tone=8.0) == [
        "the continuous tones of all cases break 2 times in 0.4 minutes, allowed are 1"
    ]
    assert problems(1, 1, 0, tone=300.0) == []


def test_breaks_of_cases_with_faults_are_not_pooled() -> None:
    faulty = replace(case("a"), expect=Expect(score=None, phase_breaks=1000))
    total = report.summary([Outcome(faulty, verdicts=[Verdict(breaks=9, tone=8.0)])])

    assert (total.breaks, total.tone) == (0, 0)


def test_when_a_recorder_first_saw_a_track_of_each_kind_is_in_its_log(tmp_path: Path) -> None:
    lines = [
        '{"time": "2026-11-27T21:10:43.000+00:00", "message": "recorded tracks", "tracks": []}',
        '{"time": "2026-11-27T21:10:43.500+00:00", "message": "recorded tracks", "tracks": ["video CAMERA TR_1"]}',
        "not JSON",
        (
            '{"time": "2026-11-27T21:10:44.000+00:00", "message": "recorded tracks",'
            ' "tracks": ["audio MICROPHONE TR_2", "video CAMERA TR_1"]}'
        ),
    ]
    log = tmp_path / "recorder.log"
    log.write_text("\n".join(lines))

    seen = first_seen(log)

    assert seen["audio"] - seen["video"] == pytest.approx(0.5)
    assert seen["video"] == datetime(2026, 11, 27, 21, 10, 43, 500000, UTC).timestamp()
