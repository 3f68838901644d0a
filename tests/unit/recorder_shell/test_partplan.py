"""Which bytes are which part of an upload, and which part is due."""

from __future__ import annotations

import pytest

from egress_recorder.partplan import (
    EARLY_BYTES,
    EARLY_SECONDS,
    GROWING,
    MAX_PARTS,
    PART_SIZE,
    PartSizes,
    Send,
    after_the_end,
    parts_of,
    while_growing,
)

pytestmark = pytest.mark.unit

TEBIBYTE = 1 << 40
SMALL = PartSizes(100, doubling=3)
"""100 100 100 200 200 200 400 …"""


def test_ten_thousand_parts_hold_more_than_the_largest_object_and_none_is_larger_than_a_storage_takes() -> (
    None
):
    assert GROWING.offset(MAX_PARTS + 1) > 5 * TEBIBYTE
    assert max(GROWING.length(number) for number in range(1, MAX_PARTS + 1)) <= 5 << 30
    assert min(GROWING.length(number) for number in range(1, MAX_PARTS + 1)) >= 5 << 20


def test_the_first_thousand_parts_have_one_size() -> None:
    assert {GROWING.length(number) for number in range(1, 1001)} == {PART_SIZE}
    assert GROWING.length(1001) == 2 * PART_SIZE


@pytest.mark.parametrize("sizes", [GROWING, SMALL, PartSizes(7)])
def test_each_part_begins_where_the_one_before_ends(sizes: PartSizes) -> None:
    assert sizes.offset(1) == 0
    for number in range(1, MAX_PARTS + 1):
        assert sizes.offset(number + 1) == sizes.offset(number) + sizes.length(number)


@pytest.mark.parametrize(
    ("size", "parts"), [(0, 1), (1, 1), (100, 1), (101, 2), (300, 3), (301, 4), (500, 4), (501, 5)]
)
def test_a_file_has_as_many_parts_as_its_bytes_need(size: int, parts: int) -> None:
    assert parts_of(size, SMALL) == parts


def growing(on_disk: int, *stored: int, waited: float | None = 0.0) -> Send | None:
    return while_growing(on_disk, dict(enumerate(stored, start=1)), GROWING, waited=waited)


def test_the_first_part_goes_early_and_whole_when_it_is_full() -> None:
    assert growing(EARLY_BYTES - 1, waited=None) is None
    assert growing(EARLY_BYTES, waited=None) == Send(1, 0, EARLY_BYTES)
    assert growing(PART_SIZE - 1, EARLY_BYTES) is None
    assert growing(PART_SIZE, EARLY_BYTES) == Send(1, 0, PART_SIZE)


def test_a_full_part_is_sent_once_and_the_next_one_when_it_is_full() -> None:
    assert growing(2 * PART_SIZE - 1, PART_SIZE) is None
    assert growing(2 * PART_SIZE, PART_SIZE) == Send(2, PART_SIZE, PART_SIZE)
    assert growing(2 * PART_SIZE, PART_SIZE, PART_SIZE) is None


def test_a_slow_file_is_sent_before_its_part_is_full_and_again_when_that_has_doubled() -> None:
    there = PART_SIZE + 100_000
    assert growing(there, PART_SIZE, waited=EARLY_SECONDS - 1) is None
    assert growing(there, PART_SIZE, waited=EARLY_SECONDS) == Send(2, PART_SIZE, 100_000)
    assert growing(there + 99_999, PART_SIZE, 100_000, waited=60) is None
    assert growing(there + 100_000, PART_SIZE, 100_000, waited=60) == Send(2, PART_SIZE, 200_000)


@pytest.mark.parametrize("rate", [2_000, 16_000, 100_000, 500_000, 5_000_000])
def test_an_hour_costs_less_than_three_times_its_bytes_and_loses_half_of_its_newest_part_at_most(
    rate: int,
) -> None:
    stored: dict[int, int] = {}
    sent, sent_at = 0, None
    for second in range(1, 3601):
        waited = None if sent_at is None else second - sent_at
        while (send := while_growing(second * rate, stored, GROWING, waited=waited)) is not None:
            stored[send.number] = send.length
            sent += send.length
            sent_at, waited = second, 0.0
        missing = second * rate - sum(stored.values())
        assert missing <= max(PART_SIZE // 2, rate * EARLY_SECONDS, EARLY_BYTES) + rate
    assert sent < 3 * 3600 * rate


def test_an_outage_is_made_up_for_part_by_part() -> None:
    stored: dict[int, int] = {}
    while (send := while_growing(5 * PART_SIZE + 10, stored, GROWING, waited=0.0)) is not None:
        stored[send.number] = send.length
    assert stored == dict.fromkeys(range(1, 6), PART_SIZE)


def test_beyond_the_last_part_nothing_is_sent_while_the_file_grows() -> None:
    full = {number: SMALL.length(number) for number in range(1, MAX_PARTS + 1)}
    assert while_growing(SMALL.offset(MAX_PARTS + 2), full, SMALL, waited=None) is None


def ended(size: int, *stored: int, old: bool = False) -> list[Send]:
    return list(after_the_end(size, dict(enumerate(stored, start=1)), SMALL, head_is_old=old))


def test_after_the_end_the_tail_is_sent_and_then_the_head_that_the_end_has_changed() -> None:
    assert ended(350, 100, 100, 100, old=True) == [Send(4, 300, 50), Send(1, 0, 100)]
    assert ended(350, 100, 100, 100) == [Send(4, 300, 50)]


def test_after_the_end_a_part_that_was_not_full_is_sent_again() -> None:
    assert ended(250, 100, 60, old=True) == [Send(2, 100, 100), Send(3, 200, 50), Send(1, 0, 100)]


def test_a_small_file_is_sent_whole_and_its_head_once() -> None:
    assert ended(90, 60, old=True) == [Send(1, 0, 90)]
    assert ended(90, 90, old=True) == [Send(1, 0, 90)]
    assert ended(90, 90) == []


def test_nothing_begun_is_all_to_send_an_empty_file_too() -> None:
    assert ended(0) == [Send(1, 0, 0)]
    assert [(send.number, send.length) for send in ended(450)] == [(1, 100), (2, 100), (3, 100), (4, 150)]
