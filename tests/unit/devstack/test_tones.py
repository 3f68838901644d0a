"""The ear of the conformance suite: who is heard, where a tone breaks, where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from devstack import tones
from devstack.testpattern import SAMPLE_RATE, VARIANTS, sound

pytestmark = pytest.mark.unit


def pattern(seconds: float, variant: int = 0, position: int = 0) -> tones.Mono:
    """The pattern as a mono sum, as LiveKit's SDK sends it."""
    return sound(position, round(seconds * SAMPLE_RATE), variant=variant).mean(1).astype(np.float32) / 32768


def breaks(samples: tones.Mono, variant: int = 0) -> list[float]:
    # The pattern begins inside a beep, whose onset cannot be seen.
    onsets = [0.0, *tones.beeps(samples, VARIANTS[variant].beep)]
    return tones.breaks(samples, VARIANTS[variant], tones.free_of_beeps(len(samples) // 480, onsets))


@pytest.mark.parametrize("index", range(3))
def test_a_tone_is_heard_in_its_own_pattern_and_in_no_other(index: int) -> None:
    samples = pattern(1.0, index)
    free = tones.free_of_beeps(len(tones.reading(samples, 440)), [0.0])
    for other, variant in enumerate(VARIANTS):
        level = abs(tones.reading(samples, variant.left))[free]
        assert (level.min() > tones.HEARD) if other == index else (level.max() < tones.NOT_HEARD)


def test_all_publishers_are_heard_in_their_mixture() -> None:
    samples = pattern(1.0, 0) + pattern(1.0, 1) + pattern(1.0, 2)
    for variant in VARIANTS:
        assert abs(tones.reading(samples, variant.left))[20:80].min() > tones.HEARD


def test_beeps_are_found_to_a_fraction_of_a_millisecond_also_in_a_mixture() -> None:
    late = np.concatenate((np.zeros(9600, np.float32), pattern(3.8, 1)))
    samples = pattern(4.0, 0) + late

    assert tones.beeps(samples, VARIANTS[0].beep) == pytest.approx([1.0, 2.0, 3.0], abs=5e-4)
    assert tones.beeps(samples, VARIANTS[1].beep) == pytest.approx([0.2, 1.2, 2.2, 3.2], abs=5e-4)
    assert tones.beeps(samples, VARIANTS[2].beep) == []


def test_an_untouched_tone_has_no_break() -> None:
    assert breaks(pattern(5.0)) == []


@pytest.mark.parametrize("lost", [0.006, 0.010, 0.020, 0.060])
def test_samples_that_are_missing_are_one_break(lost: float) -> None:
    whole = pattern(5.0)
    cut = np.concatenate((whole[: int(2.5 * SAMPLE_RATE)], whole[int((2.5 + lost) * SAMPLE_RATE) :]))

    assert breaks(cut) == pytest.approx([2.45], abs=0.1)


def test_a_stretch_by_a_tenth_of_a_percent_is_no_break() -> None:
    whole = pattern(5.0)
    positions = np.arange(0, len(whole) - 10, 1.001)
    stretched = np.interp(positions, np.arange(len(whole)), whole).astype(np.float32)

    assert breaks(stretched) == []


def test_a_hole_is_found_with_its_length_and_is_a_break() -> None:
    samples = pattern(5.0)
    samples[int(2.5 * SAMPLE_RATE) : int(2.52 * SAMPLE_RATE)] = 0

    assert tones.holes(samples) == [(pytest.approx(2.5, abs=1e-3), pytest.approx(0.02, abs=1e-3))]
    assert len(breaks(samples)) == 1


def test_a_hole_of_five_milliseconds_is_none() -> None:
    samples = pattern(5.0)
    samples[int(2.5 * SAMPLE_RATE) : int(2.5045 * SAMPLE_RATE)] = 0

    assert tones.holes(samples) == []
