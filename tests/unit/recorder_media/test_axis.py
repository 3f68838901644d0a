"""How fast the axis of a file follows: at once for whom looks at the first seconds, and never so that it is heard."""

import itertools

import pytest

from egress_recorder.media.axis import RATE_MOST, RATE_YOUNG, YOUNG, Axis

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
def test_what_is_off_in_the_beginning_is_within_five_milliseconds_after_two_seconds(lateness: float) -> None:
    rest = moves(1.0, lateness, 4.0)
    assert abs(rest[round(2.0 / STEP)]) < 0.005
    assert abs(rest[-1]) < 0.0025


@pytest.mark.parametrize(("age", "most"), [(1.0, RATE_YOUNG), (YOUNG + 1, RATE_MOST)])
def test_sound_is_stretched_by_no_more_than_is_not_heard(age: float, most: float) -> None:
    rest = moves(age, 0.016, 2.0)
    steps = [before - after for before, after in itertools.pairwise(rest)]
    assert max(steps) <= most * STEP + 1e-9
    assert max(steps) == pytest.approx(most * STEP, rel=0.7), "it does move"
