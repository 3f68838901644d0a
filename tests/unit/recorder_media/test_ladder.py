"""When the encoder saves and when it stops saving, with simulated time."""

from __future__ import annotations

import pytest

from egress_recorder.media.ladder import (
    BEHIND,
    CALM,
    HOPELESS,
    LONGEST_REST,
    PATIENCE,
    RELAPSE,
    REST,
    Ladder,
)

pytestmark = pytest.mark.unit
STEP = 1 / 30


class Machine:
    """Feeds a ladder tick by tick; `delay` is what the encoder is behind by."""

    def __init__(self, rungs: int = 3) -> None:
        self.ladder, self.now = Ladder(rungs), 100.0

    def run(self, seconds: float, delay: float, *, growth: float = 0.0) -> int:
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            delay += growth * STEP
            self.ladder.observe(self.now, delay)
        return self.ladder.rung


def test_an_encoder_that_keeps_pace_is_left_alone() -> None:
    assert Machine().run(600, CALM / 2) == 0


def test_a_short_stall_is_no_reason() -> None:
    machine = Machine()
    assert machine.run(PATIENCE * 0.8, 1.5) == 0
    assert machine.run(60, 0.0) == 0


def test_a_delay_that_stays_takes_one_rung_after_the_other() -> None:
    machine = Machine()
    assert machine.run(PATIENCE + 0.1, BEHIND + 0.1) == 1
    assert machine.run(PATIENCE + 0.1, BEHIND + 0.1) == 2
    assert machine.run(60, BEHIND + 0.1) == 2, "there is no cheaper one"


def test_a_delay_that_shrinks_takes_no_further_rung() -> None:
    machine = Machine()
    machine.run(PATIENCE + 0.1, 1.5)
    assert machine.run(1.5, 1.5, growth=-0.7) == 1


def test_a_delay_near_the_last_resort_takes_the_next_rung_although_it_shrinks() -> None:
    machine = Machine()
    machine.run(PATIENCE + 0.1, HOPELESS + 1.5)
    assert machine.run(PATIENCE + 0.1, HOPELESS + 1.5, growth=-1.0) == 2


def test_with_room_again_it_returns_rung_by_rung_after_a_rest() -> None:
    machine = Machine()
    machine.run(2 * PATIENCE + 0.2, 1.0)
    assert machine.run(REST - 0.5, 0.0) == 2
    assert machine.run(1.0, 0.0) == 1
    assert machine.run(REST - 1.0, 0.0) == 1
    assert machine.run(1.0, 0.0) == 0


def test_a_delay_between_calm_and_behind_neither_saves_more_nor_less() -> None:
    machine = Machine()
    machine.run(PATIENCE + 0.1, 1.0)
    assert machine.run(10 * REST, (CALM + BEHIND) / 2) == 1


def test_each_relapse_doubles_the_rest_so_that_it_does_not_swing() -> None:
    machine = Machine(rungs=2)
    machine.run(PATIENCE + 0.1, 1.0)
    rests = []
    for _ in range(7):
        begin = machine.now
        while machine.ladder.rung:
            machine.run(STEP, 0.0)
        rests.append(machine.now - begin)
        machine.run(PATIENCE + 0.1, 1.0)
        assert machine.ladder.rung == 1
    assert rests == pytest.approx([10, 20, 40, 80, LONGEST_REST, LONGEST_REST, LONGEST_REST], abs=0.2)


def test_a_better_rung_that_held_makes_the_next_rest_short_again() -> None:
    machine = Machine(rungs=2)
    for _ in range(3):
        machine.run(PATIENCE + 0.1, 1.0)
        while machine.ladder.rung:
            machine.run(STEP, 0.0)
    machine.run(RELAPSE + 1, 0.0)
    machine.run(PATIENCE + 0.1, 1.0)
    assert machine.run(REST + 0.2, 0.0) == 0


def test_a_machine_that_is_a_little_too_slow_changes_its_mind_seldom() -> None:
    """On the best rung the delay grows by 0.1 s per second, on the cheaper one it shrinks by 0.2: ten minutes of that."""
    machine, delay, changes = Machine(rungs=2), 0.0, 0
    for _ in range(600 * 30):
        before = machine.ladder.rung
        delay = max(0.0, delay + (0.1 if before == 0 else -0.2) * STEP)
        machine.now += STEP
        changes += machine.ladder.observe(machine.now, delay) != before
    assert changes <= 14
    assert delay < HOPELESS
