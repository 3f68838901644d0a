"""Images through a whole supervisor: named, stored, listed, told; outages, kills and crashes; a fake capture process makes them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from egress_recorder.contract import Manifest
from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from egress_recorder.supervisor import imagelane
from support.supervisor_bench import Bench

pytestmark = pytest.mark.unit

VOLUME = {"kind": "pvc", "volume": "claim"}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(imagelane, "_PAUSE", 0.02)
    return Bench(tmp_path, monkeypatch)


def output(**changes: Any) -> dict[str, Any]:
    return {"prefix": "stills/a", "destination": VOLUME, **changes}


def texts(*contents: str) -> dict[str, Any]:
    return {"media": 10, "images": [list(contents)], "then": "end"}


def files(bench: Bench) -> dict[str, str]:
    found = (path for path in (bench.volume / "stills").rglob("*") if path.suffix == ".jpeg")
    return {path.name: path.read_text() for path in sorted(found)}


def manifest(bench: Bench) -> Manifest:
    return Manifest.parse((bench.volume / "EG_test.json").read_text())


async def test_images_are_stored_counted_and_listed(bench: Bench) -> None:
    result = await bench.run(texts("one", "two"), images=[output()])
    assert result.phase == "Complete"
    assert files(bench) == {"a_00000.jpeg": "one", "a_00001.jpeg": "two"}
    [told] = result.image_results
    assert (told.filename_prefix, told.image_count) == ("stills/a", 2)
    listed = manifest(bench).images
    assert [one.filename for one in listed] == ["stills/a_00000.jpeg", "stills/a_00001.jpeg"]
    assert [one.location for one in listed] == [str(bench.volume / one.filename) for one in listed]
    assert (listed[0].timestamp, listed[1].timestamp) == (told.started_at, told.ended_at)
    # Beside the images as well, as LiveKit's per output.
    assert Manifest.parse((bench.volume / "stills" / "EG_test.json").read_text()).images == listed
    assert [path for path in bench.settings.scratch.rglob("*") if path.is_file()] == []


async def test_the_capture_process_is_told_what_to_make(bench: Bench) -> None:
    await bench.run(texts("x"), images=[output(interval=2, width=320, codec="PNG")])
    request = json.loads((bench.directory / "request-1.json").read_text())
    assert request["images"] == [{"interval": 2, "codec": "PNG", "width": 320, "height": 0}]


async def test_each_suffix_names_as_livekit(bench: Bench) -> None:
    many = [
        output(prefix="stills/t", suffix="IMAGE_SUFFIX_TIMESTAMP", disableManifest=True),
        output(prefix="stills/last", suffix="IMAGE_SUFFIX_NONE_OVERWRITE", disableManifest=True),
    ]
    (bench.volume / "stills").mkdir()
    (bench.volume / "stills" / "last.jpeg").write_text("of yesterday")
    step = {**texts("one"), "images": [["one"], ["first", "second", "third"]]}
    result = await bench.run(step, images=many)
    at = manifest(bench).images[0].timestamp
    stamp = at.strftime("%Y%m%d%H%M%S") + f"{at.microsecond // 1000:03d}"
    assert files(bench) == {"last.jpeg": "third", f"t_{stamp}.jpeg": "one"}
    assert [one.filename for one in manifest(bench).images] == [f"stills/t_{stamp}.jpeg", "stills/last.jpeg"]
    assert not (bench.volume / "stills" / "EG_test.json").exists()
    assert result.image_results[1].image_count in {1, 2, 3}, (
        "of what waits under one name the newest is enough"
    )


async def test_another_recordings_image_is_never_replaced(bench: Bench) -> None:
    (bench.volume / "stills").mkdir()
    (bench.volume / "stills" / "a_00000.jpeg").write_text("of another")
    await bench.run(texts("one"), images=[output()])
    assert files(bench) == {"a_00000-EG_test.jpeg": "one", "a_00000.jpeg": "of another"}


async def test_an_image_whose_answer_got_lost_is_not_stored_twice(bench: Bench) -> None:
    (bench.volume / "stills").mkdir()
    (bench.volume / "stills" / "a_00000.jpeg").write_text("one")
    result = await bench.run(texts("one"), images=[output()])
    assert (files(bench), result.image_results[0].image_count) == ({"a_00000.jpeg": "one"}, 1)


async def test_numbers_go_on_after_a_crash_of_the_capture_process(bench: Bench) -> None:
    crash = {**texts("one", "two"), "then": "crash"}
    result = await bench.run(crash, texts("three"), images=[output()])
    assert files(bench) == {"a_00000.jpeg": "one", "a_00001.jpeg": "two", "a_00002.jpeg": "three"}
    assert result.image_results[0].image_count == 3


async def test_the_next_recorder_goes_on_from_the_manifest_and_past_what_it_missed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.run(texts("one", "two"), images=[output()])
    # Of a killed recorder: stored after the last manifest.
    (bench.volume / "stills" / "a_00002.jpeg").write_text("three")
    again = Bench(bench.directory / "again", monkeypatch)
    again.storage = bench.storage
    result = await again.run(texts("four"), images=[output()], part=2)
    assert files(bench)["a_00003.jpeg"] == "four"
    assert result.image_results[0].image_count == 4
    assert [one.number for one in manifest(bench).images] == [0, 1, 3]


async def test_without_a_manifest_the_numbers_go_on_from_the_status(bench: Bench) -> None:
    prior = {"images": [{"filenamePrefix": "stills/a", "imageCount": 7, "startedAt": "2026-11-22T10:00:00Z"}]}
    result = await bench.run(texts("x"), images=[output(disableManifest=True)], part=2, prior=prior)
    assert list(files(bench)) == ["a_00007.jpeg"]
    [told] = result.image_results
    assert (told.image_count, told.started_at and told.started_at.hour) == (8, 10)


def failing(bench: Bench, faults: list[RecorderError]) -> None:
    """Let the images' puts fail as told, not those of manifests."""
    put = bench.storage.put

    def flaky(key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        if content_type == "image/jpeg" and faults:
            raise faults.pop(0)
        put(key, data, content_type=content_type, overwrite=overwrite)

    bench.storage.put = flaky  # type: ignore[method-assign]


async def test_an_outage_delays_images_and_never_ends_the_recording(bench: Bench) -> None:
    faults: list[RecorderError] = [UnreachableError("imageOutputs[0].pvc: away")] * 30
    failing(bench, faults)
    step = {**texts("one", "two"), "then": "wait"}
    supervisor = bench.supervisor(step, images=[output()])
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(15):
        while "ImagesHeld" not in bench.board.status.troubles:
            await bench.board.after(bench.board.status.sequence, 5)
        assert bench.board.status.recording
        while not bench.board.status.image_results or bench.board.status.image_results[0].image_count < 2:
            await bench.board.after(bench.board.status.sequence, 5)
        assert "ImagesHeld" not in bench.board.status.troubles
        supervisor.stop()
        result = await running
    assert (result.phase, list(files(bench))) == ("Complete", ["a_00000.jpeg", "a_00001.jpeg"])


async def test_images_that_no_storage_takes_are_told_at_the_end_and_the_file_is_kept(bench: Bench) -> None:
    failing(bench, [AuthorizationError("imageOutputs[0].pvc: refused")] * 1000)
    result = await bench.run(texts("one", "two"), images=[output()])
    assert (result.phase, result.error) == ("Failed", "upload failed: imageOutputs[0].pvc: refused")
    assert (bench.volume / "a.mp4").exists()
    assert result.parts[0].location


async def test_a_storage_that_has_failed_for_good_is_left_for_its_backup(bench: Bench) -> None:
    failing(bench, [AuthorizationError("imageOutputs[0].pvc: refused")] * 1000)
    backup = {"kind": "pvc", "volume": "backup", "claimName": "spare"}
    result = await bench.run(texts("one", "two"), images=[output(backup=backup)])
    stored = sorted(path.name for path in (bench.directory / "volumes" / "backup").rglob("*.jpeg"))
    assert (result.phase, stored) == ("Complete", ["a_00000.jpeg", "a_00001.jpeg"])
    assert result.backup_storage_writes == 1


async def test_what_waits_is_bounded_and_what_is_left_out_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imagelane, "WAITING_BYTES", 10)
    failing(bench, [UnreachableError("imageOutputs[0].pvc: away")] * 8)
    result = await bench.run({**texts("12345", "67890", "too much"), "dropped": 2}, images=[output()])
    assert result.phase == "Complete"
    assert list(files(bench).values()) == ["12345", "67890"]
    assert result.troubles["ImagesDropped"].startswith(
        "3 images were left out (2 because the machine was too slow, 1"
    )
    assert [path for path in bench.settings.scratch.rglob("*") if path.is_file()] == []


