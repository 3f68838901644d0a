"""LiveKit's score: perfect cadence has 100 points, and each flaw costs what E:test/cadence/stats.go says."""

from __future__ import annotations

import pytest

from devstack.conformance import score

pytestmark = pytest.mark.unit
SECONDS = [float(second) for second in range(1, 31)]


def test_flashes_and_beeps_at_every_second_have_all_points() -> None:
    assert score.quality(SECONDS, SECONDS).score == 100


def test_a_constant_offset_costs_nothing_below_50_ms_and_20_points_from_300_ms_on() -> None:
    def shifted(seconds: float) -> float | None:
        return score.quality([at + seconds for at in SECONDS], SECONDS).score

    assert shifted(0.045) == 100
    # Never stable (10), the offset (20), and the greatest offset (5 of 10: 300 ms of 100 to 500).
    assert shifted(0.300) == pytest.approx(65)


def test_jitter_of_the_flashes_costs_up_to_20_points_and_the_spread_of_the_offsets_as_much() -> None:
    late = [at + (0.1 if index % 2 else 0.0) for index, at in enumerate(SECONDS)]
    found = score.quality(late, SECONDS)

    assert found.video_jitter == pytest.approx(100, abs=2)
    assert found.audio_jitter == 0
    # 20 for jitter, 20 for the spread (50 ms), 10 because it is never stable.
    assert found.score == pytest.approx(50, abs=0.5)


def test_a_missed_event_is_no_jitter() -> None:
    assert score.jitter([1.0, 2.0, 4.0, 5.0]) == 0
    assert score.cadence([1.0, 2.0, 4.0, 5.0]) == 0


def test_cadence_is_the_80th_percentile_of_many_and_the_median_of_few() -> None:
    few = [0.0, 1.0, 2.0, 3.3]
    many = [float(second) for second in range(9)] + [8.3 + second for second in range(1, 4)]

    assert score.cadence(few) == pytest.approx(0)
    assert score.cadence(many) == pytest.approx(0)


def test_stable_means_three_small_offsets_in_a_row() -> None:
    assert score.stable_after([(1, 80), (2, 10), (3, 60), (4, 5), (5, 5), (6, 5)]) == 3
    assert score.stable_after([(1, 80), (2, 10)]) is None


def test_a_publisher_without_sound_is_scored_by_its_flashes_alone() -> None:
    found = score.quality(SECONDS, [])

    assert (found.score, found.offsets, found.mean) == (100, (), None)


def test_nothing_is_scored_without_events() -> None:
    assert score.quality([], []).score is None
