"""The judge finds every flaw that a file can have, and nothing in a file without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from devstack.conformance.case import Case, Expect
from devstack.conformance.judge import Verdict, judge, judge_limits
from devstack.conformance.judge_container import Remains
from devstack.conformance.log import Size
from devstack.conformance.observe import Observation
from devstack.conformance.outcome import Outcome
from devstack.conformance.plan import OURS, Log, build
from devstack.conformance.report import figure, summary, text
from devstack.conformance.report_html import page
from devstack.conformance.score import Quality
from devstack.mediacheck import MediaReport
from devstack.testpattern import SAMPLE_RATE, sound
from egress_recorder.contract import Phase
from egress_recorder.spans import Span
from support.conformance_file import (
    BOTH,
    FPS,
    LENGTH,
    START,
    blacken,
    planned,
    recorded,
    remains,
    silence,
    verdict,
)

pytestmark = pytest.mark.unit


def test_a_perfect_file_passes_with_all_points() -> None:
    found = verdict(recorded())

    assert found.problems == []
    assert (found.quality.score, found.missing, found.breaks) == (100, 0, 0)
    assert found.quality.mean == pytest.approx(0, abs=1)


def test_what_is_muted_has_to_be_black_and_silent() -> None:
    plan = planned((4.5, "mute_video"), (6.5, "unmute_video"), (4.5, "mute_audio"), (6.5, "unmute_audio"))
    wrong = verdict(recorded(), plan)
    right = recorded()
    blacken(right, 4.6, 6.6)
    silence(right, 4.6, 6.6)

    assert any("instead of black" in problem for problem in wrong.problems)
    assert any("where silence is due" in problem for problem in wrong.problems)
    account = tuple(replace(one, muted=(Span(start=4.5, end=6.5),)) for one in BOTH)
    assert verdict(right, plan, remains(tracks=account)).problems == []


def _stranger(report: MediaReport) -> None:
    report.variants[200] = 2


def _swapped(report: MediaReport) -> None:
    report.counters[200], report.counters[201] = report.counters[201], report.counters[200]


def _frozen(report: MediaReport) -> None:
    report.counters[200:205] = [200] * 5


def _other_voice(report: MediaReport) -> None:
    other = sound(0, SAMPLE_RATE * 10, beep=False, variant=1).mean(1) / 32768
    report.audio += other.astype(np.float32)


def _one_channel(report: MediaReport) -> None:
    report.audio[1] = 0


def _broken(report: MediaReport) -> None:
    for second in (4.5, 5.5, 6.5):
        at = int(second * SAMPLE_RATE)
        report.audio[:, at:] = np.roll(report.audio[:, at:], 300, axis=1)


def _hole(report: MediaReport) -> None:
    silence(report, 5.5, 5.52)


def _late_sound(report: MediaReport) -> None:
    report.audio = np.roll(report.audio, int(0.04 * SAMPLE_RATE), axis=1)


def _big(report: MediaReport) -> None:
    report.width = 1280


def _fat(report: MediaReport) -> None:
    report.video_bitrate = 3_200_000


def _uneven(report: MediaReport) -> None:
    report.frame_times[100] += 0.01


def _baseline(report: MediaReport) -> None:
    report.profile = "Constrained Baseline"


def _mono(report: MediaReport) -> None:
    report.channels = 1


def _undecodable(report: MediaReport) -> None:
    report.errors.append("video: invalid data")


@pytest.mark.parametrize(
    ("flaw", "words"),
    [
        (lambda report: blacken(report, 5.0, 5.1), "pictures are black instead of the picture of variant 0"),
        (_stranger, "variant 2 instead of the picture of variant 0"),
        (_swapped, "goes backwards"),
        (_frozen, "stands still for 167 ms"),
        (lambda report: silence(report, 5.2, 5.6), "is missing for"),
        (_one_channel, "is missing for"),
        (_other_voice, "variant 1 is heard although it must not be"),
        (_broken, "the continuous tone breaks 3 times"),
        (_hole, "1 holes of 20 ms"),
        (_late_sound, "median A/V offset -4"),
        (_big, "video is (1280, 360"),
        (_fat, "3200 kbit/s of video"),
        (_uneven, "off the frame grid"),
        (_baseline, "profile Constrained Baseline instead of H264_MAIN"),
        (_mono, "audio (codec, channels, Hz) is ('aac', 1, 48000), asked was ('aac', 2, 48000)"),
        (_undecodable, "decoding: video: invalid data"),
    ],
)
def test_a_flaw_is_found_and_said(flaw: Callable[[MediaReport], None], words: str) -> None:
    report = recorded()
    flaw(report)

    assert any(words in problem for problem in verdict(report).problems)


@pytest.mark.parametrize(
    ("offsets", "words"),
    [
        ((0, 1, 158, -1, 2), ""),
        ((40, 41, 158, 39, 42), "median A/V offset +41.0 ms of 5"),
        ((*[0] * 10, 90), "95 % of the A/V offsets within ±45 ms"),
        ((*[20] * 10, 21), "mean A/V offset +20.1 ms"),
        ((300, 300, 300), ""),
    ],
    ids=["one stall", "few but late", "many with a stall", "many and late", "too few"],
)
def test_of_few_pairs_the_middle_is_judged_and_of_many_95_percent(
    offsets: tuple[float, ...], words: str
) -> None:
    found = Verdict()

    judge_limits(found, Expect(sync_mean=10, sync_p95=30), "alice", Quality(None, offsets=offsets))

    assert bool(found.problems) == bool(words)
    assert words in " ".join(found.problems)


def test_a_flash_whose_first_picture_is_missing_is_not_late() -> None:
    report = recorded()
    for second in range(1, 10):  # as in a browser's low layer of half the pictures
        report.counters[second * FPS], report.lit[second * FPS] = second * FPS - 1, False

    found = verdict(report, left=remains(dropped=10))

    assert found.problems == []
    assert found.quality.mean == pytest.approx(0, abs=1)
    assert found.quality.score == 100


def test_missing_numbers_are_accepted_only_when_they_were_counted() -> None:
    report = recorded()
    report.counters[200:202] = [199, 202]

    assert any("2 of" in problem for problem in verdict(report).problems)
    assert verdict(report, left=remains(dropped=2)).problems == []


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (remains(exit_code=70), "exit code 70 instead of 0"),
        (remains(phase=Phase.FAILED), "phase Failed instead of Complete"),
        (replace(remains(), result=None), "left no result"),
        (replace(remains(), sha256={1: "another"}), "the SHA-256 of part 1 is not the manifest's"),
        (replace(remains(), manifest=None), "there is no manifest"),
    ],
)
def test_how_it_ended_is_judged(left: Remains, words: str) -> None:
    assert any(words in problem for problem in verdict(recorded(), left=left).problems)


def test_a_late_beginning_and_a_wrong_end_are_found() -> None:
    late = build(Log(planned().casts, []), lambda *_: True, (START - 2, START + LENGTH - 2), OURS)
    found = verdict(recorded(), replace(late, begin=START - 2))

    assert any("the first media is 2.00 s late" in problem for problem in found.problems)
    assert any("the file ends +2.00 s" in problem for problem in found.problems)


def test_a_file_of_60_numbers_per_second_in_30_pictures_owes_every_second_one() -> None:
    report = recorded()
    report.counters = [2 * number for number in range(300)]
    plan = planned()
    alice = replace(plan.casts["alice"], framerate=60)

    assert verdict(report, replace(plan, casts={"alice": alice})).problems == []


def test_a_picture_that_does_not_keep_its_aspect_is_found() -> None:
    portrait = replace(planned(), sizes=(Size(START, "alice", 360, 640),))
    stretched, right = recorded(), recorded()
    right.areas = [(218, 0, 420, 360)] * len(right.areas)

    assert any("lie at (0, 0, 640, 360)" in problem for problem in verdict(stretched, portrait).problems)
    assert verdict(right, portrait).problems == []


def test_no_file_where_one_is_due_and_one_where_none_is() -> None:
    nothing = judge(Expect(), planned(), Observation((), ()), remains())

    assert "there is no file" in nothing.problems
    assert any("nothing was to be" in p for p in verdict(recorded(), expect=Expect(parts=0)).problems)


def outcome(name: str = "mute", **flaws: str) -> Outcome:
    case = Case(name=name, proves="A <b> & its case.", script=lambda _: None)
    return Outcome(case, [verdict(recorded())], **flaws)


def test_the_table_ends_with_figures_and_names_what_is_wrong() -> None:
    outcomes = [
        outcome("mute"),
        outcome("leaves", failure="TimeoutError: x"),
        outcome("tab", skipped="no chromium"),
    ]
    table = text(outcomes)

    assert "mute    passed   100.0" in table
    assert "TimeoutError: x" in table
    assert "1 of 3 cases pass, 1 fail, 1 cannot run here" in table
    assert figure(summary(outcomes)).startswith(
        "figure: cases=3 passed=1 failed=1 skipped=1 least_score=100 "
    )


def test_the_page_is_self_contained_and_escapes_what_it_shows() -> None:
    html = page([outcome("mute"), outcome("leaves", failure="<script>")])

    assert "A &lt;b&gt; &amp; its case." in html
    assert "<script" not in html
    assert "http" not in html
    assert html.count("<section") == 2
