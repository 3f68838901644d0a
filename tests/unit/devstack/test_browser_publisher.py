"""What the browser publisher says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.browser_publisher import BrowserPublisher
from devstack.livekit import LiveKitServer

pytestmark = pytest.mark.unit


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
