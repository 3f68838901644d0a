"""From the counters of the receiver's statistics to the delay of an interval."""

from __future__ import annotations

import pytest

from egress_recorder.sources.delays import ReceiveDelay, encoding, look_ahead

pytestmark = pytest.mark.unit


def test_an_interval_is_the_mean_of_what_came_in_it() -> None:
    delay = ReceiveDelay(fall=0.1)
    assert delay.interval(1.0, 100, at=0) == pytest.approx(0.01)
    assert delay.interval(1.6, 110, at=10) == pytest.approx(0.06)
    assert delay.interval(1.7, 115, at=20) == pytest.approx(0.02)


def test_the_counters_of_a_new_subscription_are_not_compared_with_the_old_ones() -> None:
    delay = ReceiveDelay(fall=0.1)
    delay.interval(9.0, 1000, at=0)
    assert delay.interval(0.3, 10, at=10) is None
    assert delay.interval(0.7, 20, at=20) == pytest.approx(0.04)


def test_nothing_is_known_of_an_interval_without_media() -> None:
    delay = ReceiveDelay(fall=0.1)
    delay.interval(1.0, 100, at=0)
    assert delay.interval(1.0, 100, at=10) is None


def test_the_lead_of_the_render_time_over_the_delivery_counts() -> None:
    delay = ReceiveDelay(fall=0.1)
    for _ in range(15):
        delay.delivered(0.009)
    assert delay.interval(15 * 0.016, 15, at=0) == pytest.approx(0.025)


def test_pictures_that_waited_for_a_repeated_packet_count_in_both_means() -> None:
    # Received at 0, 33, 66 ms …; every fourth one waits 80 ms for its last packet: its processing is longer by what its lead lacks.
    delay = ReceiveDelay(fall=0.1)
    total = 0.0
    for number in range(16):
        wait = 0.0 if number % 4 else 0.080
        delay.delivered(0.009 - wait)
        total += 0.016 + wait
    assert delay.interval(total, 16, at=0) == pytest.approx(0.025)


def test_leads_of_an_earlier_interval_are_forgotten() -> None:
    delay = ReceiveDelay(fall=0.1)
    delay.delivered(0.4)
    delay.interval(0.02, 1, at=0)
    delay.delivered(0.01)
    assert delay.interval(0.04, 2, at=10) == pytest.approx(0.03)


def test_a_render_time_before_the_receipt_is_a_negative_delay() -> None:
    # libwebrtc extrapolates from pictures that came ever faster: their times are 100 ms before their packets.
    delay = ReceiveDelay(fall=0.1)
    for _ in range(15):
        delay.delivered(-0.120)
    assert delay.interval(15 * 0.020, 15, at=0) == pytest.approx(-0.100)


def test_a_delay_that_changes_from_one_interval_to_the_next_is_restless() -> None:
    delay = ReceiveDelay(fall=0.1)
    restless = []
    for at, (total, count) in enumerate(((1.0, 10), (2.0, 20), (4.0, 30), (6.0, 40), (6.0, 40))):
        delay.interval(total, count, at)
        restless.append(delay.restless)
    assert restless == [True, False, True, False, False], (
        "the first one is unknown, the last one is no interval"
    )


def believed(means: list[float], *, settled: float) -> list[float]:
    """Return what is believed of the means of ten items per interval of 0.25 s, after 3 s of `settled`."""
    delay, total, values = ReceiveDelay(fall=0.1), 0.0, []
    for number, mean in enumerate([*[settled] * 12, *means], 1):
        total += 10 * mean
        value = delay.interval(total, 10 * number, at=number * 0.25)
        assert value is not None
        values.append(round(value, 4))
    return values[12:]


def test_a_great_fall_is_believed_as_fast_as_a_buffer_can_shrink() -> None:
    # The receiver waited for a CPU: two intervals say that nothing waited in the buffer, which was as long as before.
    assert believed([0.1, 0.0, 0.6, 0.6], settled=0.6) == [0.575, 0.55, 0.6, 0.6]


def test_a_slow_or_a_small_fall_is_followed_at_once() -> None:
    assert believed([0.58, 0.56, 0.54], settled=0.6) == [0.58, 0.56, 0.54]
    assert believed([0.54, 0.54, 0.6], settled=0.6) == [0.54, 0.54, 0.6]


def test_a_rise_is_believed_at_once() -> None:
    assert believed([0.7, 0.7], settled=0.1) == [0.7, 0.7]


def test_a_great_fall_that_lasts_is_believed() -> None:
    values = believed([0.2] * 10, settled=0.9)
    assert values[:7] == [0.875, 0.85, 0.825, 0.8, 0.775, 0.75, 0.725]
    assert values[7:] == [0.2] * 3, "2 s after the last interval that said more"


def test_while_buffers_find_their_size_every_fall_is_believed() -> None:
    delay = ReceiveDelay(fall=0.1)
    assert delay.interval(2.0, 10, at=0) == pytest.approx(0.2)
    assert delay.interval(2.2, 20, at=0.25) == pytest.approx(0.02)


def test_a_new_subscription_has_a_delay_of_its_own() -> None:
    delay = ReceiveDelay(fall=0.1)
    for second in range(10):
        delay.interval(9.0 * (second + 1), 10 * (second + 1), at=second)
    assert delay.interval(0.3, 5, at=10) is None
    assert delay.interval(0.5, 15, at=11) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("mime_type", "seconds"),
    [("audio/opus", 0.0065), ("audio/red", 0.0065), ("audio/PCMU", 0), ("audio/pcma", 0), ("video/VP8", 0)],
)
def test_opus_is_later_than_sound_without_look_ahead(mime_type: str, seconds: float) -> None:
    assert look_ahead(mime_type) == seconds


@pytest.mark.parametrize(
    ("width", "height", "milliseconds"), [(640, 360, 4.2), (1280, 720, 10.0), (1920, 1080, 19.5)]
)
def test_a_picture_is_sent_later_the_larger_it_is(width: int, height: int, milliseconds: float) -> None:
    """As `benchmarks/bench_delays.py --size` measures it; 2.3 ms are every picture's and belong to the lag of sound."""
    assert 1000 * encoding(width, height) + 2.3 == pytest.approx(milliseconds, abs=0.3)
