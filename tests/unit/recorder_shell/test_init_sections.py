"""What initialises fMP4 segments: stored once per part and storage, and again where it is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from egress_recorder.errors import UnreachableError
from egress_recorder.supervisor.init_sections import InitSections

pytestmark = pytest.mark.unit


class Storage:
    """Where segments go now, and what was uploaded there."""

    def __init__(self) -> None:
        self.now = "first"
        self.keys: list[tuple[str, str]] = []

    async def upload(self, key: str, path: Path) -> str:
        self.keys.append((self.now, key))
        return key


async def store(
    inits: InitSections, storage: Storage, header: Path, *, part: int = 1, number: int = 0
) -> str:
    return await inits.store(
        header,
        storage=lambda: storage.now,
        prefix="a/seg",
        part=part,
        number=number,
        upload=storage.upload,
    )


async def test_a_header_is_stored_once_per_part_and_storage(tmp_path: Path) -> None:
    inits, storage, header = InitSections(), Storage(), tmp_path / "h"
    header.write_bytes(b"one")
    assert [await store(inits, storage, header, number=number) for number in range(3)] == [
        "a/seg_init.mp4"
    ] * 3
    storage.now = "backup"
    await store(inits, storage, header, number=3)
    await store(inits, storage, header, part=2)
    assert storage.keys == [
        ("first", "a/seg_init.mp4"),
        ("backup", "a/seg_init.mp4"),
        ("backup", "a/seg_init.mp4"),
    ]


async def test_a_segment_with_another_header_gets_its_own(tmp_path: Path) -> None:
    """The finalizer's copy of what a crash cut differs from what the encoders wrote."""
    inits, storage, header = InitSections(), Storage(), tmp_path / "h"
    header.write_bytes(b"one")
    await store(inits, storage, header)
    header.write_bytes(b"other")
    assert await store(inits, storage, header, number=7) == "a/seg_init_00007.mp4"


async def test_a_full_scratch_volume_is_something_to_wait_for(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="cannot be made ready"):
        await InitSections().detach(tmp_path / "missing.m4s")
