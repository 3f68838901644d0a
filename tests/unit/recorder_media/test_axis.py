"""How fast the axis of a file follows: at once for whom looks at the first seconds, and never so that it is heard."""

import itertools
import math

import pytest

from egress_recorder.media.axis import RATE_MOST, YOUNG, Axis

pytestmark = pytest.mark.unit
STEP = 0.03


def moves(age: float, lateness: float, seconds: float) -> list[float]:
    """The lateness that is left after each step when pictures are `lateness` off from `age` seconds on."""
    axis = Axis(30)
    left, rest = 0.0, []
    for index in range(round((age + seconds) / STEP)):
        now = 100 + index * STEP
        if index == round(age / STEP):
            left = lateness
        left -= axis.step(left, now, live=True)
        rest.append(left)
    return rest[round(age / STEP) :]


@pytest.mark.parametrize("lateness", [0.015, -0.015])
def test_what_is_off_in_the_beginning_is_within_five_milliseconds_after_two_and_a_half_seconds(
    lateness: float,
) -> None:
    young, old = moves(1.0, lateness, 4.0), moves(YOUNG + 1, lateness, 4.0)
    assert abs(young[round(2.5 / STEP)]) < 0.005
    assert abs(young[-1]) < 0.0025
    assert abs(old[-1]) > 0.0025, "later it goes slower, so that jitter is not followed"


def test_what_is_moved_at_once_is_at_most_a_tick_in_all_and_cuts_nothing() -> None:
    axis = Axis(30)
    assert axis.settle(0.001, math.inf) == 0.0
    assert axis.settle(0.010, math.inf) == 0.010
    assert axis.settle(0.030, math.inf) == pytest.approx(1 / 30 - 0.010)
    assert axis.settle(0.010, math.inf) == pytest.approx(0.0)
    assert axis.settle(-0.015, 0.0) == pytest.approx(-0.015)
    assert axis.settle(0.010, 0.004) == pytest.approx(0.004)
    assert axis.settle(0.010, -0.001) == 0.0
    assert axis.moved == pytest.approx(1 / 30 - 0.011)


@pytest.mark.parametrize("age", [1.0, YOUNG + 1])
def test_sound_is_stretched_by_no_more_than_is_not_heard(age: float) -> None:
    rest = moves(age, 0.016, 2.0)
    steps = [before - after for before, after in itertools.pairwise(rest)]
    assert max(steps) == pytest.approx(RATE_MOST * STEP)
