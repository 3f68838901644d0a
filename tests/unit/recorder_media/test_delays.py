"""From the counters of the receiver's statistics to the delay of an interval."""

from __future__ import annotations

import pytest

from egress_recorder.sources.delays import ReceiveDelay

pytestmark = pytest.mark.unit


def test_an_interval_is_the_mean_of_what_came_in_it() -> None:
    delay = ReceiveDelay()
    assert delay.interval(1.0, 100) == pytest.approx(0.01)
    assert delay.interval(1.6, 110) == pytest.approx(0.06)
    assert delay.interval(1.7, 115) == pytest.approx(0.02)


def test_the_counters_of_a_new_subscription_are_not_compared_with_the_old_ones() -> None:
    delay = ReceiveDelay()
    delay.interval(9.0, 1000)
    assert delay.interval(0.3, 10) is None
    assert delay.interval(0.7, 20) == pytest.approx(0.04)


def test_nothing_is_known_of_an_interval_without_media() -> None:
    delay = ReceiveDelay()
    delay.interval(1.0, 100)
    assert delay.interval(1.0, 100) is None


def test_the_lead_of_the_render_time_over_the_delivery_counts() -> None:
    delay = ReceiveDelay()
    for _ in range(15):
        delay.delivered(0.009)
    assert delay.interval(15 * 0.016, 15) == pytest.approx(0.025)


def test_pictures_that_waited_for_a_repeated_packet_count_in_both_means() -> None:
    # Received at 0, 33, 66 ms …; every fourth one waits 80 ms for its last packet: its processing is longer by what its lead lacks.
    delay = ReceiveDelay()
    total = 0.0
    for number in range(16):
        wait = 0.0 if number % 4 else 0.080
        delay.delivered(0.009 - wait)
        total += 0.016 + wait
    assert delay.interval(total, 16) == pytest.approx(0.025)


def test_leads_of_an_earlier_interval_are_forgotten() -> None:
    delay = ReceiveDelay()
    delay.delivered(0.4)
    delay.interval(0.02, 1)
    delay.delivered(0.01)
    assert delay.interval(0.04, 2) == pytest.approx(0.03)


def test_a_render_time_before_the_receipt_is_a_negative_delay() -> None:
    # libwebrtc extrapolates from pictures that came ever faster: their times are 100 ms before their packets.
    delay = ReceiveDelay()
    for _ in range(15):
        delay.delivered(-0.120)
    assert delay.interval(15 * 0.020, 15) == pytest.approx(-0.100)


def test_a_delay_that_changes_from_one_interval_to_the_next_is_restless() -> None:
    delay = ReceiveDelay()
    restless = []
    for total, count in ((1.0, 10), (2.0, 20), (4.0, 30), (6.0, 40), (6.0, 40)):
        delay.interval(total, count)
        restless.append(delay.restless)
    assert restless == [True, False, True, False, False], (
        "the first one is unknown, the last one is no interval"
    )