async def test_an_audio_track_has_no_images(bench: Bench) -> None:
    source = {"kind": "trackComposite", "audioTrackId": "TR_a"}
    outputs = [{"filepath": "a.ogg", "fileType": "OGG", "destination": VOLUME}]
    with pytest.raises(ConfigurationError, match="imageOutputs: only an audio track is recorded"):
        bench.supervisor({"then": "wait"}, outputs=outputs, source=source, images=[output()])


async def test_a_prefix_has_all_tokens_when_the_first_image_comes(bench: Bench) -> None:
    source = {"kind": "trackComposite", "videoTrackId": "TR_v"}
    await bench.run(
        texts("one"), source=source, images=[output(prefix="stills/{publisher_identity}-{track_id}-{part}")]
    )
    assert list(files(bench)) == ["alice-TR_v-1_00000.jpeg"]


async def test_files_segments_and_images_go_their_own_ways_with_numbers_in_this_order(bench: Bench) -> None:
    (bench.volume / "hls").mkdir()
    segments = {"playlist": "hls/all.m3u8", "prefix": "hls/seg", "destination": VOLUME}
    step = {**texts("one", "two"), "segments": 2}
    result = await bench.run(step, segments=[segments], images=[output()])
    assert result.phase == "Complete"
    assert [(part.output, part.filename) for part in result.parts] == [(0, "a.mp4"), (1, "hls/all.m3u8")]
    assert [one.segment_count for one in result.segment_results] == [2]
    assert files(bench) == {"a_00000.jpeg": "one", "a_00001.jpeg": "two"}
    for directory in (".", "hls", "stills"):
        told = Manifest.parse((bench.volume / directory / "EG_test.json").read_text())
        assert (len(told.files), len(told.playlists), len(told.images)) == (1, 1, 2), directory
    assert [path for path in bench.settings.scratch.rglob("*") if path.is_file()] == []


