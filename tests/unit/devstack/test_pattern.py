"""The test pattern is the ruler of all media tests: it is measured first."""

import numpy as np
import pytest

from devstack import testpattern
from devstack.mediacheck import pair_offsets

pytestmark = pytest.mark.unit


def luma(number: int, width: int = 1280, height: int = 720) -> testpattern.Luma:
    picture = testpattern.frame(number, width, height, 30)
    return np.frombuffer(picture, np.uint8)[: width * height].reshape(height, width)


@pytest.mark.parametrize("number", [0, 1, 29, 30, 4095, 65535])
@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (720, 1280), (320, 180)])
def test_the_counter_is_read_back(number: int, size: tuple[int, int]) -> None:
    assert testpattern.read_counter(luma(number, *size)) == number


def test_black_grey_and_white_pictures_have_no_counter() -> None:
    for level in (0, 16, 128, 235):
        assert testpattern.read_counter(np.full((720, 1280), level, np.uint8)) is None


def test_a_flipped_bit_is_noticed() -> None:
    picture = luma(5).copy()
    size, x0, y0 = testpattern._blocks(1280)
    picture[y0 : y0 + size, x0 + 3 * size : x0 + 4 * size] = 235

    assert testpattern.read_counter(picture) is None


def test_the_flash_is_lit_for_the_first_tenth_of_each_second() -> None:
    lit = [number for number in range(60) if testpattern.read_flash(luma(number))]

    assert lit == [0, 1, 2, 30, 31, 32]


def test_left_and_right_have_their_own_tone() -> None:
    samples = testpattern.sound(24000, 4800).astype(np.float32) / 32768

    assert testpattern.tone_level(samples[:, 0], 440) > 10 * testpattern.tone_level(samples[:, 0], 660)
    assert testpattern.tone_level(samples[:, 1], 660) > 10 * testpattern.tone_level(samples[:, 1], 440)


def test_offsets_pair_each_flash_with_the_nearest_beep() -> None:
    assert pair_offsets([1.0, 2.0, 9.0], [1.01, 1.98, 3.0]) == pytest.approx([-10, 20])
