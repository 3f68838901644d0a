"""Every correction of the timeline is counted, and nothing is counted that was not done."""

from __future__ import annotations

import pytest

from egress_recorder.media.audioclock import AudioClock
from egress_recorder.media.lipsync import SOUND_LAG
from egress_recorder.media.timeline import Timeline
from egress_recorder.media.videolane import VideoLane
from egress_recorder.vocabulary import Corrections

pytestmark = pytest.mark.unit
FPS, RATE, CHUNK = 30, 48_000, 2400
START = 1000.0


def timeline(*, audio: bool = True) -> Timeline[int, int]:
    made: Timeline[int, int] = Timeline(FPS, audio=audio)
    made.opened("cam", "video")
    if audio:
        made.opened("mic", "audio")
    return made


def run(made: Timeline[int, int], seconds: float, *, begin: float = START, sound: bool = True) -> float:
    for number in range(round(seconds * FPS)):
        at = begin + number / FPS
        made.picture("cam", number, at)
        if sound and number % 3 == 0:
            made.samples("mic", 0, RATE // 10, at)
        made.begin(at)
        made.advance(at)
    return begin + seconds


def test_a_calm_stream_needs_no_correction() -> None:
    made = timeline()
    run(made, 3)
    assert made.corrections == Corrections()


def test_a_moved_axis_is_told_as_far_as_the_origin_moved() -> None:
    made = timeline(audio=False)
    for number in range(8 * FPS):
        # After two seconds the camera is 12 ms late for its ticks.
        at = START + number / FPS + (0.012 if number > 2 * FPS else 0.0)
        made.picture("cam", number, at)
        made.begin(at)
        made.advance(at)
    assert made.origin is not None
    assert made.corrections.axis_moved == pytest.approx(made.origin - START, abs=1e-6)
    assert made.corrections.axis_moved > 0.005


def test_the_two_reasons_of_a_dropped_picture_are_told_apart() -> None:
    lane: VideoLane[int] = VideoLane(FPS)
    lane.place(0, 0.0)
    lane.place(1, 1.0)
    lane.place(2, 1.001)
    lane.ticks(0.9)
    lane.place(3, 0.5)
    # The picture at 0.5 comes in the order of calls only by its tick; it is late, the one at 1.001 took a place.
    assert (lane.dropped, lane.late, lane.surplus) == (2, 1, 1)


def test_the_lip_sync_is_told_as_it_is_and_as_it_was() -> None:
    made = timeline()
    for delay, at in ((0.1, START), (0.1, START + 1)):
        made.delay("mic", delay - SOUND_LAG, at)
        made.delay("cam", 0.0, at)
    end = run(made, 1)
    made.delay("mic", 0.05 - SOUND_LAG, end)
    made.delay("cam", 0.0, end)
    run(made, 2, begin=end)
    told = made.corrections
    assert (told.lip_sync, told.lip_sync_max) == (pytest.approx(0.05), pytest.approx(0.1))
    assert told.lip_sync_slewed == pytest.approx(0.15)
    assert told.pictures_moved == pytest.approx(3 * FPS, abs=6)


def test_the_receive_delay_is_the_mean_of_the_sounds_over_time() -> None:
    made = timeline()
    for delay, at in ((0.4, 0.0), (0.04, 0.1), (0.04, 0.2), (0.06, 0.4), (0.06, 0.6)):
        made.delay("mic", delay, START + at)
        made.delay("cam", 0.014, START + at)
    expected = (0.1 * (0.4 + 0.04 + 0.04) + 0.2 * (0.06 + 0.06)) / 0.7
    assert made.corrections.receive_delay == pytest.approx(expected + SOUND_LAG, abs=1e-6)


def test_without_sound_the_receive_delay_is_the_pictures() -> None:
    made = timeline(audio=False)
    made.delay("cam", 0.014, START)
    assert made.corrections.receive_delay == pytest.approx(0.014)


@pytest.mark.parametrize("absurd", [-1.1, 7.0])
def test_a_restarted_counter_is_no_delay(absurd: float) -> None:
    made = timeline()
    made.delay("mic", absurd, START)
    assert made.corrections.receive_delay == 0.0


@pytest.mark.parametrize(("ppm", "added", "removed"), [(200, True, False), (-200, False, True)])
def test_stretched_and_squeezed_samples_are_counted(ppm: float, added: bool, removed: bool) -> None:
    clock: AudioClock[int] = AudioClock()
    placed = [
        placement
        for number in range(20 * 120)
        for placement in clock.push(0, CHUNK, (number + 1) * CHUNK / RATE * (1 + ppm * 1e-6))
    ]
    assert (clock.added > 0, clock.removed > 0) == (added, removed)
    assert sum(one.length for one in placed) == len(placed) * CHUNK + clock.added - clock.removed


def test_the_samples_of_a_stream_that_is_over_stay_counted() -> None:
    made = timeline()
    for number in range(20 * 120):
        made.samples("mic", 0, CHUNK, START + (number + 1) * CHUNK / RATE * (1 + 200e-6))
    before = made.corrections.samples_added
    assert before > 0
    made.closed("mic", START + 130)
    assert made.corrections.samples_added == before


def test_frames_given_up_because_the_encoder_is_behind_are_counted() -> None:
    made = timeline(audio=False)
    run(made, 1)
    dropped = made.lane.dropped
    made.advance(START + 20)
    assert made.corrections.frames_skipped == made.lane.dropped - dropped > 15 * FPS
