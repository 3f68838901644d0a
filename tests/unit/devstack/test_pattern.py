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


def test_every_variant_has_its_own_colour_and_frequencies() -> None:
    for index, variant in enumerate(testpattern.VARIANTS):
        assert testpattern.read_variant(*variant.chroma) == index
        assert testpattern.read_variant(variant.chroma[0] + 5, variant.chroma[1] - 5) == index
        samples = testpattern.sound(24000, 4800, variant=index).astype(np.float32) / 32768
        for other in testpattern.VARIANTS:
            level = testpattern.tone_level(samples[:, 0], other.left)
            assert (level > 0.015) == (other is variant)


def test_black_and_grey_belong_to_nobody() -> None:
    assert testpattern.read_variant(128, 128) is None


@pytest.mark.parametrize("frequency", [f for v in testpattern.VARIANTS for f in (v.left, v.right, v.beep)])
def test_tones_are_orthogonal_in_50_ms(frequency: int) -> None:
    assert frequency % 20 == 0


def test_the_number_of_a_picture_between_bars_is_read_in_its_coloured_part() -> None:
    width, height = 360, 640
    picture = np.frombuffer(testpattern.frame(77, width, height, 30, 1), np.uint8)
    u, v = (np.full((180, 320), 128, np.uint8) for _ in range(2))
    u[:, 109:211], v[:, 109:211] = testpattern.VARIANTS[1].chroma
    area = testpattern.active_area(u, v)

    # 640 rows shown in 360: each block is 10.1 pixels wide.
    rows = np.linspace(0, height - 1, 360).astype(int)
    columns = np.linspace(0, width - 1, 202).astype(int)
    small = picture[: width * height].reshape(height, width)[np.ix_(rows, columns)]

    assert area == (109, 0, 211, 180)
    assert testpattern.read_counter(small, width) == 77
