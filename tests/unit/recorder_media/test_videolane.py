"""The constant frame rate: every tick once, in order, the right picture, no picture lost to jitter."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_recorder.media.videolane import VideoLane

pytestmark = pytest.mark.unit


def run(fps: int, times: list[float], end: float) -> tuple[list[int | None], VideoLane[int]]:
    lane: VideoLane[int] = VideoLane(fps)
    ticks = []
    for number, time in enumerate(times):
        lane.place(number, time)
        ticks += lane.due()
    ticks += lane.ticks(end)
    assert [tick.index for tick in ticks] == list(range(len(ticks)))
    return [tick.picture for tick in ticks], lane


def test_a_camera_at_the_files_rate_is_shown_picture_by_picture() -> None:
    shown, lane = run(30, [n / 30 for n in range(90)], 3.0)
    assert shown == list(range(90))
    assert (lane.dropped, lane.duplicated) == (0, 0)


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.45, 0.5, 0.55, 0.75])
def test_jitter_costs_no_picture_whatever_the_phase(phase: float) -> None:
    rng = random.Random(phase)
    times = [(n + phase) / 30 + rng.gauss(0, 0.003) for n in range(900)]
    shown, lane = run(30, sorted(times), 30.1)
    assert len(set(shown) - {None}) >= 898
    assert lane.dropped <= 2


def test_a_drifting_camera_costs_one_picture_per_whole_tick_of_drift() -> None:
    # 500 ppm fast for 100 s: 1.5 ticks.
    rng = random.Random(1)
    times = [n / 30 * (1 - 500e-6) + rng.gauss(0, 0.002) for n in range(3000)]
    _, lane = run(30, times, 100.0)
    assert 1 <= lane.dropped <= 3


def test_a_camera_of_twice_the_rate_shows_every_second_picture() -> None:
    shown, lane = run(30, [n / 60 for n in range(180)], 3.0)
    gaps = {b - a for a, b in itertools.pairwise(shown[2:-1]) if a is not None and b is not None}
    assert gaps == {2}
    assert lane.duplicated <= 1


def test_a_slow_camera_is_repeated_evenly() -> None:
    shown, lane = run(30, [n / 10 for n in range(30)], 3.0)
    assert all(shown.count(n) == 3 for n in range(29))
    assert lane.dropped == 0


@pytest.mark.parametrize("rate", [7.5, 10, 15])
@pytest.mark.parametrize("phase", [0.0, 0.3, 0.5, 0.7])
def test_a_slow_camera_on_the_border_of_two_ticks_is_not_early_and_late_in_turn(
    rate: float, phase: float
) -> None:
    rng = random.Random(phase)
    times = [n / rate + phase / 30 + rng.gauss(0, 0.003) for n in range(300)]

    shown, lane = run(30, times, 300 / rate)

    first = [shown.index(n) for n in range(2, 299)]
    strides = [after - before for before, after in itertools.pairwise(first)]
    assert sum(stride != 30 / rate for stride in strides) <= 2
    # What is left of it is told, so that the axis can be moved: 0 would be the mean of early and late.
    assert abs(abs(lane.lateness * 30) - min(phase, 1 - phase)) < 0.1


def test_black_follows_the_last_picture_and_the_next_picture_follows_black() -> None:
    lane: VideoLane[int] = VideoLane(30)
    for number in range(10):
        lane.place(number, number / 30)
    lane.place(None, 10 / 30)
    lane.place(99, 20 / 30)
    shown = [tick.picture for tick in lane.ticks(1.0)]
    assert shown == [*range(10), *[None] * 10, *[99] * 10]


@pytest.mark.parametrize("again", [False, True])
def test_the_tick_of_a_wrong_first_delay_is_left_once_the_right_one_is_known(again: bool) -> None:
    lane: VideoLane[int] = VideoLane(30)
    if again:
        for number in range(90):
            lane.place(number, number / 30)
        lane.place(None, 3.0)
    begin = 150 / 30 if again else 0.5
    wrong = 0.62 / 30
    for number in range(120):
        lane.place(number, begin + number / 30 - (0.0 if number < 18 else wrong))
    assert lane.lateness == pytest.approx(1 / 30 - wrong, abs=0.002)
    assert lane.dropped == 1


def test_a_picture_whose_tick_is_written_is_dropped_and_counted() -> None:
    lane: VideoLane[int] = VideoLane(30)
    lane.place(1, 0.0)
    lane.ticks(1.0)
    lane.place(2, 0.5)
    assert lane.dropped == 1
    assert lane.ticks(1.1)[0].picture == 1


def test_giving_up_ticks_keeps_order_and_shows_the_newest_picture() -> None:
    lane: VideoLane[int] = VideoLane(30)
    lane.place(1, 0.0)
    lane.place(2, 5.0)
    assert lane.skip_to(9.0) == 270
    assert [(tick.index, tick.picture) for tick in lane.ticks(9.05)] == [(270, 2), (271, 2)]


@settings(max_examples=60)
@given(
    fps=st.sampled_from([1, 15, 24, 30, 60]),
    steps=st.lists(st.floats(0, 0.5), min_size=1, max_size=80),
    end=st.floats(0.1, 20),
)
def test_any_pictures_give_one_frame_per_tick_up_to_the_end(fps: int, steps: list[float], end: float) -> None:
    times, now = [], 0.0
    for step in steps:
        now += step
        times.append(now)
    shown, lane = run(fps, times, end)
    numbers = [number for number in shown if number is not None]
    assert numbers == sorted(numbers)
    assert len(shown) >= end * fps - 1e-6
    assert lane.position >= end - 1e-9
    assert lane.dropped + len(set(numbers)) <= len(times)


@settings(max_examples=60)
@given(phase=st.floats(0, 1), fps=st.sampled_from([24, 30, 60]))
def test_a_steady_picture_is_never_further_off_than_half_a_tick(phase: float, fps: int) -> None:
    lane: VideoLane[float] = VideoLane(fps)
    for number in range(200):
        lane.place((number + phase) / fps, (number + phase) / fps)
    ticks = [tick for tick in lane.ticks(199 / fps) if tick.picture is not None and tick.fresh]
    assert all(abs(tick.index / fps - (tick.picture or 0.0)) <= 0.51 / fps for tick in ticks)


def test_a_later_shift_of_more_than_half_a_tick_waits_for_the_axis() -> None:
    # Then 20 ms are 20 ms of lateness, which the axis takes back, and not a jump by 33 ms.
    lane: VideoLane[int] = VideoLane(30)
    for number in range(120):
        lane.place(number, (number + (0.0 if number < 90 else 0.6)) / 30)
    assert [tick.picture for tick in lane.ticks(120 / 30)] == list(range(120))
    assert lane.lateness * 30 == pytest.approx(0.6, abs=0.2)
    for number in range(120, 180):
        lane.place(number, (number + 0.95) / 30)
    shown = [tick.picture for tick in lane.ticks(6.0)]
    assert shown[-1] == 178, "of nearly a tick it jumps"
