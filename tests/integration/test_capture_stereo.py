"""Left stays left and right stays right, with a real browser as publisher: the Python SDK's stereo arrives as a mono mix."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devstack import browser_publisher
from devstack.browser_publisher import BrowserPublisher
from devstack.livekit import LiveKitServer
from devstack.mediacheck import check
from devstack.testpattern import LEFT_TONE, RIGHT_TONE
from support.realtime import MEASURES, REALTIME

pytestmark = [pytest.mark.integration, REALTIME, MEASURES]


def test_a_browsers_left_and_right_sound_stay_apart_in_the_file(
    livekit_server: LiveKitServer, tmp_path: Path
) -> None:
    if reason := browser_publisher.unavailable():
        pytest.skip(f"{reason}: only a browser publishes true stereo")
    room, output = f"stereo-{time.time_ns()}", tmp_path / "stereo.mp4"
    command = [str(Path(sys.executable).with_name("egress-recorder")), "record", "--room", room]
    environment = {
        **os.environ,
        "LIVEKIT_URL": livekit_server.url,
        "LIVEKIT_API_KEY": livekit_server.api_key,
        "LIVEKIT_API_SECRET": livekit_server.api_secret,
    }
    with BrowserPublisher(livekit_server, room, "alice", tone=0.1):
        recorder = subprocess.Popen(
            [*command, "--identity", "alice", "--max-duration", "7", "-o", str(output)],
            env=environment,
            stderr=subprocess.PIPE,
        )
        try:
            # It ends itself after so much media: a busy machine joins late.
            _, log = recorder.communicate(timeout=90)
        finally:
            recorder.kill()
    assert recorder.returncode == 0, log.decode()

    report = check(output)
    assert not report.errors
    assert report.channels == 2
    assert report.counted(), "no picture of the browser is in the file"
    # The first second may hold the join; the last one the leave.
    start, end = 2.0, report.duration - 1.0
    assert end - start >= 2, f"only {report.duration:.1f} s were recorded"
    left_in_left, right_in_left = (report.tone(0, tone, start, end) for tone in (LEFT_TONE, RIGHT_TONE))
    left_in_right, right_in_right = (report.tone(1, tone, start, end) for tone in (LEFT_TONE, RIGHT_TONE))
    assert left_in_left > 0.02, "the left tone is not in the left channel"
    assert right_in_right > 0.02, "the right tone is not in the right channel"
    assert left_in_left > 10 * right_in_left
    assert right_in_right > 10 * left_in_right