async def test_images_go_beside_hls_alone(bench: Bench) -> None:
    segments = {"playlist": "hls/all.m3u8", "prefix": "hls/seg", "destination": VOLUME}
    result = await bench.run(
        {**texts("one"), "segments": 1}, outputs=[], segments=[segments], images=[output()]
    )
    assert (result.phase, files(bench)) == ("Complete", {"a_00000.jpeg": "one"})


@pytest.mark.parametrize("then", ["crash", "end"])
async def test_images_that_the_capture_process_did_not_live_to_tell_are_stored_and_halves_go(
    bench: Bench, then: str
) -> None:
    first = {**texts("one"), "untold": [["two", "three"]], "then": then}
    result = await bench.run(first, texts("four"), images=[output()])
    wanted = ["one", "two", "three", *(["four"] if then == "crash" else [])]
    assert result.phase == "Complete"
    assert list(files(bench).values()) == wanted
    listed = manifest(bench).images
    assert [one.number for one in listed] == list(range(len(wanted)))
    assert listed[0].timestamp <= listed[1].timestamp, "of an untold one it is the file's time"
    assert result.image_results[0].image_count == len(wanted)
    assert [path for path in bench.settings.scratch.rglob("*") if path.is_file()] == []


async def test_what_is_given_up_when_the_process_has_to_go_is_counted(bench: Bench) -> None:
    failing(bench, [AuthorizationError("imageOutputs[0].pvc: refused")] * 1000)
    step = {**texts("one", "two"), "untold": [["three"]], "then": "wait"}
    supervisor = bench.supervisor(step, images=[output()])
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(15):
        while "ImagesHeld" not in bench.board.status.troubles:
            await bench.board.after(bench.board.status.sequence, 5)
        supervisor.interrupt()
        result = await running
    assert result.phase == "Interrupted"
    assert result.troubles["ImagesDropped"].startswith(
        "3 images were left out (0 because the machine was too slow, 3 because their storage did not take them)"
    )
    assert [path for path in bench.settings.scratch.rglob("image-*") if path.is_file()] == []


async def test_a_destination_that_is_refused_leaves_no_image_behind(bench: Bench) -> None:
    bench.storage.put_faults = [AuthorizationError("imageOutputs[0].pvc: refused")] * 100
    result = await bench.run({**texts("one"), "then": "wait"}, images=[output()])
    assert result.phase == "Failed"
    assert [path for path in bench.settings.scratch.rglob("image-*") if path.is_file()] == []
