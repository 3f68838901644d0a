"""A supervisor without any file: parts that are only times, no manifest where there is no storage, no upload to wait for."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from egress_recorder.contract import Manifest, RecorderConfig, RecorderResult, StreamTarget
from egress_recorder.manifest import merge
from egress_recorder.supervisor import imagelane
from egress_recorder.supervisor.ledger import Ledger
from support.supervisor_bench import Bench, until_recording

pytestmark = pytest.mark.unit

STREAMS: dict[str, Any] = {"outputs": [], "streaming": True}
IMAGES: dict[str, Any] = {
    "outputs": [],
    "images": [{"prefix": "stills/a", "destination": {"kind": "pvc", "volume": "claim"}}],
}
VENUE = StreamTarget(key="0/venue", url="rtmp://h/app/secret-key", protocol="RTMP", id="venue")
T0 = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(imagelane, "_PAUSE", 0.02)
    return Bench(tmp_path, monkeypatch)


def media(**fields: Any) -> dict[str, Any]:
    return {"media": 0, "then": "end", **fields}


def request(bench: Bench, number: int) -> dict[str, Any]:
    document = json.loads((bench.directory / f"request-{number}.json").read_text())
    assert isinstance(document, dict)
    return document


async def test_streams_alone_are_complete_without_a_file_a_storage_and_a_manifest(bench: Bench) -> None:
    result = await bench.run(media(progress=3), **STREAMS)

    assert (result.phase, result.exit_code, result.error) == ("Complete", 0, "")
    assert (result.manifest_location, result.file_results) == ("", ())
    [part] = result.parts
    assert (part.part, part.output, part.filename, part.location) == (1, 0, "", "")
    assert (part.duration, part.size, part.end_reason) == (3.0, 0, "Source closed")
    assert (result.started_at, result.ended_at) == (part.started_at, part.ended_at)
    assert (result.progress.duration, result.progress.bytes_written) == (3.0, 0)
    assert list(bench.volume.iterdir()) == []
    assert [path for path in bench.settings.scratch.rglob("*") if path.is_file()] == []
    # What the operator reads back says the same, in the size of a termination message.
    assert RecorderResult.parse(result.to_termination_message()).parts == result.parts
    assert (request(bench, 1)["files"], request(bench, 1)["segments"]) == ([], [])


async def test_after_a_crash_the_next_part_joins_the_streams_again(bench: Bench) -> None:
    supervisor = bench.supervisor(media(then="crash"), media(), **STREAMS)
    supervisor.want_streams((VENUE,))
    async with asyncio.timeout(15):
        result = await supervisor.run()

    assert result.phase == "Complete"
    assert [(part.part, part.end_reason) for part in result.parts] == [
        (1, "Process killed"),
        (2, "Source closed"),
    ]
    assert [one["key"] for one in request(bench, 2)["streams"]] == ["0/venue"]
    assert request(bench, 2)["continuing"] is True
    assert result.progress.duration == 2.0
    first, second = result.parts
    assert first.ended_at is not None
    # The fake tells a second of media in a moment, so that no time can be missing between its parts.
    assert first.ended_at - first.started_at == timedelta(seconds=1)  # type: ignore[operator]
    assert second.filename == ""


async def test_a_crash_before_any_media_is_no_part(bench: Bench) -> None:
    result = await bench.run({"then": "crash"}, media(), **STREAMS)

    assert [part.part for part in result.parts] == [1]


async def test_an_interruption_leaves_a_part_that_the_next_recorder_continues(bench: Bench) -> None:
    supervisor = bench.supervisor(media(then="wait"), **STREAMS)
    running = asyncio.create_task(supervisor.run())
    await until_recording(bench)
    supervisor.interrupt()
    async with asyncio.timeout(15):
        result = await running

    assert (result.phase, result.exit_code) == ("Interrupted", 75)
    assert [(part.part, part.end_reason) for part in result.parts] == [(1, "Interrupted")]


def streams_of(*results: tuple[str, str]) -> dict[str, Any]:
    """What the operator tells of earlier parts."""
    ended = {"endedAt": "2026-11-22T09:00:05Z"}
    return {
        "part": 2,
        "prior": {
            "startedAt": "2026-11-22T09:00:00Z",
            "parts": [{"part": 1, "filename": "", "startedAt": "2026-11-22T09:00:00Z", "duration": 5.0}],
            "streams": [
                {"key": key, "url": "rtmp://h/app/{...}", "status": status, "error": "refused", **ended}
                for key, status in results
            ],
        },
    }


async def test_when_all_streams_failed_in_an_earlier_part_there_is_no_next_one(bench: Bench) -> None:
    supervisor = bench.supervisor(media(), **STREAMS, **streams_of(("0/venue", "FAILED")))
    supervisor.want_streams((VENUE,))
    async with asyncio.timeout(15):
        result = await supervisor.run()

    assert (result.phase, result.exit_code, result.error_code) == ("Failed", 65, 503)
    assert "the last stream has failed, and there is no other output: rtmp://h/app/{...}: refused" in (
        result.error
    )
    assert result.details == "End reason: Failure"
    assert not (bench.directory / "request-1.json").exists()
    assert [one.status for one in result.stream_results] == ["FAILED"]


@pytest.mark.parametrize(
    ("changes", "status", "wanted"),
    [
        # One is left, or was added meanwhile.
        (STREAMS, "FAILED", ("0/venue", "0/new")),
        (STREAMS, "ACTIVE", ("0/venue",)),
        # Something else is recorded.
        ({**IMAGES, "streaming": True}, "FAILED", ("0/venue",)),
        ({"streaming": True}, "FAILED", ("0/venue",)),
    ],
)
async def test_as_long_as_anything_is_left_the_next_part_follows(
    changes: dict[str, Any], status: str, wanted: tuple[str, ...], bench: Bench
) -> None:
    supervisor = bench.supervisor(media(), **changes, **streams_of(("0/venue", status)))
    supervisor.want_streams(
        tuple(StreamTarget(key=key, url="rtmp://h/a/b", protocol="RTMP") for key in wanted)
    )
    async with asyncio.timeout(15):
        result = await supervisor.run()

    assert result.phase == "Complete"
    assert (bench.directory / "request-1.json").exists()


async def test_images_alone_are_stored_with_a_manifest_that_has_a_part_and_no_file(bench: Bench) -> None:
    result = await bench.run(media(images=[["one", "two"]]), **IMAGES)

    assert (result.phase, result.file_results) == ("Complete", ())
    place = bench.volume / "stills" / "EG_test.json"
    assert result.manifest_location == str(place)
    told = Manifest.parse(place.read_text())
    assert (told.phase, told.files, len(told.images)) == ("Complete", (), 2)
    assert [(part.part, part.filename) for part in told.parts] == [(1, "")]
    assert [one.duration for one in told.media] == [1.0]
    assert json.loads(place.read_text())["files"] == []
    assert sorted(path.name for path in place.parent.iterdir()) == [
        "EG_test.json",
        "a_00000.jpeg",
        "a_00001.jpeg",
    ]


async def test_numbers_of_images_alone_go_on_after_a_crash(bench: Bench) -> None:
    crash = media(images=[["one", "two"]], then="crash")
    result = await bench.run(crash, media(images=[["three"]]), **IMAGES)

    assert [part.part for part in result.parts] == [1, 2]
    assert result.image_results[0].image_count == 3
    assert (bench.volume / "stills" / "a_00002.jpeg").read_text() == "three"


async def test_a_recording_without_any_output_is_refused_with_the_fields(bench: Bench) -> None:
    with pytest.raises(ValueError, match="fileOutputs, segmentOutputs, imageOutputs or streamOutputs"):
        bench.supervisor(media(), outputs=[])


def test_only_a_recorder_that_can_is_given_a_recording_without_files(bench: Bench) -> None:
    values = {
        "egressId": "EG_test",
        "url": "ws://x",
        "roomName": "r",
        "source": {"kind": "participant", "identity": "alice"},
        "requestedAt": "2026-11-22T10:00:00Z",
    }
    for changes in (STREAMS, IMAGES):
        assert RecorderConfig.model_validate({**values, **changes}).stamped().min_contract_version == 2


@pytest.mark.parametrize(("files", "begins"), [(False, 5), (True, 0)])
def test_of_a_lost_recorder_what_was_streamed_is_no_gap_and_what_was_in_its_file_is(
    files: bool, begins: int
) -> None:
    lost = {
        "part": 1,
        "filename": "a.mp4" if files else "",
        "startedAt": T0,
        "endedAt": T0 + timedelta(seconds=5),
        "duration": 5.0,
        "endReason": "Process killed: Evicted",
    }
    config = RecorderConfig.model_validate(
        {
            "egressId": "EG_test",
            "part": 2,
            "url": "ws://x",
            "roomName": "r",
            "source": {"kind": "participant", "identity": "alice"},
            "outputs": [{"filepath": "a.mp4", "destination": {"kind": "pvc", "volume": "0"}}] * files,
            "streaming": True,
            "requestedAt": T0,
            "prior": {"parts": [lost], "startedAt": T0},
        }
    )
    ledger = Ledger(config)
    ledger.started(2, T0 + timedelta(seconds=9), ("media.mp4",) * files)
    [gap] = ledger.gaps()

    assert (gap.started_at, gap.duration) == (T0 + timedelta(seconds=begins), 9.0 - begins)
    assert len(ledger.orphans()) == files


def test_manifests_of_two_recorders_of_images_alone_become_one() -> None:
    def manifest(number: int) -> Manifest:
        return Manifest.model_validate(
            {
                "egressId": "EG_test",
                "roomName": "r",
                "phase": "Interrupted" if number == 1 else "Active",
                "updatedAt": T0,
                "parts": [{"part": number, "filename": "", "startedAt": T0 + timedelta(minutes=number)}],
            }
        )

    # The first one writes its last word after the second one has begun.
    merged = merge(manifest(1), manifest(2))
    assert [part.part for part in merged.parts] == [1, 2]
    assert merged.phase == "Active"
