"""What counts as playing: the end, the pictures and the sound of the file at their places, no stall."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from devstack import testpattern
from devstack.mediacheck import MediaReport, number_in
from devstack.playback import POSITIONS, Playback, Truth, out_of_step
from devstack.readings import FREQUENCIES, Look, Run, Tick
from devstack.tones import HEARD

pytestmark = pytest.mark.unit
SECONDS, RATE, STEP = 10, 30, 0.05
TONES = tuple(0.009 if frequency in {440, 660} else 0.0 for frequency in FREQUENCIES)


def report(first: int = 100, seconds: int = SECONDS, *, silent: bool = False) -> MediaReport:
    sound = testpattern.sound(0, seconds * testpattern.SAMPLE_RATE).T.astype(np.float32) / 32768
    return MediaReport(
        Path("a.mp4"),
        duration=seconds,
        framerate=RATE,
        frame_times=[number / RATE for number in range(seconds * RATE)],
        counters=list(range(first, first + seconds * RATE)),
        audio=sound * (0 if silent else 1),
    )


def run(*, seconds: float = SECONDS, levels: tuple[float, ...] = TONES) -> Run:
    times = [index * STEP for index in range(round(seconds / STEP) + 1)]
    ticks = tuple(Tick(50 + time, time, 0.4 if time % 1 < 0.2 else 0.02, levels) for time in times)
    return Run(ticks, tuple((50 + time, time) for time in times))


GOOD = Playback(
    duration=float(SECONDS),
    width=640,
    height=360,
    looks=tuple(
        Look(part * SECONDS, part * SECONDS, 100 + round(part * SECONDS * RATE)) for part in POSITIONS
    ),
    runs=(run(),),
    ended=True,
    position=float(SECONDS),
    frames=SECONDS * RATE,
    audio_bytes=1000,
    error="",
    truth=Truth.of((0.0, report())),
)


def at_third(**changes: object) -> tuple[Look, ...]:
    return (*GOOD.looks[:2], replace(GOOD.looks[2], **changes), *GOOD.looks[3:])  # type: ignore[arg-type]


def frozen(run: Run, *, at: float, seconds: float) -> Run:
    """The play head stands still, and the page's clock goes on."""
    ticks, shown = list(run.ticks), run.shown
    index = next(index for index, tick in enumerate(ticks) if tick.media >= at)
    still = [
        replace(ticks[index], wall=ticks[index].wall + count * STEP)
        for count in range(1, round(seconds / STEP) + 1)
    ]
    later = [replace(tick, wall=tick.wall + seconds) for tick in ticks[index + 1 :]]
    return Run((*ticks[: index + 1], *still, *later), shown)


def test_media_plays_when_it_is_seen_and_heard_as_the_file_has_it() -> None:
    assert GOOD.problem == ""
    assert GOOD.numbers == (100, 160, 220, 280, 340)
    assert GOOD.level(testpattern.LEFT_TONE) >= HEARD
    assert GOOD.level(testpattern.VARIANTS[1].left) == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"error": "MediaError 3"}, "MediaError 3"),
        ({"ended": False, "position": 7.0}, "stopped at 7.00 s"),
        ({"looks": at_third(time=6.0)}, "the picture of 6.00 s after a seek to 4.00 s"),
        ({"looks": at_third(number=222)}, "the picture of 4.00 s shows number 222 instead"),
        ({"looks": at_third(number=None)}, "the picture of 4.00 s shows number None instead"),
        ({"runs": (frozen(run(), at=5, seconds=0.8),)}, "stalled for 0.8 s"),
        ({"runs": (run(seconds=3),)}, "nothing was listened to at 4.00 s"),
        ({"runs": (run(levels=(0.0, *TONES[1:])),)}, "no 440 Hz is heard at 0.00 s"),
        (
            {"truth": Truth.of((0.0, report(silent=True)))},
            "a beep is heard at 0.00 s, where the file has none",
        ),
        (
            {"runs": (run(levels=(*TONES[:2], 0.009, *TONES[3:])),)},
            "520 Hz is heard at 0.00 s, where the file has none",
        ),
    ],
)
def test_media_that_does_not_play_says_why(change: dict[str, object], problem: str) -> None:
    assert replace(GOOD, **change).problem.startswith(problem)  # type: ignore[arg-type]


def test_a_picture_beside_its_place_by_one_is_none_that_is_missing() -> None:
    assert replace(GOOD, looks=at_third(number=221)).plays


def test_a_stall_is_what_the_play_head_or_the_picture_stood_still_not_what_was_read_late() -> None:
    whole = run()
    assert whole.stalled == pytest.approx(STEP, abs=0.01)
    assert frozen(whole, at=5, seconds=0.3).stalled == pytest.approx(0.3, abs=0.01)
    late = Run((*whole.ticks[:50], *whole.ticks[80:]), ())
    assert late.stalled == 0, "nobody read for 1.5 s, and the play head went on"
    still = Run(whole.ticks, (*whole.shown[:50], *whole.shown[80:]))
    assert still.stalled > 1.4, "sound without pictures"
    ends = Run(whole.ticks, whole.shown[:100])
    assert ends.stalled > 4.5, "the last picture counts as well"


def test_pieces_of_a_playlist_follow_each_other() -> None:
    truth = Truth.of((0.0, report(100, 4)), (4.0, report(500, 3)))
    assert truth.numbers_near(3.5) == {*range(202, 209)}
    assert truth.numbers_near(4.5) == {*range(512, 519)}
    assert truth.time_of(515) == pytest.approx(4.5)
    assert truth.time_of(300) is None
    assert len(truth.sound) == 7 * testpattern.SAMPLE_RATE


def test_pictures_of_a_live_playlist_keep_step_with_the_play_head() -> None:
    truth = Truth.of((0.0, report()))
    looks = [Look(time, time - 3, 100 + round(time * RATE)) for time in (4.0, 5.0, 6.0)]
    assert out_of_step(looks, truth) == pytest.approx(0, abs=1e-9)
    assert out_of_step([*looks, Look(7.0, 4.0, 100 + 6 * RATE)], truth) == pytest.approx(1.0)
    assert out_of_step([*looks, Look(7.0, 4.0, None)], truth) == float("inf")
    assert out_of_step([], truth) == float("inf")


def test_what_the_page_returns_is_read() -> None:
    document = {"ticks": [[1.0, 0.0, 0.02, *TONES]], "shown": [[1.1, 0.1]]}
    assert Run.of(document) == Run((Tick(1.0, 0.0, 0.02, TONES),), ((1.1, 0.1),))


@pytest.mark.parametrize(("width", "height"), [(640, 360), (321, 180)])
def test_the_number_in_a_picture_is_read_from_the_pixels_of_a_canvas(width: int, height: int) -> None:
    picture = np.frombuffer(testpattern.frame(1234, 640, 360, RATE), np.uint8).reshape(540, 640)
    frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
    rgba = frame.reformat(width, height, format="rgba").to_ndarray()
    assert number_in(rgba.tobytes(), width, height, (640,)) == 1234
    assert number_in(bytes(rgba.nbytes), width, height) is None
