"""One recording with MP4, OGG, HLS of both kinds, images and a stream at once, stored on S3: from the resource to what is decoded.

Then the same one killed in the middle: its recording process, and its whole pod. A browser plays each playlist across the break.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from devstack import browser
from devstack.mediacheck import MediaReport, check
from devstack.streamservers import MISSING_RTMP, RtmpReceiver, has_rtmp
from devstack.testpattern import LEFT_TONE, RIGHT_TONE
from devstack.tones import HEARD
from egress_recorder.playlist import entries_of
from support.all_outputs import (
    HLS,
    RATE,
    SEGMENT,
    Kept,
    mean,
    off_second,
    runs_in,
    start,
    stored_enough,
    strangers,
)
from support.hls import Hls
from support.realtime import MEASURES, REALTIME
from support.scene import Recording, Scene

pytestmark = [
    pytest.mark.integration,
    REALTIME,
    MEASURES,
    pytest.mark.skipif(not has_rtmp(), reason=MISSING_RTMP),
]
KEY = "studio-secret-key"


def objects_of(kept: Kept, *, parts: tuple[str, ...], images: int) -> set[str]:
    """Return what should be there: files of these parts, what the playlist names, so many images, manifests beside each."""
    manifest = f"{kept.recording.status()['egressId']}.json"
    return {
        *(f"a{part}.{extension}" for part in parts for extension in ("mp4", "ogg")),
        *(f"stills/a_{number:05d}.jpeg" for number in range(images)),
        *(manifest, f"stills/{manifest}"),
        *(f"{folder}/{name}" for folder in HLS for name in ("all.m3u8", "live.m3u8", manifest)),
        *(f"{folder}/{entry.uri}" for folder in HLS for entry in kept.entries(folder)),
        *(f"fmp4/{entry.init}" for entry in kept.entries("fmp4")),
    }


def assert_named_is_there(kept: Kept) -> None:
    """While it grows a playlist names only what can be fetched."""
    for folder in HLS:
        for playlist in ("all.m3u8", "live.m3u8"):
            entries = entries_of(kept.text(f"{folder}/{playlist}"))
            named = {f"{folder}/{name}" for entry in entries for name in (entry.uri, entry.init) if name}
            assert named
            assert named <= kept.names()


def assert_results(status: dict[str, Any], kept: Kept, *, untold: int = 0) -> None:
    """LiveKit's results say what is stored; of a killed pod's newest segments so many may not have told their size."""
    assert strangers(status) == {}
    for folder, segments in zip(HLS, status["segmentResults"], strict=True):
        assert segments["playlistName"] == f"{kept.recording.namespace}/{folder}/all.m3u8"
        assert segments["playlistLocation"].endswith(segments["playlistName"])
        assert segments["livePlaylistLocation"].endswith(f"/{folder}/live.m3u8")
        entries = kept.entries(folder)
        assert segments["segmentCount"] == len(entries)
        sizes = [kept.size(f"{folder}/{entry.uri}") for entry in entries]
        assert sum(sizes) - untold * max(sizes) <= segments["size"] <= sum(sizes)
    [images] = status["imageResults"]
    assert images["filenamePrefix"] == f"{kept.recording.namespace}/stills/a"
    assert images["startedAt"] < images["endedAt"]
    for file in status["fileResults"]:
        assert file["location"].endswith(file["filename"])
        assert file["size"] == kept.size(Path(file["filename"]).name)
    assert status["location"] == status["fileResults"][0]["location"]
    [stream] = status["streamResults"]
    assert (stream["status"], "error" in stream) == ("FINISHED", False)
    assert stream["startedAt"] < stream["endedAt"]
    assert stream["url"].endswith("/live/{stu...key}")
    assert KEY not in str(status)


def assert_same_sound(sound: MediaReport, pictures: MediaReport) -> None:
    """An OGG and the MP4 beside it hold the same moments."""
    assert (sound.errors, sound.streams) == ([], "opus 2ch")
    assert sound.duration == pytest.approx(pictures.duration, abs=0.3)
    assert sound.beeps == pytest.approx(pictures.beeps, abs=0.03)


def assert_images(kept: Kept, count: int, files: list[MediaReport]) -> None:
    listed = [image["filename"].rpartition("/")[2] for image in kept.manifest()["images"]]
    assert listed == [f"a_{number:05d}.jpeg" for number in range(count)], "the manifest lists each of them"
    counters = kept.images()
    seen = [number for number in counters if number is not None]
    assert len(seen) >= count - 1
    assert seen == sorted(set(seen)), "each second shows another picture, in order"
    # Of the last second before a kill the file has less than the images have.
    shown = {number for report in files for number in report.counters}
    assert len(set(seen) - shown) <= len(files) - 1
    assert len(off_second(seen, files)) <= len(files), "only the first of a part may be off its second"


def test_every_kind_of_output_at_once_holds_the_same_recording(
    scene: Scene, rtmp: RtmpReceiver, tmp_path: Path
) -> None:
    kept_in = tmp_path / "kept"
    with scene.publisher():
        recording = start(scene, rtmp.url(KEY))
        kept = Kept(recording, kept_in)
        recording.until(lambda s: stored_enough(s, segments=2, images=4), 60, "segments and images")
        assert_named_is_there(kept)
        assert recording.status()["location"].endswith("/hls/all.m3u8"), "there is no file yet"
        recording.until(lambda s: stored_enough(s, segments=4, images=8), 60, "more of them")
        recording.stop()
        status = recording.until_phase("Complete", timeout=60)
    rtmp.kill()

    assert_results(status, kept)
    count = status["imageResults"][0]["imageCount"]
    assert kept.names() == objects_of(kept, parts=("",), images=count)
    assert kept.uploads() == []

    video = check(kept.fetch("a.mp4"))
    assert (video.errors, video.streams) == ([], "h264 640x360@30 + aac 2ch")
    assert video.frames == status["progress"]["frames"] == pytest.approx(video.duration * RATE, abs=2)
    assert len(video.flashes) >= 7
    assert abs(mean(video.settled_ms)) < 80
    assert_same_sound(check(kept.fetch("a.ogg")), video)

    for folder in HLS:
        hls = kept.hls(folder)
        [[segments]] = hls.runs
        assert segments.errors == []
        assert segments.counters == video.counters, "the same encoding"
        assert segments.beeps == pytest.approx(video.beeps, abs=0.03)
        lengths = [entry.duration for entry in hls.entries]
        assert lengths[:-1] == [SEGMENT] * (len(lengths) - 1)
        assert sum(lengths) == pytest.approx(video.frames / RATE, abs=0.05)
        assert hls.playlist.read_text().endswith("#EXT-X-ENDLIST\n")

    [arrived] = [check(path) for path in rtmp.recordings()]
    assert arrived.errors == []
    assert arrived.frames >= video.frames - 4 * RATE
    assert runs_in(arrived.counters, video.counters), "from its first key frame on nothing is missing"
    assert abs(mean(arrived.settled_ms)) < 80
    assert_images(kept, count, [video])


def assert_a_browser_plays(playlists: list[Hls]) -> None:
    """To the end, also across the discontinuities: pictures and sound of their place, and no stall."""
    if not browser.plays_hls():
        return
    with browser.Player(hls=True) as player:
        for hls in playlists:
            playback = player.play_hls(hls.playlist, hls.truth, across=hls.begins[1:])
            assert playback.plays, playback.summary()
            assert playback.duration == pytest.approx(sum(entry.duration for entry in hls.entries), abs=0.2)
            assert None not in playback.numbers[1:], "the first picture may be black"
            assert min(playback.level(LEFT_TONE), playback.level(RIGHT_TONE)) >= HEARD


def capture_process(recording: Recording) -> psutil.Process:
    pids = recording.stack.runner.pids(recording.namespace, recording.running_pod())
    return next(
        p for p in map(psutil.Process, pids) if any("egress_recorder.capture" in a for a in p.cmdline())
    )


def kill(recording: Recording, what: str) -> None:
    if what == "process":
        capture_process(recording).send_signal(signal.SIGKILL)
    else:
        recording.stack.runner.kill(recording.namespace, recording.running_pod())


@pytest.mark.parametrize("what", ["process", "pod"])
def test_every_kind_of_output_goes_on_after_a_kill(
    scene: Scene, rtmp: RtmpReceiver, tmp_path: Path, what: str
) -> None:
    kept_in = tmp_path / "kept"
    with scene.publisher():
        recording = start(scene, rtmp.url(KEY))
        kept = Kept(recording, kept_in)
        before = recording.until(lambda s: stored_enough(s, segments=3, images=6), 60, "segments and images")
        kill(recording, what)
        recording.until(
            lambda s: max((part["part"] for part in s.get("parts", ())), default=0) >= 2, 60, "a second part"
        )
        recording.until_recording(60)
        counts = [one["segmentCount"] for one in before["segmentResults"]]
        recording.until(
            lambda s: stored_enough(
                s,
                segments=max(counts) + 3,
                images=before["imageResults"][0]["imageCount"] + 4,
            ),
            60,
            "more of them",
        )
        assert_named_is_there(kept)
        recording.stop()
        status = recording.until_phase("Complete", timeout=60)
    rtmp.kill()

    assert_results(status, kept, untold=what == "pod")
    count = status["imageResults"][0]["imageCount"]
    stored = {Path(part["filename"]).name for part in status["parts"] if "location" in part}
    names = kept.names()
    assert stored <= {Path(name).name for name in names}
    assert names == objects_of(kept, parts=("", "-p2"), images=count)
    assert kept.uploads() == []
    assert len(status["gaps"]) == 1
    assert ("retryCount" in status) == (what == "pod")

    videos = [check(kept.fetch(name)) for name in ("a.mp4", "a-p2.mp4")]
    sounds = [check(kept.fetch(name)) for name in ("a.ogg", "a-p2.ogg")]
    numbers = [report.counted() for report in videos]
    assert numbers[0][-1] < numbers[1][0], "nothing is twice"
    assert_same_sound(sounds[1], videos[1])
    assert [report.errors for report in (*videos[1:], *sounds[1:])] == [[], []]
    # Of the killed pod's file there may be a second, in which no flash begins.
    assert all(abs(mean(report.settled_ms)) < 80 for report in (videos if what == "process" else videos[1:]))

    playlists = [kept.hls(folder) for folder in HLS]
    for hls in playlists:
        assert hls.errors == []
        first, second = (hls.counters(run) for run in range(2))
        assert second == videos[1].counters
        common = min(len(first), len(videos[0].counters))
        assert common > 3 * SEGMENT * RATE if what == "process" else common
        assert first[:common] == videos[0].counters[:common]
        assert len(first) >= 3 * SEGMENT * RATE
        assert hls.playlist.read_text().endswith("#EXT-X-ENDLIST\n")
    # To a browser they differ in the maps alone: a process leaves a segment that is made whole and has one of its own.
    assert_a_browser_plays(playlists if what == "process" else playlists[:1])

    arrived = [check(path) for path in rtmp.recordings()]
    assert len(arrived) == 2, "one connection per recorder"
    assert runs_in(arrived[1].counters, videos[1].counters)
    assert arrived[0].counted()[-1] < arrived[1].counted()[0]
    assert_images(kept, count, [report for run in playlists[0].runs for report in run])
