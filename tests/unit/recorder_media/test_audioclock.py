"""Where samples lie: counted, anchored at the earliest evidence, drift followed, late delivery ignored."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress_recorder.media.audioclock import AudioClock, Placement

pytestmark = pytest.mark.unit
RATE = 48_000
CHUNK = 2400


def feed(arrivals: list[float], chunk: int = CHUNK) -> tuple[AudioClock[int], list[Placement[int]]]:
    clock: AudioClock[int] = AudioClock()
    placed: list[Placement[int]] = []
    for number, arrived in enumerate(arrivals):
        placed += clock.push(number, chunk, arrived)
    return clock, placed + clock.flush()


def true_times(seconds: float, *, start: float = 1.0, ppm: float = 0.0) -> list[float]:
    count = int(seconds * RATE / CHUNK)
    return [start + (n + 1) * CHUNK / RATE * (1 + ppm * 1e-6) for n in range(count)]


def test_chunks_follow_each_other_without_hole_or_overlap() -> None:
    rng = random.Random(1)
    _, placed = feed([time + rng.expovariate(200) for time in true_times(20)])
    assert [item.chunk for item in placed] == list(range(400))
    for before, after in itertools.pairwise(placed):
        assert after.position == before.position + before.length


def test_the_anchor_is_the_smallest_lateness_and_not_the_first() -> None:
    arrivals = true_times(5)
    arrivals[:3] = [time + 0.2 for time in arrivals[:3]]
    _, placed = feed(arrivals)
    assert placed[0].position == pytest.approx(1.0 * RATE, abs=2)


def test_late_delivery_is_not_a_hole() -> None:
    arrivals = true_times(30)
    for stall in (200, 350):
        arrivals[stall : stall + 30] = [
            max(time, arrivals[stall + 30]) for time in arrivals[stall : stall + 30]
        ]
    _, placed = feed(arrivals)
    assert all(item.length == CHUNK for item in placed)


@pytest.mark.parametrize("ppm", [-100, 100])
def test_drift_of_an_hour_stays_below_ten_milliseconds(ppm: float) -> None:
    rng = random.Random(2)
    times = true_times(3600, ppm=ppm)
    _, placed = feed([time + rng.expovariate(250) for time in times])
    errors = [item.position / RATE - (time - CHUNK / RATE) for item, time in zip(placed, times, strict=True)]
    assert max(map(abs, errors[400:])) < 0.010


def test_an_anchor_taken_too_late_is_corrected_within_seconds() -> None:
    arrivals = [time + (0.12 if time < 2.2 else 0.0) for time in true_times(15)]
    clock, placed = feed(arrivals)
    assert clock.position / RATE == pytest.approx(1.0 + 15, abs=0.008)
    assert max(abs(item.length - CHUNK) for item in placed) <= CHUNK // 100


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=200), st.floats(0.05, 100))
def test_positions_never_overlap_whatever_the_delivery(lateness: list[float], start: float) -> None:
    arrivals: list[float] = []
    for number, late in enumerate(lateness):
        arrivals.append(max(start + (number + 1) * 0.05 + late, arrivals[-1] if arrivals else 0.0))
    _, placed = feed(arrivals)
    assert [item.chunk for item in placed] == list(range(len(lateness)))
    assert all(b.position == a.position + a.length for a, b in itertools.pairwise(placed))
    assert all(item.length > 0 for item in placed)
