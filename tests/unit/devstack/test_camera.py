"""The camera-like pictures are the ruler of the picture quality figures."""

import numpy as np
import pytest

from devstack import camera
from devstack.testpattern import Luma

pytestmark = pytest.mark.unit
WIDTH, HEIGHT, FRAMERATE = 320, 180, 5


def luma(number: int) -> Luma:
    picture = camera.frame(number, WIDTH, HEIGHT, FRAMERATE)
    return np.frombuffer(picture, np.uint8)[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)


@pytest.mark.parametrize("number", [0, 1, 255, 4096, 65535])
def test_the_number_is_read_back(number: int) -> None:
    assert camera.read_counter(luma(number)) == number


def test_the_number_survives_the_noise_of_an_encoder() -> None:
    noise = np.random.default_rng(1).normal(0, 20, (HEIGHT, WIDTH))
    assert camera.read_counter(np.clip(luma(777) + noise, 0, 255).astype(np.uint8)) == 777


def test_black_white_and_a_scene_without_the_row_have_no_number() -> None:
    for level in (0, 16, 235):
        assert camera.read_counter(np.full((HEIGHT, WIDTH), level, np.uint8)) is None
    scene = np.frombuffer(camera.pictures(WIDTH, HEIGHT, FRAMERATE)[0], np.uint8)
    assert camera.read_counter(scene[: WIDTH * HEIGHT].reshape(HEIGHT, WIDTH)) is None


def test_a_flipped_block_is_noticed() -> None:
    picture = luma(5).copy()
    size, x0, y0 = camera._blocks(WIDTH)
    block = picture[y0 : y0 + size, x0 + 2 * size : x0 + 3 * size]
    block[:] = 251 - block
    assert camera.read_counter(picture) is None


def test_every_picture_differs_from_the_one_before_by_more_than_its_number() -> None:
    for number in range(camera.PERIOD * FRAMERATE):
        difference = luma(number + 1).astype(float) - luma(number)
        assert difference[HEIGHT // 2 :].std() > 3, (
            "the scene stands still: an encoder would have nothing to do"
        )


def test_the_pictures_are_those_of_every_other_process() -> None:
    first = camera.pictures(WIDTH, HEIGHT, FRAMERATE)
    camera.pictures.cache_clear()
    assert camera.pictures(WIDTH, HEIGHT, FRAMERATE) == first
