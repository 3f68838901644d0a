"""A file's upload while it grows, and its end: against a storage in memory that fails as told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from egress_recorder.begun import BegunUpload
from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from egress_recorder.growing import GrowingUpload, Pace
from egress_recorder.partplan import EARLY_BYTES, PartSizes
from egress_recorder.retry import RetryPolicy
from egress_recorder.storage import PartRecord, Upload, UploadLostError
from egress_recorder.upload import Uploader
from support.memory_storage import MemoryStorage

pytestmark = pytest.mark.unit

PART = EARLY_BYTES
SIZES = PartSizes(PART, doubling=3)
FAST = RetryPolicy(total=5.0, refused=0.5, first_pause=0.001, longest_pause=0.002)
HEAD = 16


class Scene:
    """A file that grows, its storage, and what was counted."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "media.mp4"
        self.path.touch()
        self.storage = MemoryStorage()
        self.uploader = Uploader(self.storage, name="out", egress_id="EG_x", policy=FAST)
        self.counted = 0
        self.key: str | None = "a.mp4"

    def count(self, size: int) -> None:
        self.counted += size

    def grow(self, size: int, byte: bytes = b"g") -> None:
        with self.path.open("ab") as file:
            file.write(byte * size)

    def close(self, tail: bytes = b"moov") -> None:
        """End the file as a muxer does: the head rewritten, a tail appended."""
        with self.path.open("r+b") as file:
            file.write(b"H" * HEAD)
        self.grow(1, tail)

    def start(self, patience: float = 5.0) -> GrowingUpload:
        return GrowingUpload(
            self.uploader,
            self.path,
            rewritten=HEAD,
            key=lambda: self.key,
            on_sent=self.count,
            pace=Pace(sizes=SIZES, look=0.005, patience=patience),
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in threads
                await asyncio.sleep(0.005)

    @property
    def parts(self) -> dict[int, bytes]:
        """What the only upload under way has."""
        return next(iter(self.storage.uploads.values()), {})

    async def finish(self, begun: BegunUpload | None, key: str = "a.mp4") -> str:
        return (await self.uploader.upload(key, self.path, on_sent=self.count, begun=begun)).key


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def test_parts_go_while_the_file_grows_and_only_tail_and_head_after_its_end(scene: Scene) -> None:
    growing = scene.start()
    scene.grow(3 * PART)
    await scene.until(lambda: len(scene.parts) == 3)
    assert scene.storage.objects == {}
    assert scene.counted == 3 * PART
    begun = await growing.handed_over(scene.path)
    scene.close()
    before = scene.storage.calls.count("put_part")

    key = await scene.finish(begun)

    assert scene.storage.objects[key] == scene.path.read_bytes()
    assert scene.storage.calls.count("put_part") - before == 2
    assert scene.storage.calls.count("begin") == 1
    assert scene.counted == scene.path.stat().st_size
    assert scene.storage.uploads == {}


async def test_what_is_there_before_the_end_is_a_beginning_of_the_file(scene: Scene) -> None:
    growing = scene.start()
    scene.grow(2 * PART + PART // 2)
    await scene.until(lambda: len(scene.parts) == 2)
    orphan = b"".join(scene.parts[number] for number in sorted(scene.parts))
    assert scene.path.read_bytes().startswith(orphan)
    await growing.handed_over(Path("other"))


async def test_the_head_goes_last_so_that_a_death_before_it_leaves_the_growing_form(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = scene.start()
    scene.grow(2 * PART)
    await scene.until(lambda: len(scene.parts) == 2)
    begun = await growing.handed_over(scene.path)
    scene.close()
    numbers: list[int] = []
    put = scene.storage.put_part

    def noting(upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        numbers.append(number)
        return put(upload, number, data)

    monkeypatch.setattr(scene.storage, "put_part", noting)
    await scene.finish(begun)
    assert numbers == [3, 1]


async def test_what_moves_elsewhere_is_removed_and_counts_no_more(scene: Scene) -> None:
    growing = scene.start()
    scene.grow(2 * PART)
    await scene.until(lambda: len(scene.parts) == 2)
    begun = await growing.handed_over(scene.path)
    scene.close()
    scene.storage.faults["put_part"] = [UnreachableError("gone for good")] * 100_000
    with pytest.raises(UnreachableError):
        await scene.uploader.impatient().upload("a.mp4", scene.path, on_sent=scene.count, begun=begun)
    assert scene.storage.uploads == {}
    assert scene.counted == 0
    assert scene.path.exists()


async def test_an_outage_is_waited_for_and_made_up_for(scene: Scene) -> None:
    scene.storage.faults["begin"] = [UnreachableError("away")] * 3
    scene.storage.faults["put_part"] = [UnreachableError("away"), AuthorizationError("rotated")] * 3
    growing = scene.start()
    for _ in range(3):
        scene.grow(PART)
        await asyncio.sleep(0.02)
    await scene.until(lambda: len(scene.parts) == 3)
    begun = await growing.handed_over(scene.path)
    scene.close()
    await scene.finish(begun)
    assert scene.storage.objects["a.mp4"] == scene.path.read_bytes()
    assert scene.counted == scene.path.stat().st_size


async def test_a_storage_that_never_answers_costs_nothing_but_the_head_start(scene: Scene) -> None:
    scene.storage.faults["begin"] = [UnreachableError("away")] * 100_000
    growing = scene.start()
    scene.grow(PART)
    await scene.until(lambda: scene.storage.calls.count("begin") > 2)
    begun = await growing.handed_over(scene.path)
    assert begun is None
    scene.storage.faults.clear()
    scene.close()
    await scene.finish(begun)
    assert scene.storage.objects["a.mp4"] == scene.path.read_bytes()


async def test_an_upload_that_the_storage_has_lost_begins_anew(scene: Scene) -> None:
    growing = scene.start()
    scene.grow(PART)
    await scene.until(lambda: len(scene.parts) == 1)
    scene.storage.uploads.clear()
    scene.grow(PART)
    await scene.until(lambda: len(scene.parts) == 2)
    begun = await growing.handed_over(scene.path)
    scene.close()
    await scene.finish(begun)
    assert scene.storage.objects["a.mp4"] == scene.path.read_bytes()
    assert scene.counted == scene.path.stat().st_size


@pytest.mark.parametrize("fault", [ConfigurationError("parts of one size only"), UploadLostError("gone")])
async def test_what_cannot_be_completed_is_given_up_and_sent_anew(scene: Scene, fault: RecorderError) -> None:
    growing = scene.start()
    scene.grow(4 * PART)
    await scene.until(lambda: len(scene.parts) == 3)
    begun = await growing.handed_over(scene.path)
    scene.close()
    scene.storage.faults["complete"] = [fault]
    await scene.finish(begun)
    assert scene.storage.objects["a.mp4"] == scene.path.read_bytes()
    assert scene.storage.calls.count("begin") == 2
    assert scene.storage.uploads == {}
    assert scene.counted == scene.path.stat().st_size


async def test_a_clean_copy_of_a_crashed_file_is_another_file(scene: Scene) -> None:
    growing = scene.start()
    scene.grow(PART)
    await scene.until(lambda: len(scene.parts) == 1)
    assert await growing.handed_over(scene.path.with_name("media.final.mp4")) is None
    assert scene.storage.uploads == {}
    assert scene.counted == 0


async def test_a_taken_name_gives_way_at_the_beginning(scene: Scene) -> None:
    scene.storage.objects["a.mp4"] = b"precious"
    growing = scene.start()
    scene.grow(PART)
    await scene.until(lambda: len(scene.parts) == 1)
    begun = await growing.handed_over(scene.path)
    assert await scene.finish(begun) == "a-EG_x.mp4"
    assert scene.storage.objects["a.mp4"] == b"precious"
    assert scene.storage.calls.count("begin") == 1


async def test_a_name_that_is_taken_meanwhile_gets_another_one_and_leaves_nothing(scene: Scene) -> None:
    growing = scene.start()
    scene.grow(PART)
    await scene.until(lambda: len(scene.parts) == 1)
    scene.storage.objects["a.mp4"] = b"precious"
    begun = await growing.handed_over(scene.path)
    assert await scene.finish(begun) == "a-EG_x.mp4"
    assert scene.storage.objects == {"a.mp4": b"precious", "a-EG_x.mp4": scene.path.read_bytes()}
    assert scene.storage.uploads == {}
    assert scene.counted == scene.path.stat().st_size


async def test_nothing_begins_before_the_name_is_known(scene: Scene) -> None:
    scene.key = None
    growing = scene.start()
    scene.grow(PART)
    await asyncio.sleep(0.05)
    assert "begin" not in scene.storage.calls
    scene.key = "b.mp4"
    await scene.until(lambda: len(scene.parts) == 1)
    begun = await growing.handed_over(scene.path)
    assert begun is not None
    assert begun.key == "b.mp4"
    assert await scene.finish(begun, "b.mp4") == "b.mp4"


async def test_a_part_that_stands_still_at_the_end_is_not_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    put = scene.storage.put_part

    def hanging(upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        released.wait(20)
        return put(upload, number, data)

    monkeypatch.setattr(scene.storage, "put_part", hanging)
    growing = scene.start(patience=0.05)
    scene.grow(PART)
    await scene.until(lambda: "begin" in scene.storage.calls)
    assert await growing.handed_over(scene.path) is None
    monkeypatch.undo()
    scene.close()
    await scene.finish(None)
    released.set()
    assert scene.storage.objects["a.mp4"] == scene.path.read_bytes()


async def test_a_part_is_read_in_pieces_and_never_held_whole(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest: list[int] = []

    def put(_upload: Upload, number: int, data: BinaryIO) -> PartRecord:
        size = 0
        buffer = bytearray(4096)
        while count := data.readinto(buffer):  # type: ignore[attr-defined]
            largest.append(count)
            size += count
        return PartRecord(number=number, size=size, etag="e")

    monkeypatch.setattr(scene.storage, "put_part", put)
    growing = scene.start()
    scene.grow(PART)
    await scene.until(lambda: scene.counted == PART)
    assert max(largest) == 4096
    await growing.handed_over(Path("other"))
