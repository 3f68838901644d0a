"""What the browser publisher says of itself, and what counts as playing a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devstack.browser import POSITIONS, Playback
from devstack.browser_publisher import BrowserPublisher
from devstack.livekit import LiveKitServer

pytestmark = pytest.mark.unit
GOOD = Playback(
    duration=10.0,
    width=640,
    height=360,
    positions=tuple(10.0 * part for part in POSITIONS),
    ended=True,
    position=10.0,
    waited=0.1,
    frames=300,
    audio_bytes=1000,
    error="",
)


def test_a_file_plays_when_every_seek_shows_its_place_and_the_end_is_reached() -> None:
    assert GOOD.plays


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"error": "MediaError 3"}, "MediaError 3"),
        ({"ended": False, "position": 7.0}, "stopped at 7.00 s"),
        ({"positions": (0.0, 2.0, 4.0, 4.0, 8.0)}, "the picture of 4.00 s after a seek to 6.00 s"),
        ({"waited": 3.0}, "stalled for 3.0 s"),
    ],
)
def test_a_file_that_does_not_play_says_why(change: dict[str, object], problem: str) -> None:
    assert replace(GOOD, **change).problem.startswith(problem)


def _publisher(tmp_path: Path, **options: object) -> BrowserPublisher:
    return BrowserPublisher(LiveKitServer(tmp_path), "room", "alice", **options)


def test_the_second_camera_has_another_colour_and_the_source_that_is_asked_for(tmp_path: Path) -> None:
    publisher = _publisher(tmp_path, sources={"video2": "SCREEN_SHARE"}, publish=("audio",))
    looks = {item.label: (item.source, item.variant) for item in publisher.stimuli}
    assert looks["video"] == ("CAMERA", 0)
    assert looks["video2"] == ("SCREEN_SHARE", 2)
    assert publisher.published == {"audio"}


@pytest.mark.parametrize(("channels", "expected"), [(1, True), (2, False)])
def test_red_and_dtx_are_on_for_one_channel_and_off_for_two(
    tmp_path: Path, channels: int, expected: bool
) -> None:
    publisher = _publisher(tmp_path, channels=channels)
    publisher.start = 0.0
    settings = publisher._settings()
    assert (settings["red"], settings["dtx"]) == (expected, expected)
