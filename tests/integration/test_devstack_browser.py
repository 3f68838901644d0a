"""A real browser says whether a file plays: it refuses what PyAV accepts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from devstack import browser, testpattern
from devstack.playback import STALL
from devstack.tones import HEARD, NOT_HEARD
from support.realtime import MEASURES, REALTIME

pytestmark = [
    pytest.mark.integration,
    REALTIME,
    MEASURES,
    pytest.mark.skipif(not browser.available(), reason="no chromium or google-chrome is installed"),
]
SECONDS, WIDTH, HEIGHT, FRAMERATE = 5, 320, 180, 30


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("browser") / "movie.mp4"
    options = {"movflags": "hybrid_fragmented", "frag_duration": "500000"}
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream("libx264", rate=FRAMERATE, options={"preset": "ultrafast", "g": "30"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=testpattern.SAMPLE_RATE, layout="stereo")
        for number in range(SECONDS * FRAMERATE):
            picture = np.frombuffer(testpattern.frame(number, WIDTH, HEIGHT, FRAMERATE), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture.reshape(HEIGHT * 3 // 2, WIDTH), format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FRAMERATE)
            container.mux(video.encode(frame))
            step = testpattern.SAMPLE_RATE // FRAMERATE
            samples = testpattern.sound(number * step, step).reshape(1, -1).copy()
            sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            sound.rate, sound.pts = testpattern.SAMPLE_RATE, number * step
            container.mux(audio.encode(sound))
        container.mux(video.encode())
        container.mux(audio.encode())
    return path


@pytest.fixture(scope="module")
def player() -> Iterator[browser.Player]:
    with browser.Player() as running:
        yield running


def test_a_good_file_plays_from_everywhere_to_its_end_and_is_seen_and_heard(
    player: browser.Player, movie: Path
) -> None:
    playback = player.play(movie)
    assert playback.plays, playback.summary()
    assert playback.duration == pytest.approx(SECONDS, abs=0.1)
    assert (playback.width, playback.height) == (WIDTH, HEIGHT)
    assert playback.frames >= SECONDS * FRAMERATE, "all of it is decoded, not only what the seeks show"
    assert playback.audio_bytes > 0
    assert playback.numbers == pytest.approx([0, 30, 60, 90, 120], abs=1)
    assert playback.level(testpattern.LEFT_TONE) >= HEARD
    assert playback.level(testpattern.VARIANTS[1].left) < NOT_HEARD
    assert playback.stalled <= STALL

    # The same playing of another file: other pictures, no sound.
    truth = playback.truth
    assert truth is not None
    numbers = tuple(number and number + 5 for number in truth.numbers)
    assert "shows number" in replace(playback, truth=replace(truth, numbers=numbers)).problem
    silent = replace(truth, sound=np.zeros_like(truth.sound))
    # Which of both is noticed first, a beep or a tone, is a matter of when the analyser looked.
    assert "where the file has none" in replace(playback, truth=silent).problem


def test_a_file_without_its_beginning_does_not_play(
    player: browser.Player, movie: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(movie.read_bytes()[:200])
    playback = player.play(broken)
    assert not playback.plays
    assert "MediaError" in playback.error


def test_a_file_whose_pictures_are_damaged_in_the_middle_does_not_play(
    player: browser.Player, movie: Path, tmp_path: Path
) -> None:
    data = bytearray(movie.read_bytes())
    middle = len(data) // 2
    # Random bytes may hit a length field: what counts is that it is noticed.
    data[middle : middle + 40_000] = np.random.default_rng(1).bytes(40_000)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    assert not player.play(damaged).plays
    assert player.play(movie).plays, "one file that does not play must not spoil the next one"
