"""Every type of file plays in a real browser, also what a killed recorder left: PyAV skips what a browser refuses.

Picture numbers from a canvas and the sound by an AnalyserNode are those that decoding the file shows, without a stall.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import browser, testpattern
from devstack.tones import HEARD, NOT_HEARD
from egress_recorder import finalize
from egress_recorder.filetypes import FileType, scratch_name
from egress_recorder.media.values import MediaSpec
from egress_recorder.outputs import OUTPUTS
from support.encoded import CASES, SECONDS, in_child, packets
from support.realtime import MEASURES, REALTIME

pytestmark = [
    pytest.mark.integration,
    REALTIME,
    MEASURES,
    pytest.mark.skipif(not browser.available(), reason="no chromium or google-chrome is installed"),
]


@pytest.fixture(scope="module")
def player() -> Iterator[browser.Player]:
    with browser.Player() as running:
        yield running


@pytest.mark.parametrize(("file_type", "spec"), CASES)
def test_a_browser_plays_it_closed_killed_and_finalised(
    player: browser.Player, tmp_path: Path, file_type: FileType, spec: MediaSpec
) -> None:
    made = packets(spec)
    left, whole = tmp_path / "left", tmp_path / "whole"
    for directory in (left, whole):
        directory.mkdir()

    def write(directory: Path) -> None:
        output = OUTPUTS[file_type].open(directory, spec)
        for packet in made:
            output.write(packet)
        if directory == left:
            os.kill(os.getpid(), signal.SIGKILL)
        output.close()

    write(whole)
    assert in_child(lambda: write(left)) == -signal.SIGKILL
    clean = tmp_path / f"clean{Path(scratch_name(file_type)).suffix}"
    finalize.finalize(left / scratch_name(file_type), clean)
    for path in (whole / scratch_name(file_type), clean):
        playback = player.play(path)
        assert playback.plays, playback.summary()
        assert playback.duration == pytest.approx(SECONDS, abs=0.45)
        assert bool(playback.audio_bytes) == spec.audio
        assert bool(playback.frames) == spec.video
        # What is compared with the file must be there at all, everywhere.
        assert all((number is not None) == spec.video for number in playback.numbers)
        for frequency in (testpattern.LEFT_TONE, testpattern.RIGHT_TONE):
            level = playback.level(frequency)
            assert level >= HEARD if spec.audio else level < NOT_HEARD
