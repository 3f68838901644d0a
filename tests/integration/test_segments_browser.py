"""A playlist goes on across a segment that a kill cut, in a real browser: also where the sound ends a picture before the pictures.

A hole of 32 ms in one track is enough for hls.js to stop at the end of everything for good.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devstack import browser
from egress_recorder import finalize, fmp4
from egress_recorder.outputs.segments import SegmentOutput
from egress_recorder.playlist import Entry, main_playlist
from egress_recorder.segmentation import EXTENSIONS, SegmentContainer, SegmentRequest
from support.encoded import RATE, SECONDS, SPEC, packets
from support.hls import Hls
from support.realtime import MEASURES, REALTIME

pytestmark = [
    pytest.mark.integration,
    REALTIME,
    MEASURES,
    pytest.mark.skipif(not browser.plays_hls(), reason="no chromium or google-chrome, or hls.js, is there"),
]
TICK = 1 / RATE


@pytest.fixture(scope="module")
def player() -> Iterator[browser.Player]:
    with browser.Player(hls=True) as running:
        yield running


def run(directory: Path, container: SegmentContainer, *, sound: float) -> tuple[Path, float]:
    """Write one segment whose sound ends after `sound` seconds; return it and its duration."""
    directory.mkdir()
    output = SegmentOutput(directory, SPEC, SegmentRequest(container=container, duration=4), index=0)
    for packet in packets(SPEC):
        if packet.kind == "video" or packet.file_time + packet.duration <= sound:
            output.write(packet)
    output.close()
    (closed,) = output.take()
    return directory / output.filename / closed.name, closed.duration


@pytest.mark.parametrize("container", ["FMP4", "TS"])
@pytest.mark.parametrize("lacking", [0.0, TICK, 3 * TICK])
def test_a_browser_goes_on_behind_a_cut_segment(
    player: browser.Player, tmp_path: Path, container: SegmentContainer, lacking: float
) -> None:
    folder = tmp_path / "hls"
    folder.mkdir()
    cut, _ = run(tmp_path / "cut", container, sound=SECONDS - lacking)
    clean = cut.with_stem("clean")
    runs = [(clean, finalize.finalize(cut, clean).duration), run(tmp_path / "next", container, sound=SECONDS)]
    entries, at = [], datetime.now(UTC)
    for number, (path, duration) in enumerate(runs):
        init = f"init-{number}.mp4" if container == "FMP4" else ""
        if init:
            shutil.copy(fmp4.detach(path), folder / init)
        uri = f"{number}{EXTENSIONS[container]}"
        shutil.copy(path, folder / uri)
        entries.append(Entry(uri=uri, duration=duration, at=at, discontinuity=bool(number), init=init))
        at += timedelta(seconds=duration)
    playlist = folder / "all.m3u8"
    playlist.write_text(main_playlist(entries, target=4, egress_id="X", ended=True))
    hls = Hls(playlist, lambda name: tmp_path / name)
    playback = player.play_hls(playlist, hls.truth, across=hls.begins[1:])
    assert playback.plays, playback.summary()
    assert not [note for note in playback.notes if "Hole" in note]
