"""The judge compares the manifest's account with the plan: tracks, mutes, gaps, holes; and channels, and how long a start took."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from devstack.conformance.case import Expect
from devstack.mediacheck import MediaReport
from devstack.testpattern import SAMPLE_RATE, sound
from egress_recorder.spans import MediaGap, Span, TrackSpan
from support.conformance_file import (
    BOTH,
    LENGTH,
    START,
    blacken,
    listed,
    planned,
    recorded,
    remains,
    silence,
    verdict,
)

pytestmark = pytest.mark.unit

AWAY = (
    (4.5, "unpublish_video"),
    (4.5, "unpublish_audio"),
    (6.5, "publish_video"),
    (6.5, "publish_audio"),
)
PIECES = tuple(
    listed(kind, start, end) for kind in ("video", "audio") for start, end in ((0, 4.5), (6.7, LENGTH))
)


def interrupted() -> MediaReport:
    """What `AWAY` leaves."""
    report = recorded()
    blacken(report, 4.5, 6.7)
    silence(report, 4.5, 6.7)
    return report


def test_a_time_in_which_nobody_publishes_has_to_be_listed_and_no_other_time_may_be() -> None:
    gap = MediaGap(start=4.5, end=6.7, reason="no media")
    right = verdict(interrupted(), planned(*AWAY), remains(tracks=PIECES, gaps=(gap,), silence=2.2))
    unlisted = verdict(interrupted(), planned(*AWAY), remains(tracks=PIECES, silence=2.2))
    invented = verdict(recorded(), left=remains(gaps=(gap,)))

    assert right.problems == []
    assert unlisted.problems == ["4.9-6.4 s: nobody publishes, and the manifest lists no gap there"]
    assert invented.problems == ["1.5-9.7 s: the manifest lists a gap of 2.20 s although somebody publishes"]


@pytest.mark.parametrize(
    ("tracks", "words"),
    [
        (
            (listed("video", end=7.0), listed("audio")),
            "of alice's CAMERA the manifest has no track, planned is 1 live",
        ),
        ((listed("video"),), "of alice's MICROPHONE the manifest has no track, planned is 1 live"),
        ((*BOTH, listed("video", 5.0)), "of alice's CAMERA the manifest has 2 live, planned is 1 live"),
        (
            (*BOTH, listed("video", identity="bob")),
            "of bob's CAMERA the manifest has 1 live, planned is no track",
        ),
        (
            (listed("video"), listed("audio", muted=(Span(start=5.0, end=6.0),))),
            "of alice's MICROPHONE the manifest has 1 muted, planned is 1 live",
        ),
        (
            (listed("video", stalled=(Span(start=5.0, end=6.0),)), listed("audio")),
            "of alice's CAMERA the manifest has 1 stalled, planned is 1 live",
        ),
    ],
    ids=["ends too soon", "is not there", "is there twice", "a stranger", "muted", "stalled"],
)
def test_a_track_that_the_manifest_tells_wrongly_is_found(tracks: tuple[TrackSpan, ...], words: str) -> None:
    [problem] = verdict(recorded(), left=remains(tracks=tracks)).problems

    assert words in problem


def test_a_track_that_the_manifest_does_not_end_or_mute_is_found() -> None:
    gone, muted = planned((5.5, "unpublish_video")), planned((5.5, "mute_video"))
    black = recorded()
    blacken(black, 5.5, LENGTH)

    assert [p for p in verdict(black, gone).problems if "planned is no track" in p]
    assert [p for p in verdict(black, muted).problems if "1 live, planned is 1 muted" in p]
    told = remains(tracks=(listed("video", end=5.5), listed("audio")))
    assert verdict(black, gone, told).problems == []


def test_where_pictures_may_stand_still_a_stall_may_be_listed() -> None:
    told = remains(tracks=(listed("video", stalled=(Span(start=5.0, end=6.0),)), listed("audio")))

    assert verdict(recorded(), left=told, expect=Expect(frozen=2000)).problems == []


def test_a_long_hole_has_to_be_listed_where_it_is_however_much_silence_is_counted() -> None:
    report = recorded()
    silence(report, 5.2, 6.0)

    assert any(
        "5.20 s: a hole of 0.80 s that the manifest does not list" in problem
        for problem in verdict(report, left=remains(silence=5.0)).problems
    )


def test_silence_that_is_listed_excuses_no_hole_elsewhere() -> None:
    gap = MediaGap(start=4.5, end=6.7, reason="no media")
    report = interrupted()
    silence(report, 9.55, 9.57)  # settled again

    def problems(counted: float) -> list[str]:
        left = remains(tracks=PIECES, gaps=(gap,), silence=counted)
        return verdict(report, planned(*AWAY), left).problems

    assert any("1 holes of 20 ms in all" in problem for problem in problems(2.15))
    assert problems(2.3) == []


def stereo(left: int, right: int) -> MediaReport:
    """The channels of the pattern as they are asked for; -1: the mean of both."""
    report = recorded()
    both = sound(0, int(LENGTH * SAMPLE_RATE)).T / 32768
    channels = [*both, both.mean(0)]
    report.audio = np.stack((channels[left], channels[right])).astype(np.float32)
    return report


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (0, 1, []),
        (1, 0, ["missing for 100%", "the left tone of alice (audio) is on the other", "the right tone"]),
        (-1, -1, ["the left tone", "the right tone"]),
        (0, 0, ["missing for 100%", "the left tone"]),
    ],
    ids=["as sent", "swapped", "mixed", "one channel twice"],
)
def test_of_stereo_each_tone_is_on_its_own_channel_only(left: int, right: int, words: list[str]) -> None:
    problems = verdict(stereo(left, right), planned(layout="stereo")).problems

    assert len(problems) == len(words)
    assert all(word in problem for word, problem in zip(words, problems, strict=True))


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (0, 1, []),
        (-1, -1, []),
        (1, 0, ["missing for 100%", "the left tone of alice (audio) is on the other", "the right tone"]),
        (0, 0, ["missing for 100%"]),
        (0, -1, ["the left tone"]),
    ],
    ids=["as sent", "mixed", "swapped", "one channel twice", "half mixed"],
)
def test_the_sdks_stereo_is_kept_or_mixed_and_nothing_between(
    left: int, right: int, words: list[str]
) -> None:
    problems = verdict(stereo(left, right), planned(layout="either")).problems

    assert len(problems) == len(words)
    assert all(word in problem for word, problem in zip(words, problems, strict=True))


def test_a_sum_of_both_channels_lacks_neither_tone() -> None:
    problems = verdict(stereo(0, 0)).problems

    assert any("missing for 100%" in problem for problem in problems)


def test_a_waiting_recorder_is_measured_from_the_moment_it_sees_the_track_to_the_first_picture() -> None:
    plan = replace(planned(), begin=START + 0.5, ready=START - 5)

    def late(first: float, **seen: float) -> list[str]:
        report = recorded()
        blacken(report, 0.0, first)
        return verdict(report, plan, remains(seen={kind: START + at for kind, at in seen.items()})).problems

    assert late(0.5, audio=-0.1, video=-0.1) == []
    assert late(0.8, audio=-0.1, video=-0.1) == ["the first media is 0.90 s late, allowed are 0.7 s"]
    assert late(0.8, audio=-0.1, video=0.2) == [], "the camera came later than the microphone"
    assert late(0.0, audio=-0.8, video=-0.8) == ["the first media is 0.80 s late, allowed are 0.7 s"]
