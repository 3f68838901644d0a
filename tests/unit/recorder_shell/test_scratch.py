"""A scratch volume that fills up: reported, never filled, and the recording goes on when there is room again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from egress_recorder.errors import UnreachableError
from egress_recorder.playlist import entries_of
from egress_recorder.supervisor.salvage import salvage
from egress_recorder.supervisor.scratch import measure
from support.supervisor_bench import Bench

pytestmark = pytest.mark.integration

BLOCK = 4096


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench(tmp_path, monkeypatch)
    made.settings = replace(made.settings, scratch_interval=0.05)
    return made


def test_files_count_against_the_limit_of_the_volume(tmp_path: Path) -> None:
    (tmp_path / "part-001").mkdir()
    (tmp_path / "part-001" / "media.mp4").write_bytes(b"M" * 8 * BLOCK)

    room = measure(tmp_path, 10 * BLOCK)

    assert (room.used, room.size, room.free) == (8 * BLOCK, 10 * BLOCK, 2 * BLOCK)
    assert room.fill == pytest.approx(0.8)


def test_a_file_system_with_less_to_give_than_the_limit_counts_instead(tmp_path: Path) -> None:
    assert measure(tmp_path, 1 << 60).size < 1 << 60
    assert measure(tmp_path, None).size == pytest.approx(measure(tmp_path, 1 << 60).size, rel=0.05)


def test_of_a_volume_that_is_not_there_nothing_is_said(tmp_path: Path) -> None:
    assert measure(tmp_path / "missing", 1000).fill == 0.0


async def test_a_part_ends_before_the_volume_is_full_and_the_recording_goes_on(bench: Bench) -> None:
    seen: set[str] = set()

    async def follow() -> None:
        while True:
            seen.update((await bench.board.after(bench.board.status.sequence, 10)).troubles)

    follower = asyncio.create_task(follow())
    result = await bench.run(
        {"media": 19 * BLOCK, "then": "wait"}, {"media": 10, "then": "end"}, scratchSize=20 * BLOCK
    )
    follower.cancel()

    assert (result.phase, result.exit_code) == ("Complete", 0)
    assert [(part.part, part.end_reason, bool(part.location)) for part in result.parts] == [
        (1, "Scratch volume full", True),
        (2, "Source closed", True),
    ]
    assert seen == {"ScratchPressure"}
    assert dict(result.troubles) == {}


async def test_at_80_percent_it_is_only_reported(bench: Bench) -> None:
    supervisor = bench.supervisor({"media": 17 * BLOCK, "then": "wait"}, scratchSize=20 * BLOCK)
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10):
        while "ScratchPressure" not in bench.board.status.troubles:
            await bench.board.after(bench.board.status.sequence, 5)
    await asyncio.sleep(0.2)
    assert bench.board.status.recording

    supervisor.stop()
    result = await running

    assert [(part.part, part.end_reason) for part in result.parts] == [(1, "StopEgress API")]


async def test_while_no_storage_takes_the_file_nothing_is_added_to_a_full_volume(bench: Bench) -> None:
    bench.settings = replace(bench.settings, retry=replace(bench.settings.retry, total=3600.0))
    bench.storage.part_faults = [UnreachableError("no answer")] * 100_000
    supervisor = bench.supervisor(
        {"media": 19 * BLOCK, "then": "wait"}, {"media": 10, "then": "end"}, scratchSize=20 * BLOCK
    )
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10):
        while "waiting for uploads" not in bench.board.status.message:
            await bench.board.after(bench.board.status.sequence, 5)
    await asyncio.sleep(0.3)
    assert [part.part for part in bench.board.status.parts] == [1]

    bench.storage.part_faults.clear()
    result = await running

    assert [part.part for part in result.parts] == [1, 2]


async def test_a_stop_while_it_waits_for_room_ends_the_recording(bench: Bench) -> None:
    bench.settings = replace(bench.settings, retry=replace(bench.settings.retry, total=3600.0))
    bench.storage.part_faults = [UnreachableError("no answer")] * 100_000
    supervisor = bench.supervisor({"media": 19 * BLOCK, "then": "wait"}, scratchSize=20 * BLOCK)
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10):
        while "waiting for uploads" not in bench.board.status.message:
            await bench.board.after(bench.board.status.sequence, 5)

    supervisor.stop()
    bench.storage.part_faults.clear()
    result = await running

    assert (result.phase, [part.part for part in result.parts]) == ("Complete", [1])


HLS = {
    "outputs": [],
    "segments": [
        {
            "playlist": "all.m3u8",
            "prefix": "seg",
            "duration": 2,
            "destination": {"kind": "pvc", "volume": "claim"},
        }
    ],
}


def named(bench: Bench) -> list[tuple[str, bool]]:
    """What the playlist names, and where a discontinuity begins; each must be there whole, and the playlist be closed."""
    text = (bench.volume / "all.m3u8").read_text()
    assert text.endswith("#EXT-X-ENDLIST\n")
    entries = entries_of(text)
    for entry in entries:
        assert (bench.volume / entry.uri).read_bytes() == b"S" * BLOCK, entry.uri
    return [(entry.uri, entry.discontinuity) for entry in entries]


async def test_segments_that_no_storage_takes_fill_the_volume_and_none_is_lost(bench: Bench) -> None:
    bench.settings = replace(bench.settings, retry=replace(bench.settings.retry, total=3600.0))
    full = {"media": BLOCK, "segments": 5, "then": "wait"}
    supervisor = bench.supervisor(full, {**full, "segments": 1, "then": "end"}, scratchSize=4 * BLOCK, **HLS)
    bench.storage.part_faults = [UnreachableError("no answer")] * 100_000
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10):
        while "waiting for uploads" not in bench.board.status.message:
            await bench.board.after(bench.board.status.sequence, 5)
    assert "ScratchPressure" in bench.board.status.troubles

    bench.storage.part_faults.clear()
    result = await running

    assert (result.phase, result.error, dict(result.troubles)) == ("Complete", "", {})
    assert named(bench) == [
        *((f"seg_{number:05d}.ts", False) for number in range(5)),
        ("seg-p2_00000.ts", True),
    ]
    assert [(part.part, part.end_reason, part.size) for part in result.parts] == [
        (1, "Scratch volume full", 5 * BLOCK),
        (2, "Source closed", BLOCK),
    ]


async def test_segments_that_a_full_volume_ends_are_named_up_to_there_and_the_file_goes_on(
    bench: Bench,
) -> None:
    file = {"filepath": "a.mp4", "destination": {"kind": "pvc", "volume": "claim"}}
    full = {"segments-0": "writing 00003.ts failed: No space left on device"}
    supervisor = bench.supervisor(
        {"media": BLOCK, "segments": 3, "problems": full, "ended": {"problems": full}, "then": "wait"},
        **{**HLS, "outputs": [file]},
    )
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(10):
        while "OutputCut" not in bench.board.status.troubles:
            await bench.board.after(bench.board.status.sequence, 5)
    assert bench.board.status.recording
    supervisor.stop()
    result = await running

    assert (result.phase, result.error_code) == ("Failed", 500)
    assert (
        result.error == f"{full['segments-0']}; what was written before is kept, the other files are complete"
    )
    assert named(bench) == [(f"seg_{number:05d}.ts", False) for number in range(3)]
    assert result.segment_results[0].segment_count == 3
    assert (bench.volume / "a.mp4").read_bytes() == b"M" * BLOCK
    assert [(part.filename, bool(part.location)) for part in result.parts] == [
        ("a.mp4", True),
        ("all.m3u8", True),
    ]


async def test_a_crashed_file_that_cannot_be_copied_is_uploaded_as_it_is(tmp_path: Path) -> None:
    left = tmp_path / "media.mp4"
    left.write_bytes(b"M" * 100)

    found = await salvage(left, command=["/bin/false"], room=99)

    assert found is not None
    assert (found.path, found.duration) == (left, None)
