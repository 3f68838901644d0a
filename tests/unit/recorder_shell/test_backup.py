"""Where a file goes when its storage fails: the backup storage, and a recorder that keeps the last copy."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from support.supervisor_bench import Bench, until_recording

pytestmark = pytest.mark.integration


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


SPARED = [
    {
        "filepath": "calls/a.mp4",
        "destination": {"kind": "pvc", "volume": "claim"},
        "backup": {"kind": "pvc", "volume": "backup"},
    }
]
GONE = [UnreachableError("no answer")] * 100_000


def saved(bench: Bench) -> Path:
    return bench.directory / "volumes" / "backup" / "calls" / "a.mp4"


@pytest.mark.parametrize(
    "faults", [GONE, [AuthorizationError("key withdrawn")] * 1000, [ConfigurationError("no bucket")] * 1000]
)
async def test_a_file_whose_storage_fails_for_good_goes_to_the_backup(
    bench: Bench, faults: list[RecorderError]
) -> None:
    bench.storage.part_faults = list(faults)

    result = await bench.run({"media": 10, "then": "end"}, outputs=SPARED)

    assert (result.phase, result.exit_code, result.error) == ("Complete", 0, "")
    assert result.details == "End reason: Source closed; backup storage used"
    assert result.file_results[0].location == "pvc://spare/calls/a.mp4"
    assert result.backup_storage_writes == 1
    assert "fileOutputs[0]" in result.troubles["BackupStorageUsed"]
    assert saved(bench).read_bytes() == b"M" * 10
    manifest = json.loads((saved(bench).parent / "EG_test.json").read_text())
    assert manifest["backupStorageUsed"]
    assert [file["location"] for file in manifest["files"]] == ["pvc://spare/calls/a.mp4"]


async def test_a_backup_that_is_not_needed_stays_empty(bench: Bench) -> None:
    result = await bench.run({"media": 10, "then": "end"}, outputs=SPARED)

    assert (result.phase, result.backup_storage_writes, dict(result.troubles)) == ("Complete", 0, {})
    assert not [path for path in (bench.directory / "volumes" / "backup").rglob("*") if path.is_file()]


async def test_an_unusable_backup_is_a_warning_and_no_refusal(bench: Bench) -> None:
    bench.backup.part_faults = [AuthorizationError("fileOutputs[0].backupStorage.pvc: read-only")] * 10

    result = await bench.run({"media": 10, "then": "end"}, outputs=SPARED)

    assert result.phase == "Complete"
    assert "backupStorage.pvc: read-only" in result.troubles["BackupStorageUnusable"]


async def test_a_storage_that_is_away_at_the_start_does_not_end_a_recording_that_has_a_backup(
    bench: Bench,
) -> None:
    bench.settings = replace(bench.settings, probe_patience=0.2)
    bench.storage.put_faults, bench.storage.part_faults = list(GONE), list(GONE)

    result = await bench.run({"media": 10, "then": "end"}, outputs=SPARED)

    assert (result.phase, saved(bench).read_bytes()) == ("Complete", b"M" * 10)
    assert result.manifest_location == "pvc://spare/calls/EG_test.json"


async def test_a_storage_that_refuses_at_the_start_still_ends_it_although_there_is_a_backup(
    bench: Bench,
) -> None:
    bench.storage.put_faults = [AuthorizationError("wrong secret")] * 10

    result = await bench.run({"media": 10, "then": "wait"}, outputs=SPARED)

    assert (result.phase, result.exit_code, result.error) == ("Failed", 77, "wrong secret")


async def test_when_both_fail_the_error_names_both(bench: Bench) -> None:
    bench.storage.part_faults = list(GONE)
    bench.backup.part_faults = [ConfigurationError("no bucket")] * 10

    result = await bench.run({"media": 10, "then": "end"}, outputs=SPARED)

    assert (result.phase, result.exit_code) == ("Failed", 69)
    assert result.error == "upload failed: storage: no answer; backup: no bucket"


async def test_the_uploads_time_is_that_of_the_recording_where_it_says_one(bench: Bench) -> None:
    bench.settings = replace(bench.settings, retry=replace(bench.settings.retry, total=3600.0))
    bench.storage.part_faults = list(GONE)

    result = await bench.run({"media": 10, "then": "end"}, outputs=SPARED, uploadTimeout=0.3)

    assert (result.phase, result.backup_storage_writes) == ("Complete", 1)


async def until_held(bench: Bench) -> None:
    async with asyncio.timeout(10):
        while "FileHeld" not in bench.board.status.troubles:
            await bench.board.after(bench.board.status.sequence, 5)


async def test_in_a_pod_the_last_copy_is_held_until_a_storage_takes_it(bench: Bench) -> None:
    bench.settings = replace(bench.settings, hold_pause=0.05)
    bench.storage.part_faults = [ConfigurationError("no bucket")] * 100_000
    running = asyncio.create_task(bench.run({"media": 10, "then": "end"}))
    await until_held(bench)
    assert bench.board.status.phase == "Ending"
    assert "no bucket" in bench.board.status.troubles["FileHeld"]
    await asyncio.sleep(0.3)
    assert not running.done()

    bench.storage.part_faults.clear()
    result = await running

    assert (result.phase, dict(result.troubles)) == ("Complete", {})
    assert (bench.volume / "a.mp4").read_bytes() == b"M" * 10


async def test_a_held_file_is_given_up_only_when_the_pod_has_to_go_and_that_is_said(bench: Bench) -> None:
    bench.settings = replace(bench.settings, hold_pause=60.0)
    bench.storage.part_faults = list(GONE)
    supervisor = bench.supervisor({"media": 10, "then": "end"})
    running = asyncio.create_task(supervisor.run())
    await until_held(bench)

    supervisor.interrupt()
    result = await running

    assert (result.phase, result.exit_code) == ("Failed", 69)
    assert "its file is lost with the pod's scratch volume" in result.error
    assert [path.read_bytes() for path in bench.settings.scratch.rglob("*.mp4")] == [b"M" * 10]


async def test_a_sigterm_leaves_the_backup_time_before_sigkill(bench: Bench) -> None:
    bench.settings = replace(
        bench.settings, hold_pause=60.0, retry=replace(bench.settings.retry, total=3600.0)
    )
    bench.storage.part_faults = list(GONE)
    supervisor = bench.supervisor({"media": 10, "then": "wait"}, outputs=SPARED, terminationGrace=2.0)
    running = asyncio.create_task(supervisor.run())
    await until_recording(bench)

    supervisor.interrupt()
    async with asyncio.timeout(2.0):
        result = await running

    assert (result.phase, saved(bench).read_bytes()) == ("Interrupted", b"M" * 10)
