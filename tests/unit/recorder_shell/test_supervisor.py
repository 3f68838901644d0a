"""The supervisor's loop in this process, with a fake capture process and storages that fail as told."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from egress_recorder.contract import Destination, Manifest
from egress_recorder.errors import AuthorizationError, ConfigurationError, UnreachableError
from egress_recorder.storage import StorageContext
from egress_recorder.supervisor import outputs as outputs_module
from egress_recorder.supervisor.attempt import AttemptLimits
from support.supervisor_bench import Bench, FlakyVolume, until_recording

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


async def test_an_upload_that_fails_and_then_works_is_no_failure(bench: Bench) -> None:
    bench.storage.part_faults = [UnreachableError("no answer"), UnreachableError("no answer")]
    result = await bench.run({"media": 10, "then": "end"})
    assert (result.phase, result.exit_code) == ("Complete", 0)
    assert (bench.volume / "a.mp4").exists()


async def test_an_upload_that_never_works_fails_and_keeps_the_file(bench: Bench) -> None:
    bench.storage.part_faults = [UnreachableError("no answer")] * 1000
    result = await bench.run({"media": 10, "then": "end"})
    assert (result.phase, result.exit_code, result.error_code) == ("Failed", 69, 503)
    assert result.error == "upload failed: no answer"
    assert result.parts[0].location == ""
    assert [path.read_bytes() for path in bench.settings.scratch.rglob("*.mp4")] == [b"M" * 10]


async def test_a_refused_destination_ends_the_capture_with_its_own_code(bench: Bench) -> None:
    bench.storage.put_faults = [AuthorizationError("fileOutputs[0].s3: wrong secret")]
    result = await bench.run({"media": 10, "then": "wait"})
    assert (result.phase, result.exit_code, result.error_code) == ("Failed", 77, 401)
    assert result.error == "fileOutputs[0].s3: wrong secret"


async def test_a_destination_that_comes_back_costs_nothing(bench: Bench) -> None:
    bench.storage.put_faults = [UnreachableError("restarting")]
    result = await bench.run({"media": 10, "then": "end"})
    assert result.phase == "Complete"


async def test_a_destination_that_stays_away_ends_with_69(bench: Bench) -> None:
    bench.settings = replace(bench.settings, probe_patience=0.2)
    bench.storage.put_faults = [UnreachableError("no answer")] * 100
    result = await bench.run({"media": 10, "then": "wait"})
    assert (result.phase, result.exit_code) == ("Failed", 69)


async def test_a_destination_that_comes_back_after_the_end_still_gets_the_file(bench: Bench) -> None:
    bench.settings = replace(bench.settings, probe_patience=2.0)
    bench.storage.put_faults = [UnreachableError("no answer")] * 3
    result = await bench.run({"media": 10, "then": "end"})
    assert (result.phase, result.exit_code) == ("Complete", 0)
    assert (bench.volume / "a.mp4").exists()


async def test_an_abort_kills_the_capture_and_keeps_what_it_left(bench: Bench) -> None:
    supervisor = bench.supervisor({"media": 10, "then": "ignore-stop"})
    running = asyncio.create_task(supervisor.run())
    await until_recording(bench)
    supervisor.stop()
    supervisor.abort()
    result = await running
    assert (result.phase, result.parts[0].end_reason) == ("Complete", "Process killed")
    assert (bench.volume / "a.mp4").exists()


async def test_a_capture_that_ignores_the_stop_is_killed_and_its_file_finalised(bench: Bench) -> None:
    bench.settings = replace(bench.settings, limits=AttemptLimits(stop=0.3))
    supervisor = bench.supervisor({"media": 10, "then": "ignore-stop"})
    running = asyncio.create_task(supervisor.run())
    await until_recording(bench)
    supervisor.stop()
    result = await running
    assert (result.phase, result.exit_code, result.details) == ("Complete", 0, "End reason: StopEgress API")
    assert (bench.volume / "a.mp4").read_bytes().endswith(b"-final")


async def test_a_capture_that_stalls_is_killed_and_followed_by_the_next_part(bench: Bench) -> None:
    bench.settings = replace(bench.settings, limits=AttemptLimits(stall=0.3))
    result = await bench.run({"media": 10, "then": "silent"}, {"media": 20, "then": "end"})
    assert [(part.part, part.end_reason) for part in result.parts] == [
        (1, "Process killed"),
        (2, "Source closed"),
    ]


async def test_a_fault_of_the_encoder_keeps_its_file_and_starts_the_next_part(bench: Bench) -> None:
    fault = {
        "phase": "Failed",
        "reason": "Failure",
        "exit_code": 70,
        "error": "encoder failed",
        "error_code": 500,
    }
    result = await bench.run({"media": 10, "then": "end", "ended": fault}, {"media": 20, "then": "end"})
    assert (result.phase, [part.size for part in result.parts]) == ("Complete", [10, 20])


async def test_a_fault_that_stays_is_reported_with_its_own_words(bench: Bench) -> None:
    fault = {
        "phase": "Failed",
        "reason": "Failure",
        "exit_code": 70,
        "error": "encoder failed",
        "error_code": 500,
    }
    result = await bench.run({"media": 10, "then": "end", "ended": fault}, maxParts=2)
    assert (result.phase, result.exit_code, result.error) == ("Failed", 70, "encoder failed")
    assert [part.part for part in result.parts] == [1, 2]


async def test_a_stop_after_sigterm_makes_the_end_final(bench: Bench) -> None:
    supervisor = bench.supervisor({"media": 10, "then": "wait"})
    running = asyncio.create_task(supervisor.run())
    await until_recording(bench)
    supervisor.interrupt()
    supervisor.stop()
    result = await running
    assert (result.phase, result.exit_code) == ("Complete", 0)


async def test_every_word_about_an_interruption_says_that_it_is_one(bench: Bench) -> None:
    supervisor = bench.supervisor({"media": 10, "then": "wait"})
    running = asyncio.create_task(supervisor.run())
    await until_recording(bench)
    supervisor.interrupt()
    words = []
    while not running.done():
        status = await bench.board.after(bench.board.status.sequence - 1, 1)
        words.append((status.phase.value, status.details))
        await bench.board.after(status.sequence, 0.2)
    ending = [details for phase, details in words if phase in {"Ending", "Interrupted"}]
    assert ending
    # The operator reads an Ending without that detail as the end of the recording, and no later part takes it back.
    assert set(ending) == {"End reason: Interrupted"}


async def test_a_stop_before_the_capture_began_is_obeyed(bench: Bench) -> None:
    supervisor = bench.supervisor({"then": "wait"})
    supervisor.stop()
    assert (await supervisor.run()).phase == "Aborted"


async def test_the_board_shows_the_phases_in_order_and_the_manifest_follows(bench: Bench) -> None:
    supervisor = bench.supervisor({"media": 10, "then": "wait"})
    seen: list[str] = []

    async def follow() -> None:
        while True:
            status = await bench.board.after(bench.board.status.sequence, 10)
            if not seen or seen[-1] != status.phase.value:
                seen.append(status.phase.value)

    follower = asyncio.create_task(follow())
    running = asyncio.create_task(supervisor.run())
    await until_recording(bench)
    async with asyncio.timeout(5):
        while json.loads((bench.volume / "EG_test.json").read_text())["phase"] != "Active":  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)
    supervisor.stop()
    await running
    await asyncio.sleep(0)
    follower.cancel()
    assert seen == ["Starting", "Active", "Ending", "Complete"]
    assert json.loads((bench.volume / "EG_test.json").read_text())["phase"] == "Complete"


async def test_a_scratch_directory_that_cannot_be_made_is_told(bench: Bench) -> None:
    (bench.directory / "file").write_text("")
    bench.settings = replace(bench.settings, scratch=bench.directory / "file" / "scratch")
    result = await bench.run({"then": "wait"})
    assert result.exit_code == 78
    assert "--scratch" in result.error


async def test_the_manifest_holds_the_hash_of_the_finished_file(bench: Bench) -> None:
    await bench.run({"media": 10, "then": "crash"}, {"media": 20, "then": "end"})
    manifest = json.loads((bench.volume / "EG_test.json").read_text())
    assert [(entry["part"], entry["sha256"]) for entry in manifest["media"]] == [
        (number, hashlib.sha256((bench.volume / name).read_bytes()).hexdigest())
        for number, name in ((1, "a.mp4"), (2, "a-p2.mp4"))
    ]
    assert [file["sha256"] for file in manifest["files"]] == [entry["sha256"] for entry in manifest["media"]]


THREE = [
    {"filepath": f"a{extension}", "fileType": name, "destination": {"kind": "pvc", "volume": "claim"}}
    for name, extension in (("MP4", ""), ("OGG", ".ogg"), ("MP4", "-copy"), ("MP3", ".mp3"))
]
"""Four outputs that get three files."""


def entries(volume: Path) -> list[tuple[str, int, bool]]:
    """Name, size and whether the hash is right, of each file in the manifest."""
    manifest = json.loads((volume / "EG_test.json").read_text())
    return [
        (
            file["filename"],
            file["size"],
            file["sha256"] == hashlib.sha256((volume / file["filename"]).read_bytes()).hexdigest(),
        )
        for file in manifest["files"]
    ]


async def test_each_output_gets_the_file_of_its_type(bench: Bench) -> None:
    result = await bench.run({"media": 10, "then": "end"}, outputs=THREE)
    assert (result.phase, result.exit_code) == ("Complete", 0)
    request = json.loads((bench.directory / "request-1.json").read_text())
    assert request["files"] == ["MP4", "OGG", "MP3"]
    expected = [("a.mp4", 10), ("a.ogg", 11), ("a-copy.mp4", 10), ("a.mp3", 12)]
    assert [(part.filename, part.size) for part in result.parts] == expected
    assert [(file.filename, file.size) for file in result.file_results] == expected
    assert entries(bench.volume) == [(*pair, True) for pair in expected]
    assert result.progress.bytes_written == 33
    assert not list(bench.settings.scratch.rglob("media*"))


async def test_all_files_of_a_crashed_part_are_kept(bench: Bench) -> None:
    result = await bench.run({"media": 20, "then": "crash"}, {"media": 10, "then": "end"}, outputs=THREE)
    assert result.phase == "Complete"
    assert [(part.part, part.filename, part.size, part.duration) for part in result.parts if part.part == 1] == [
        (1, "a.mp4", 26, 1.5), (1, "a.ogg", 27, 1.5), (1, "a-copy.mp4", 26, 1.5), (1, "a.mp3", 28, 1.5),
    ]  # fmt: skip
    assert len(entries(bench.volume)) == 8
    assert all(right for _, _, right in entries(bench.volume))


async def test_a_crash_that_left_media_in_some_files_only_loses_nothing_of_them(bench: Bench) -> None:
    # The finalizer finds nothing in a file of 13 bytes: the third one, MP3.
    result = await bench.run({"media": 11, "then": "crash"}, {"media": 10, "then": "end"}, outputs=THREE)
    first = [part.filename for part in result.parts if part.part == 1]
    assert first == ["a.mp4", "a.ogg", "a-copy.mp4"]
    assert result.phase == "Complete"


async def test_a_file_that_could_not_be_written_on_is_kept_and_told_at_the_end(bench: Bench) -> None:
    problems = {"media.ogg": "writing media.ogg failed: no space; see that the scratch volume has space"}
    result = await bench.run({"media": 10, "then": "end", "ended": {"problems": problems}}, outputs=THREE)
    assert (result.phase, result.exit_code, result.error_code) == ("Failed", 65, 500)
    assert (
        result.error
        == f"{problems['media.ogg']}; what was written before is kept, the other files are complete"
    )
    assert [(part.filename, part.size, part.duration) for part in result.parts] == [
        ("a.mp4", 10, 1.0), ("a.ogg", 17, 1.5), ("a-copy.mp4", 10, 1.0), ("a.mp3", 12, 1.0),
    ]  # fmt: skip
    assert all(part.location for part in result.parts)


async def test_a_file_that_breaks_is_told_while_the_others_go_on(bench: Bench) -> None:
    supervisor = bench.supervisor(
        {"media": 10, "then": "wait", "problems": {"media.ogg": "it is full"}}, outputs=THREE
    )
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10):
        while "OutputCut" not in bench.board.status.troubles:
            await bench.board.after(bench.board.status.sequence, 5)
    assert bench.board.status.troubles["OutputCut"] == "it is full; the other files go on"
    assert bench.board.status.recording
    supervisor.stop()
    await running


async def test_files_that_cannot_hold_what_is_asked_for_are_refused_before_the_room_is_joined(
    bench: Bench,
) -> None:
    source = {"kind": "trackComposite", "videoTrackId": "TR_v"}
    with pytest.raises(ConfigurationError, match="fileOutputs: OGG holds sound only"):
        bench.supervisor({"then": "wait"}, outputs=THREE, source=source)


def unlisted(volume: Path) -> list[dict[str, Any]]:
    return [
        {
            "filepath": "a.mp4",
            "destination": {"kind": "pvc", "volume": "claim"},
            "disableManifest": True,
        }
    ]


async def test_without_a_manifest_only_the_media_is_in_the_destination(bench: Bench) -> None:
    result = await bench.run({"media": 10, "then": "end"}, outputs=unlisted(bench.volume))
    assert (result.phase, result.manifest_location) == ("Complete", "")
    assert [path.name for path in bench.volume.rglob("*")] == ["a.mp4"]


async def test_without_a_manifest_a_refused_destination_still_ends_it_before_there_is_media(
    bench: Bench,
) -> None:
    bench.storage.part_faults = [AuthorizationError("fileOutputs[0].s3: wrong secret")]
    result = await bench.run({"media": 10, "then": "wait"}, outputs=unlisted(bench.volume))
    assert (result.phase, result.exit_code, result.error) == ("Failed", 77, "fileOutputs[0].s3: wrong secret")
    assert (result.parts, list(bench.volume.iterdir())) == ((), [])


async def test_without_a_manifest_a_later_part_goes_on_from_what_the_operator_knows(bench: Bench) -> None:
    earlier = {
        "part": 1,
        "filename": "a.mp4",
        "location": "pvc://claim/a.mp4",
        "startedAt": "2026-11-22T10:00:00Z",
        "endedAt": "2026-11-22T10:00:05Z",
        "duration": 5.0,
        "size": 50,
        "endReason": "Interrupted",
    }
    prior = {"parts": [earlier], "startedAt": "2026-11-22T10:00:00Z", "progress": {"frames": 150}}
    result = await bench.run(
        {"media": 10, "then": "end"}, outputs=unlisted(bench.volume), part=2, prior=prior
    )
    assert [(part.part, part.filename) for part in result.parts] == [(1, "a.mp4"), (2, "a-p2.mp4")]
    assert (len(result.gaps), result.progress.frames, result.progress.bytes_written) == (1, 180, 60)
    assert [path.name for path in bench.volume.rglob("*")] == ["a-p2.mp4"]


# ---- files that follow each other -----------------------------------------------------------------------------


FULL = "Max file duration reached"


async def test_files_that_follow_each_other_are_parts_without_a_gap_and_each_is_uploaded(
    bench: Bench,
) -> None:
    result = await bench.run(
        {"media": 10, "progress": 2, "rolls": 2, "then": "end"}, maxParts=1, maxFileDuration=2
    )
    assert json.loads((bench.directory / "request-1.json").read_text())["max_file_duration"] == 2
    assert (result.phase, result.gaps) == ("Complete", ())
    assert [
        (part.part, part.filename, part.duration, part.size, part.end_reason) for part in result.parts
    ] == [
        (1, "a.mp4", 2.0, 10, FULL),
        (2, "a-p2.mp4", 2.0, 10, FULL),
        (3, "a-p3.mp4", 2.0, 10, "Source closed"),
    ]
    assert result.parts[0].ended_at == result.parts[1].started_at
    assert all(part.location for part in result.parts)
    assert sorted(path.name for path in bench.volume.glob("*.mp4")) == ["a-p2.mp4", "a-p3.mp4", "a.mp4"]
    assert (result.progress.duration, result.progress.frames) == (6.0, 180)
    manifest = json.loads((bench.volume / "EG_test.json").read_text())
    assert [one["part"] for one in manifest["media"]] == [1, 2, 3]
    assert all(len(one["sha256"]) == 64 for one in manifest["media"])
    assert not list(bench.settings.scratch.rglob("*.mp4"))


async def test_a_file_is_uploaded_while_the_next_one_is_recorded(bench: Bench) -> None:
    running = asyncio.create_task(
        bench.supervisor({"media": 10, "rolls": 1, "then": "wait"}, maxFileDuration=2).run()
    )
    async with asyncio.timeout(10):
        while not any(part.location for part in bench.board.status.parts):
            await bench.board.after(bench.board.status.sequence, 5)
    first, second = bench.board.status.parts
    assert (first.end_reason, second.end_reason, second.location) == (FULL, "", "")
    assert (bench.volume / "a.mp4").read_bytes() == b"M" * 10
    assert bench.board.status.phase == "Active"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_crash_completes_the_files_before_and_what_was_left_of_the_last(bench: Bench) -> None:
    crash = {"media": 10, "progress": 2, "rolls": 1, "then": "crash"}
    result = await bench.run(crash, {"media": 20, "then": "end"}, maxParts=2, maxFileDuration=2)
    assert [(part.part, part.end_reason) for part in result.parts] == [
        (1, FULL),
        (2, "Process killed"),
        (3, "Source closed"),
    ]
    assert (bench.volume / "a.mp4").read_bytes() == b"M" * 10
    assert (bench.volume / "a-p2.mp4").read_bytes().endswith(b"-final")
    assert len(result.gaps) <= 1, "between the crash and the next capture process alone"


@pytest.mark.parametrize(("budget", "phase", "parts"), [(1, "Failed", 3), (2, "Complete", 4)])
async def test_a_file_that_was_full_does_not_count_towards_max_parts_and_a_crash_does(
    bench: Bench, budget: int, phase: str, parts: int
) -> None:
    crash = {"media": 10, "progress": 2, "rolls": 2, "then": "crash"}
    result = await bench.run(crash, {"media": 20, "then": "end"}, maxParts=budget, maxFileDuration=2)
    assert (result.phase, [part.part for part in result.parts]) == (phase, [*range(1, parts + 1)])


async def test_where_one_of_two_destinations_refuses_the_manifest_of_the_other_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(_: Destination, context: StorageContext) -> FlakyVolume:
        return bench.backup if context.where == "fileOutputs[1]" else bench.storage

    monkeypatch.setattr(outputs_module, "open_storage", opened)
    bench.backup.put_faults = [AuthorizationError("fileOutputs[1].s3: wrong keys")]
    outputs = [
        {"filepath": "a.mp4", "destination": {"kind": "pvc", "volume": volume}}
        for volume in ("claim", "backup")
    ]
    result = await bench.run({"media": 100, "then": "wait"}, outputs=outputs)
    assert (result.phase, result.exit_code) == ("Failed", 77)
    manifest = Manifest.parse((bench.volume / "EG_test.json").read_text())
    assert (manifest.phase, manifest.error) == ("Failed", result.error)
    assert manifest.ended_at is not None
    assert result.manifest_location == bench.storage.location("EG_test.json")
    assert [path.name for path in bench.volume.rglob("*")] == ["EG_test.json"]
    assert list((bench.volume.parent / "backup").rglob("*")) == []
