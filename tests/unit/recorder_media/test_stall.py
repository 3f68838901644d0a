"""When pictures that cannot be decoded are asked for anew."""

from __future__ import annotations

import pytest

from egress_recorder.sources.stall import AGAIN, PATIENCE, Stall

pytestmark = pytest.mark.unit
STEP = 0.1


def _asked(stall: Stall, seconds: float, *, start: float, received: int, nacks: int) -> list[float]:
    """Look every `STEP` while no picture is decoded; per look so many packets come and are asked for again."""
    asked = []
    for index in range(1, round(seconds / STEP) + 1):
        at = start + index * STEP
        if stall.looked(at, received=1000 + received * index, decoded=30, nacks=50 + nacks * index):
            asked.append(round(at - start, 3))
    return asked


def _running(start: float = 0.0) -> Stall:
    stall = Stall()
    assert not stall.looked(start - STEP, received=990, decoded=29, nacks=50)
    assert not stall.looked(start, received=1000, decoded=30, nacks=50)
    return stall


def test_a_lost_packet_is_waited_for_and_then_a_key_frame_is_asked_for_again_and_again() -> None:
    asked = _asked(_running(), 4.95, start=0.0, received=10, nacks=3)
    assert asked == pytest.approx([PATIENCE, PATIENCE + AGAIN, PATIENCE + 2 * AGAIN], abs=0.15)


def test_a_stall_is_suspected_until_a_picture_comes() -> None:
    stall = _running()
    assert not stall.suspected
    stall.looked(0.2, received=1020, decoded=30, nacks=53)
    assert stall.suspected
    stall.looked(0.3, received=1030, decoded=31, nacks=55)
    assert not stall.suspected


def test_packets_without_pictures_of_which_none_is_missing_are_no_stall() -> None:
    assert _asked(_running(), 20, start=0.0, received=10, nacks=0) == []


def test_a_still_screen_has_padding_and_some_of_it_is_lost() -> None:
    stall = _running()
    asked = [
        stall.looked(index * STEP, received=1000 + index // 3, decoded=30, nacks=50 + index // 20)
        for index in range(1, 300)
    ]
    assert not any(asked)


def test_a_publisher_that_sends_nothing_is_not_asked() -> None:
    assert _asked(_running(), 20, start=0.0, received=0, nacks=0) == []


def test_before_the_first_picture_libwebrtc_asks_by_itself() -> None:
    stall = Stall()
    assert not any(
        stall.looked(index * STEP, received=10 * index, decoded=0, nacks=index) for index in range(100)
    )


def test_pictures_that_come_slowly_are_no_stall() -> None:
    stall = Stall()
    assert not any(
        stall.looked(index * STEP, received=10 * index, decoded=1 + index // 4, nacks=index)
        for index in range(200)
    )


def test_a_new_subscription_counts_from_zero() -> None:
    stall = _running()
    assert not stall.looked(5.0, received=3, decoded=1, nacks=0)
    assert not stall.looked(5.1, received=4, decoded=1, nacks=0)
