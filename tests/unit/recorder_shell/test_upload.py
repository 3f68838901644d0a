"""Uploads against a storage in memory that fails as told."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from egress_recorder import upload as upload_module
from egress_recorder.errors import (
    AuthorizationError,
    ConfigurationError,
    MediaError,
    RecorderError,
    UnreachableError,
)
from egress_recorder.retry import RetryPolicy
from egress_recorder.storage import ObjectExistsError, UploadLostError
from egress_recorder.upload import Uploader
from support.memory_storage import MemoryStorage

pytestmark = pytest.mark.unit

FAST = RetryPolicy(total=5.0, refused=0.5, first_pause=0.001, longest_pause=0.002)


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(upload_module, "PART_SIZE", 4)
    path = tmp_path / "m.mp4"
    path.write_bytes(b"0123456789")
    return path


def uploader(storage: MemoryStorage, policy: RetryPolicy = FAST) -> Uploader:
    return Uploader(storage, name="out", egress_id="EG_x", policy=policy)  # type: ignore[arg-type]


async def test_a_file_goes_up_in_parts_and_their_sizes_are_told(storage: MemoryStorage, file: Path) -> None:
    sizes: list[int] = []
    uploaded = await uploader(storage).upload("a.mp4", file, on_sent=sizes.append)
    assert (uploaded.key, uploaded.location, uploaded.size) == ("a.mp4", "mem://a.mp4", 10)
    assert storage.objects == {"a.mp4": b"0123456789"}
    assert len(sizes) == storage.calls.count("put_part")
    assert sum(sizes) == 10


async def test_a_storage_that_comes_back_gets_only_what_is_missing(
    storage: MemoryStorage, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_module, "_part_size", lambda _size, _least: 4)
    storage.faults["put_part"] = [None, UnreachableError("gone"), UnreachableError("gone"), None]
    await uploader(storage).upload("a.mp4", file)
    assert storage.objects["a.mp4"] == b"0123456789"
    assert storage.calls.count("begin") == 1
    assert storage.calls.count("put_part") == 5


async def test_a_storage_that_never_answers_fails_when_the_time_is_over(
    storage: MemoryStorage, file: Path
) -> None:
    storage.faults["begin"] = [UnreachableError("gone")] * 1000
    policy = RetryPolicy(total=0.5, first_pause=0.001, longest_pause=0.01)
    with pytest.raises(UnreachableError):
        await uploader(storage, policy).upload("a.mp4", file)
    assert storage.calls.count("begin") > 3


async def test_refused_credentials_are_tried_again_for_a_rotation(storage: MemoryStorage, file: Path) -> None:
    storage.faults["begin"] = [AuthorizationError("expired"), AuthorizationError("expired")]
    faults: list[RecorderError] = []
    await uploader(storage).upload("a.mp4", file, on_fault=faults.append)
    assert len(faults) == 2
    assert "a.mp4" in storage.objects


async def test_a_configuration_error_is_final_at_once_and_leaves_no_parts(
    storage: MemoryStorage, file: Path
) -> None:
    sent: list[int] = []
    storage.faults["complete"] = [ConfigurationError("no bucket")]
    with pytest.raises(ConfigurationError):
        await uploader(storage).upload("a.mp4", file, on_sent=sent.append)
    assert storage.uploads == {}
    assert sum(sent) == 0


async def test_a_taken_name_gives_way_before_anything_is_sent(storage: MemoryStorage, file: Path) -> None:
    storage.objects["d/a.mp4"] = b"precious"
    storage.objects["d/a-EG_x.mp4"] = b"precious too"
    uploaded = await uploader(storage).upload("d/a.mp4", file)
    assert uploaded.key == "d/a-EG_x-2.mp4"
    assert storage.objects["d/a.mp4"] == b"precious"
    assert storage.calls.count("begin") == 1


async def test_a_name_that_is_taken_at_the_last_moment_gives_way_too(
    storage: MemoryStorage, file: Path
) -> None:
    storage.faults["complete"] = [ObjectExistsError("just now")]
    uploaded = await uploader(storage).upload("a.mp4", file)
    assert uploaded.key == "a-EG_x.mp4"
    assert storage.uploads == {}


async def test_a_key_that_may_only_write_needs_no_look(storage: MemoryStorage, file: Path) -> None:
    storage.faults["exists"] = [AuthorizationError("403")] * 100
    assert (await uploader(storage).upload("a.mp4", file)).key == "a.mp4"


async def test_an_upload_that_the_storage_forgot_begins_again(storage: MemoryStorage, file: Path) -> None:
    storage.faults["complete"] = [UploadLostError("lifecycle rule")]
    await uploader(storage).upload("a.mp4", file)
    assert storage.objects["a.mp4"] == b"0123456789"
    assert storage.calls.count("begin") == 2


async def test_a_file_that_vanished_is_a_media_error(storage: MemoryStorage, tmp_path: Path) -> None:
    with pytest.raises(MediaError):
        await uploader(storage).upload("a.mp4", tmp_path / "none.mp4")


async def test_a_cancelled_upload_leaves_no_parts(storage: MemoryStorage, file: Path) -> None:
    storage.faults["complete"] = [UnreachableError("gone")] * 1000
    policy = RetryPolicy(total=100, first_pause=0.01, longest_pause=0.01)
    failed = asyncio.Event()
    task = asyncio.create_task(
        uploader(storage, policy).upload("a.mp4", file, on_fault=lambda _: failed.set())
    )
    await failed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert storage.uploads == {}


def test_the_part_size_keeps_within_the_number_of_parts() -> None:
    size = 200 * 10**9
    part = upload_module._part_size(size, 5 << 20)
    assert -(-size // part) <= upload_module.MAX_PARTS
    assert upload_module._part_size(10, 5 << 20) == 8 << 20


async def test_a_foreign_object_is_replaced_only_where_that_is_asked_for(
    storage: MemoryStorage, file: Path
) -> None:
    storage.objects["a.mp4"] = b"foreign"

    kept = await uploader(storage).upload("a.mp4", file)
    assert (kept.key, storage.objects["a.mp4"]) == ("a-EG_x.mp4", b"foreign")

    replacing = Uploader(storage, name="out", egress_id="EG_x", policy=FAST, overwrite=True)  # type: ignore[arg-type]
    replaced = await replacing.upload("a.mp4", file)
    assert (replaced.key, storage.objects["a.mp4"]) == ("a.mp4", b"0123456789")


class Signing(MemoryStorage):
    def presigned(self, key: str, seconds: float) -> str:
        self._step("presigned")
        return f"mem://{key}?signature=s&expires={seconds:g}"


async def test_a_location_is_signed_only_where_that_is_asked_for(file: Path) -> None:
    storage = Signing()

    plain = await uploader(storage).upload("a.mp4", file)
    signing = Uploader(storage, name="out", egress_id="EG_x", policy=FAST, presign=60)  # type: ignore[arg-type]
    signed = await signing.upload("b.mp4", file)

    assert (plain.location, plain.presigned) == ("mem://a.mp4", "")
    assert (signed.location, signed.presigned) == ("mem://b.mp4", "mem://b.mp4?signature=s&expires=60")


async def test_a_signature_that_fails_costs_no_file(file: Path) -> None:
    storage = Signing()
    storage.faults["presigned"] = [AuthorizationError("expired")]
    signing = Uploader(storage, name="out", egress_id="EG_x", policy=FAST, presign=60)  # type: ignore[arg-type]

    assert (await signing.upload("a.mp4", file)).presigned == ""
    assert storage.objects["a.mp4"] == b"0123456789"
