"""Segments on their way: the supervisor with a fake capture process and a volume that fails as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from egress_recorder.contract import Manifest, RecorderResult
from egress_recorder.errors import AuthorizationError, ConfigurationError, UnreachableError
from egress_recorder.playlist import entries_of
from support.supervisor_bench import Bench, until_recording

pytestmark = pytest.mark.integration
VOLUME = {"kind": "pvc", "volume": "claim"}


def hls(**fields: Any) -> dict[str, Any]:
    """One HLS output and no file."""
    output = {"playlist": "hls/all.m3u8", "prefix": "hls/seg", "duration": 2, "destination": VOLUME, **fields}
    return {"outputs": [], "segments": [output]}


def named(bench: Bench, name: str = "hls/all.m3u8") -> list[str]:
    """What a playlist names; each must be there."""
    text = (bench.volume / name).read_text()
    uris = [one.uri for one in entries_of(text)]
    for uri in uris:
        assert (bench.volume / "hls" / uri).is_file(), uri
    return uris


async def until(bench: Bench, condition: Callable[[], bool]) -> None:
    """Wait for the status to say so."""
    async with asyncio.timeout(20):
        while not condition():
            await bench.board.after(bench.board.status.sequence, 5)


def stored(bench: Bench) -> int:
    """Segments that the status knows to be there."""
    return sum(one.segment_count for one in bench.board.status.segment_results)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


async def test_segments_playlists_result_and_manifest_are_there_at_the_end(bench: Bench) -> None:
    result = await bench.run(
        {"media": 10, "segments": 7, "progress": 14, "then": "end"}, **hls(livePlaylist="hls/live.m3u8")
    )
    assert (result.phase, result.exit_code, result.error) == ("Complete", 0, "")
    assert named(bench) == [f"seg_{number:05d}.ts" for number in range(7)]
    assert named(bench, "hls/live.m3u8") == [f"seg_{number:05d}.ts" for number in range(2, 7)]
    for name in ("all", "live"):
        assert (bench.volume / f"hls/{name}.m3u8").read_text().endswith("#EXT-X-ENDLIST\n")
    (segments,) = result.segment_results
    assert (segments.segment_count, segments.size, segments.duration) == (7, 70, 14.0)
    assert segments.playlist_location.endswith("hls/all.m3u8")
    assert segments.live_playlist_location.endswith("hls/live.m3u8")
    assert [(part.output, part.size, bool(part.location)) for part in result.parts] == [(0, 70, True)]
    manifest = Manifest.parse((bench.volume / "hls/EG_test.json").read_text())
    assert [one.filename for one in manifest.playlists[0].segments][-1] == "hls/seg_00006.ts"
    assert manifest.files == ()
    assert [path for path in bench.settings.scratch.rglob("*") if path.is_file()] == []


def inits(bench: Bench, name: str = "hls/all.m3u8") -> list[str]:
    """What initialises the segments of a playlist; each must be there."""
    used = [one.init for one in entries_of((bench.volume / name).read_text())]
    for init in used:
        assert (bench.volume / "hls" / init).read_bytes()[4:8] == b"ftyp", init
    return used


async def test_fragmented_segments_are_initialised_by_one_file_of_each_part(bench: Bench) -> None:
    crash = {"media": 10, "segments": 2, "then": "crash"}
    result = await bench.run(crash, {"media": 10, "segments": 1, "then": "end"}, **hls(container="FMP4"))
    assert (result.phase, result.segment_results[0].segment_count) == ("Complete", 3)
    assert named(bench) == ["seg_00000.m4s", "seg_00001.m4s", "seg-p2_00000.m4s"]
    assert inits(bench) == ["seg_init.mp4", "seg_init.mp4", "seg-p2_init.mp4"]
    assert (bench.volume / "hls/seg_00001.m4s").read_bytes() == b"S" * 10
    assert result.segment_results[0].size == 30
    assert [path for path in bench.settings.scratch.rglob("*") if path.is_file()] == []


async def test_what_initialises_segments_follows_them_into_the_backup_storage(bench: Bench) -> None:
    bench.storage.part_faults = [UnreachableError("no answer")] * 10_000
    backup = {"kind": "pvc", "volume": "backup", "claimName": "spare"}
    await bench.run({"media": 10, "segments": 2, "then": "end"}, **hls(container="FMP4", backup=backup))
    directory = bench.directory / "volumes" / "backup" / "hls"
    entries = entries_of((directory / "all.m3u8").read_text())
    assert [(one.uri, one.init) for one in entries] == [
        ("seg_00000.m4s", "seg_init.mp4"),
        ("seg_00001.m4s", "seg_init.mp4"),
    ]
    assert (directory / "seg_init.mp4").is_file()


async def test_what_initialises_somebody_elses_segments_is_not_overwritten(bench: Bench) -> None:
    (bench.volume / "hls").mkdir()
    (bench.volume / "hls/seg_init.mp4").write_text("theirs")
    result = await bench.run({"media": 10, "segments": 1, "then": "end"}, **hls(container="FMP4"))
    assert result.phase == "Complete"
    assert (bench.volume / "hls/seg_init.mp4").read_text() == "theirs"
    assert inits(bench) == ["seg_init-EG_test.mp4"]


async def test_a_file_beside_segments_is_delivered_as_without_them(bench: Bench) -> None:
    changes = hls()
    changes["outputs"] = [{"filepath": "a.mp4", "destination": VOLUME}]
    result = await bench.run({"media": 10, "segments": 2, "then": "end"}, **changes)
    assert result.phase == "Complete"
    assert [(part.output, part.filename, part.size) for part in result.parts] == [
        (0, "a.mp4", 10),
        (1, "hls/all.m3u8", 20),
    ]
    assert [one.filename for one in result.file_results] == ["a.mp4"]


async def test_segments_go_on_without_notice_when_the_file_beside_them_is_full(bench: Bench) -> None:
    changes = {**hls(), "outputs": [{"filepath": "a.mp4", "destination": VOLUME}], "maxFileDuration": 2}
    result = await bench.run(
        {"media": 10, "segments": 1, "progress": 2, "rolls": 2, "then": "end"}, **changes
    )
    assert result.phase == "Complete"
    assert named(bench) == ["seg_00000.ts", "seg_00001.ts", "seg_00002.ts"]
    assert not any(one.discontinuity for one in entries_of((bench.volume / "hls/all.m3u8").read_text()))
    assert [(part.part, part.filename, part.duration, part.size) for part in result.parts] == [
        (1, "a.mp4", 2.0, 10),
        (1, "hls/all.m3u8", 2.0, 10),
        (2, "a-p2.mp4", 2.0, 10),
        (2, "hls/all.m3u8", 2.0, 10),
        (3, "a-p3.mp4", 2.0, 10),
        (3, "hls/all.m3u8", 2.0, 10),
    ]
    assert all(part.location for part in result.parts)
    assert (result.segment_results[0].segment_count, result.segment_results[0].size) == (3, 30)


async def test_a_file_shorter_than_a_segment_has_nothing_of_it(bench: Bench) -> None:
    changes = {**hls(), "outputs": [{"filepath": "a.mp4", "destination": VOLUME}], "maxFileDuration": 2}
    step = {"media": 10, "segments": 0, "progress": 2, "rolls": 1, "then": "crash"}
    result = await bench.run(step, {"media": 10, "segments": 1, "then": "end"}, **changes)
    assert result.phase == "Complete"
    assert named(bench) == ["seg_00000.ts", "seg-p3_00000.ts"]
    # What a crash left of the second file and of its segment: each as long as it is beside the first file's two seconds.
    assert [(part.part, part.output, part.duration) for part in result.parts] == [
        (1, 0, 2.0),
        (2, 0, 1.5),
        (2, 1, 2.0),
        (3, 0, 1.0),
        (3, 1, 1.0),
    ]


async def test_segments_are_there_while_the_recording_goes_on(bench: Bench) -> None:
    running = asyncio.create_task(
        bench.supervisor({"media": 10, "segments": 2, "then": "wait"}, **hls()).run()
    )
    await until(bench, lambda: stored(bench) == 2)
    assert len(named(bench)) == 2
    assert "ENDLIST" not in (bench.volume / "hls/all.m3u8").read_text()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_crash_is_followed_by_segments_of_the_next_part_in_the_same_playlist(bench: Bench) -> None:
    crash = {"media": 10, "segments": 2, "then": "crash"}
    result = await bench.run(crash, {"media": 10, "segments": 1, "then": "end"}, **hls())
    assert result.phase == "Complete"
    assert named(bench) == ["seg_00000.ts", "seg_00001.ts", "seg-p2_00000.ts"]
    text = (bench.volume / "hls/all.m3u8").read_text()
    assert [one.discontinuity for one in entries_of(text)] == [False, False, True]
    assert text.count("ENDLIST") == 1
    assert [(part.part, part.duration, part.size) for part in result.parts] == [(1, 4.0, 20), (2, 1.0, 10)]
    assert result.segment_results[0].segment_count == 3


async def test_the_segment_that_grew_when_the_capture_process_was_killed_comes_before_the_next_part(
    bench: Bench,
) -> None:
    crash = {"media": 10, "segments": 0, "open": True, "then": "crash"}
    result = await bench.run(crash, {"media": 10, "segments": 2, "then": "end"}, **hls())
    assert result.phase == "Complete"
    assert named(bench) == ["seg_00000.ts", "seg-p2_00000.ts", "seg-p2_00001.ts"]
    assert (bench.volume / "hls/seg_00000.ts").read_bytes().endswith(b"-final")
    assert [(part.part, part.duration, part.size) for part in result.parts] == [(1, 1.5, 16), (2, 1.0, 20)]


async def test_a_crash_before_anything_was_written_leaves_no_part(bench: Bench) -> None:
    crash = {"media": 10, "segments": 0, "then": "crash"}
    result = await bench.run(crash, {"media": 10, "segments": 1, "then": "end"}, **hls())
    assert (result.phase, len(result.parts)) == ("Complete", 1)
    assert len(named(bench)) == 1


async def test_the_next_pod_goes_on_with_the_playlist_that_a_killed_one_left(bench: Bench) -> None:
    interrupted = await bench.run(
        {
            "media": 10,
            "segments": 2,
            "then": "end",
            "ended": {"phase": "Interrupted", "exit_code": 75, "reason": "Interrupted"},
        },
        **hls(),
    )
    assert interrupted.exit_code == 75
    assert "ENDLIST" not in (bench.volume / "hls/all.m3u8").read_text()
    prior = {"parts": json.loads(interrupted.to_json())["parts"], "startedAt": "2026-11-22T10:00:00Z"}
    result = await bench.run({"media": 10, "segments": 1, "then": "end"}, **hls(), part=2, prior=prior)
    assert result.phase == "Complete"
    assert named(bench) == ["seg_00000.ts", "seg_00001.ts", "seg-p2_00000.ts"]
    assert result.segment_results[0].segment_count == 3


async def test_a_playlist_of_each_part_where_the_name_tells_them_apart(bench: Bench) -> None:
    crash = {"media": 10, "segments": 2, "then": "crash"}
    names = hls(playlist="hls/all-{part}.m3u8")
    await bench.run(crash, {"media": 10, "segments": 1, "then": "end"}, **names)
    assert named(bench, "hls/all-1.m3u8") == ["seg_00000.ts", "seg_00001.ts"]
    assert named(bench, "hls/all-2.m3u8") == ["seg-p2_00000.ts"]
    for number in (1, 2):
        assert "ENDLIST" in (bench.volume / f"hls/all-{number}.m3u8").read_text()


async def test_what_somebody_else_has_there_is_not_overwritten(bench: Bench) -> None:
    (bench.volume / "hls").mkdir()
    for name in ("all.m3u8", "seg_00000.ts"):
        (bench.volume / "hls" / name).write_text("theirs")
    result = await bench.run({"media": 10, "segments": 2, "then": "end"}, **hls())
    assert result.phase == "Complete"
    assert (bench.volume / "hls/all.m3u8").read_text() == "theirs"
    assert (bench.volume / "hls/seg_00000.ts").read_text() == "theirs"
    assert named(bench, "hls/all-EG_test.m3u8") == ["seg_00000-EG_test.ts", "seg_00001.ts"]


LIVE = {"livePlaylist": "hls/live.m3u8"}
INTERRUPTED = {"phase": "Interrupted", "exit_code": 75, "reason": "Interrupted"}


async def two_pods(bench: Bench, between: Callable[[], None] = lambda: None) -> tuple[RecorderResult, ...]:
    """Record two segments, and one more in the next pod."""
    first = await bench.run({"media": 10, "segments": 2, "then": "end", "ended": INTERRUPTED}, **hls(**LIVE))
    between()
    prior = {"parts": json.loads(first.to_json())["parts"], "startedAt": "2026-11-22T10:00:00Z"}
    step = {"media": 10, "segments": 1, "then": "end"}
    return first, await bench.run(step, **hls(**LIVE), part=2, prior=prior)


def theirs(bench: Bench, *names: str) -> list[Path]:
    """Leave playlists of another recording."""
    (bench.volume / "hls").mkdir()
    paths = [bench.volume / "hls" / name for name in names]
    for path in paths:
        path.write_text(THEIRS)
    return paths


ALL = ["seg_00000.ts", "seg_00001.ts", "seg-p2_00000.ts"]
THEIRS = "#EXTM3U\n## livekit-egress-operator EG_another\n"


async def test_a_live_playlist_of_another_recording_is_left_and_the_status_tells_the_name_that_was_taken(
    bench: Bench,
) -> None:
    [foreign] = theirs(bench, "live.m3u8")
    for result in await two_pods(bench):
        [segments] = result.segment_results
        assert segments.playlist_name == "hls/all.m3u8"
        assert segments.live_playlist_name == "hls/live-EG_test.m3u8"
        assert segments.live_playlist_location.endswith("hls/live-EG_test.m3u8")
    assert foreign.read_text() == THEIRS
    assert named(bench) == named(bench, "hls/live-EG_test.m3u8") == ALL
    assert len(list(bench.volume.glob("hls/*.m3u8"))) == 3


async def test_the_next_pod_goes_on_with_this_recordings_live_playlist(bench: Bench) -> None:
    for result in await two_pods(bench):
        assert result.segment_results[0].live_playlist_name == "hls/live.m3u8"
    assert named(bench, "hls/live.m3u8") == ALL
    assert len(list(bench.volume.glob("hls/*.m3u8"))) == 2


async def test_beside_a_main_playlist_of_another_name_the_live_one_keeps_its_own_in_the_next_pod(
    bench: Bench,
) -> None:
    [foreign] = theirs(bench, "all.m3u8")
    for result in await two_pods(bench, between=foreign.unlink):
        [segments] = result.segment_results
        assert segments.playlist_name == "hls/all-EG_test.m3u8"
        assert segments.live_playlist_name == "hls/live-EG_test.m3u8"
    assert named(bench, "hls/live-EG_test.m3u8") == ALL
    assert len(list(bench.volume.glob("hls/*.m3u8"))) == 2


async def test_a_live_playlist_that_cannot_be_read_is_not_overwritten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    [foreign] = theirs(bench, "live.m3u8")

    def refuse(key: str) -> bytes:
        raise AuthorizationError(f"{key}: these keys may only write")

    monkeypatch.setattr(bench.storage, "read", refuse)
    result = await bench.run({"media": 10, "segments": 1, "then": "end"}, **hls(**LIVE))
    assert result.segment_results[0].live_playlist_name == "hls/live-EG_test.m3u8"
    assert foreign.read_text() == THEIRS


async def test_an_outage_delays_segments_and_neither_ends_the_recording_nor_names_what_is_missing(
    bench: Bench,
) -> None:
    bench.settings = replace(bench.settings, hold_pause=0.05)
    bench.storage.part_faults = [UnreachableError("no answer")] * 10_000
    running = asyncio.create_task(
        bench.supervisor({"media": 10, "segments": 3, "progress": 6, "then": "wait"}, **hls()).run()
    )
    await until_recording(bench)
    await until(bench, lambda: "FileHeld" in bench.board.status.troubles)
    assert not (bench.volume / "hls/all.m3u8").exists()
    assert bench.board.status.recording
    bench.storage.part_faults = []
    await until(bench, lambda: stored(bench) == 3)
    assert len(named(bench)) == 3
    assert "FileHeld" not in bench.board.status.troubles
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_what_no_storage_takes_until_the_end_fails_the_recording_and_stays(bench: Bench) -> None:
    bench.storage.part_faults = [UnreachableError("no answer")] * 10_000
    result = await bench.run({"media": 10, "segments": 1, "then": "end"}, **hls())
    assert (result.phase, result.error) == ("Failed", "upload failed: no answer")
    assert len(list(bench.settings.scratch.rglob("*.ts"))) == 1


async def test_durations_that_share_no_key_frames_are_refused_with_the_field_before_the_room_is_joined(
    bench: Bench,
) -> None:
    [output] = hls()["segments"]
    other = {**output, "playlist": "other.m3u8", "prefix": "other", "duration": 3}
    with pytest.raises(
        ConfigurationError, match="segmentOutputs: segmentDuration 3 is no multiple of the smallest one, 2"
    ):
        bench.supervisor({"then": "wait"}, outputs=[], segments=[output, other])


async def test_a_refused_destination_ends_it_before_there_is_media(bench: Bench) -> None:
    bench.storage.put_faults = [AuthorizationError("segmentOutputs[0].s3: wrong secret")]
    result = await bench.run({"media": 10, "segments": 1, "then": "wait"}, **hls())
    assert (result.phase, result.exit_code) == ("Failed", 77)


async def test_segments_go_on_in_the_backup_storage_with_a_playlist_there(bench: Bench) -> None:
    bench.storage.part_faults = [UnreachableError("no answer")] * 10_000
    backup = {"kind": "pvc", "volume": "backup", "claimName": "spare"}
    result = await bench.run({"media": 10, "segments": 2, "then": "end"}, **hls(backup=backup))
    assert (result.phase, result.backup_storage_writes) == ("Complete", 1)
    directory = bench.directory / "volumes" / "backup" / "hls"
    uris = [one.uri for one in entries_of((directory / "all.m3u8").read_text())]
    assert uris == ["seg_00000.ts", "seg_00001.ts"]
    assert all((directory / uri).is_file() for uri in uris)
    assert result.segment_results[0].playlist_location.startswith("pvc://spare/")
