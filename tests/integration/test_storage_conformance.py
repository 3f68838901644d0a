"""What every registered storage promises (storage/base.py), against real places (support/storage_places.py)."""

from __future__ import annotations

import asyncio
import io
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack.faultproxy import FaultProxy
from egress_recorder.destinations import AFTER_THE_END
from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from egress_recorder.growing import GrowingUpload, Pace
from egress_recorder.partplan import PartSizes
from egress_recorder.retry import RetryPolicy
from egress_recorder.storage import (
    REGISTRY,
    FileSlice,
    GrowingStorage,
    ObjectExistsError,
    ObjectStore,
    Storage,
    Upload,
    UploadLostError,
    WholeStorage,
)
from egress_recorder.upload import Uploaded, Uploader
from support.storage_places import LOCAL, PART, PLACES, WHOLE, WRONG, Place, volume_place

pytestmark = pytest.mark.integration


def test_every_registered_storage_has_a_place_in_this_suite() -> None:
    assert PLACES.keys() == REGISTRY.keys()
    assert PLACES.keys() >= WHOLE | LOCAL


def _places(kinds: frozenset[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("place", sorted(kinds), indirect=True)


in_parts = _places(frozenset(REGISTRY) - WHOLE)
over_the_network = _places(frozenset(REGISTRY) - LOCAL)


@pytest.fixture(params=sorted(REGISTRY))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return PLACES[request.param](tmp_path, request)


@pytest.fixture
def anything(place: Place) -> ObjectStore:
    return place.open()


@pytest.fixture
def storage(place: Place) -> Storage:
    return parts_of(place)


def parts_of(place: Place) -> Storage:
    opened = place.open()
    assert isinstance(opened, Storage)
    return opened


@pytest.fixture
def faulty(place: Place) -> Iterator[FaultProxy]:
    with FaultProxy(place.upstream) as proxy:
        yield proxy


@pytest.fixture
def key() -> str:
    return f"{secrets.token_hex(6)}/with space+plus/äöü.mp4"


def test_an_object_that_was_put_is_there_and_can_be_read(anything: ObjectStore, key: str) -> None:
    assert not anything.exists(key)
    assert anything.read(key) is None
    anything.put(key, b"{}", content_type="application/json")
    assert anything.exists(key)
    assert anything.read(key) == b"{}"


def test_put_never_overwrites_unless_told_to(anything: ObjectStore, key: str) -> None:
    anything.put(key, b"first", content_type="text/plain")
    with pytest.raises(ObjectExistsError):
        anything.put(key, b"second", content_type="text/plain")
    assert anything.read(key) == b"first"
    anything.put(key, b"third", content_type="text/plain", overwrite=True)
    assert anything.read(key) == b"third"


@in_parts
def test_an_upload_of_several_parts_becomes_one_object(storage: Storage, key: str) -> None:
    data = os.urandom(2 * PART + 1000)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    parts = [
        storage.put_part(upload, number, io.BytesIO(data[offset : offset + PART]))
        for number, offset in enumerate(range(0, len(data), PART), start=1)
    ]
    assert storage.list_parts(upload) == tuple(parts)
    assert not storage.exists(key)
    storage.complete(upload, parts)
    assert storage.read(key) == data


@in_parts
def test_parts_may_come_in_any_order_and_again(storage: Storage, key: str) -> None:
    data = os.urandom(PART + 10)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    storage.put_part(upload, 2, io.BytesIO(data[PART:]))
    storage.put_part(upload, 1, io.BytesIO(b"\0" * PART))
    storage.put_part(upload, 1, io.BytesIO(data[:PART]))
    storage.complete(upload, storage.list_parts(upload))
    assert storage.read(key) == data


@in_parts
def test_a_slice_of_a_file_is_a_part(storage: Storage, key: str, tmp_path: Path) -> None:
    data = os.urandom(PART + 10)
    file = tmp_path / "media.mp4"
    file.write_bytes(data)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    parts = []
    for number, (offset, size) in enumerate([(0, PART), (PART, 10)], start=1):
        with FileSlice(file, offset, size) as part:
            parts.append(storage.put_part(upload, number, part))  # type: ignore[arg-type]
    storage.complete(upload, parts)
    assert storage.read(key) == data


@in_parts
def test_completing_never_overwrites(storage: Storage, key: str) -> None:
    upload = storage.begin(key, "video/mp4", part_size=PART)
    part = storage.put_part(upload, 1, io.BytesIO(b"late"))
    storage.put(key, b"precious", content_type="video/mp4")
    with pytest.raises(ObjectExistsError):
        storage.complete(upload, [part])
    assert storage.read(key) == b"precious"
    storage.abort(upload)


@in_parts
def test_completing_again_after_a_lost_answer_is_a_success(place: Place, key: str) -> None:
    storage = parts_of(place)
    upload = storage.begin(key, "video/mp4", part_size=PART)
    part = storage.put_part(upload, 1, io.BytesIO(b"data"))
    storage.complete(upload, [part])
    parts_of(place).complete(upload, [part])
    assert storage.read(key) == b"data"


@in_parts
def test_an_upload_of_a_killed_process_is_taken_up_by_its_id(place: Place, key: str) -> None:
    upload = parts_of(place).begin(key, "video/mp4", part_size=PART)
    parts_of(place).put_part(upload, 1, io.BytesIO(b"a" * PART))
    other = parts_of(place)
    resumed = other.resume(key, upload.id, part_size=PART)
    assert [part.number for part in other.list_parts(resumed)] == [1]
    other.put_part(resumed, 2, io.BytesIO(b"b"))
    other.complete(resumed, other.list_parts(resumed))
    assert other.read(key) == b"a" * PART + b"b"


@in_parts
def test_an_aborted_upload_leaves_nothing(storage: Storage, key: str) -> None:
    upload = storage.begin(key, "video/mp4", part_size=PART)
    storage.put_part(upload, 1, io.BytesIO(b"data"))
    storage.abort(upload)
    storage.abort(upload)
    assert not storage.exists(key)
    with pytest.raises(UploadLostError):
        storage.resume(key, upload.id, part_size=PART)
    with pytest.raises(UploadLostError):
        storage.put_part(upload, 1, io.BytesIO(b"data"))


def test_a_name_that_climbs_out_is_refused(anything: ObjectStore) -> None:
    for climbing in ("../a.mp4", "/etc/passwd", "a//b", ""):
        with pytest.raises(ConfigurationError, match=r"fileOutputs\[0\]"):
            anything.put(climbing, b"", content_type="text/plain")


def test_a_location_names_the_object(place: Place, key: str) -> None:
    location = place.open().location("a/b.mp4")
    assert location.endswith("/a/b.mp4")
    assert "://" in location


# ---- a file that grows ----------------------------------------------------------------------------------------

growing = _places(frozenset(REGISTRY) - WHOLE - LOCAL)
SIZES = PartSizes(PART, doubling=1)
"""Parts of 5, 10, 20 MiB … so that one file has several sizes."""


def test_progress_says_which_destinations_get_a_file_after_its_end(place: Place) -> None:
    assert isinstance(place.open(), GrowingStorage) != (place.destination.kind in AFTER_THE_END)


@growing
def test_a_file_goes_while_it_grows_and_its_end_replaces_the_head(
    place: Place, key: str, tmp_path: Path
) -> None:
    path = tmp_path / "media.mp4"
    early, more, end = os.urandom(100_000), os.urandom(4 * PART), os.urandom(1000)
    path.write_bytes(early)

    async def record() -> str:
        policy = RetryPolicy(total=20, refused=0, first_pause=0.02, longest_pause=0.3)
        uploader = Uploader(place.open(), name="fileOutputs[0]", egress_id="EG_abc", policy=policy)
        upload = GrowingUpload(
            uploader,
            path,
            rewritten=64,
            key=lambda: key,
            on_sent=lambda _: None,
            pace=Pace(sizes=SIZES, look=0.05),
        )
        await _stored(place, key, [100_000])
        with path.open("ab") as file:
            file.write(more)
        await _stored(place, key, [PART, 2 * PART])
        assert not place.open().exists(key)
        begun = await upload.handed_over(path)
        with path.open("r+b") as file:
            file.write(b"H" * 64)
            file.seek(0, io.SEEK_END)
            file.write(end)
        return (await uploader.upload(key, path, begun=begun)).key

    assert asyncio.run(record()) == key
    assert place.open().read(key) == path.read_bytes() == b"H" * 64 + early[64:] + more + end
    assert growing_of(place).begun(key, "video/mp4") == ()


async def _stored(place: Place, key: str, sizes: list[int]) -> None:
    """Wait until the only upload of the key has full parts of these sizes, as another process sees it."""
    storage = growing_of(place)

    def found() -> list[int]:
        ids = storage.begun(key, "video/mp4")
        upload = [Upload(key=key, id=one, part_size=PART) for one in ids]
        return [part.size for one in upload for part in storage.list_parts(one)][: len(sizes)]

    async with asyncio.timeout(30):
        while await asyncio.to_thread(found) != sizes:  # noqa: ASYNC110 - a server is asked
            await asyncio.sleep(0.05)


def growing_of(place: Place) -> GrowingStorage:
    opened = place.open()
    assert isinstance(opened, GrowingStorage)
    return opened


@growing
def test_the_orphan_of_a_lost_recorder_is_found_by_its_key_and_completed(place: Place, key: str) -> None:
    data = os.urandom(PART + 1000)
    lost = growing_of(place)
    upload = lost.begin(key, "video/mp4", part_size=PART)
    lost.put_part(upload, 1, io.BytesIO(data[:PART]))
    lost.put_part(upload, 2, io.BytesIO(data[PART : PART + 10]))
    lost.put_part(upload, 2, io.BytesIO(data[PART:]))
    lost.put_part(lost.begin(f"{key}.other", "video/mp4", part_size=PART), 1, io.BytesIO(b"other"))
    finder = growing_of(place)

    (found,) = finder.begun(key, "video/mp4")

    orphan = finder.resume(key, found, part_size=PART)
    finder.complete(orphan, finder.list_parts(orphan))
    assert finder.read(key) == data
    assert finder.begun(key, "video/mp4") == ()


# ---- the whole way of a file, and what may happen on it -------------------------------------------------------


def send(
    place: Place, key: str, file: Path, *, on_fault: Callable[[RecorderError], None] = lambda _: None
) -> Uploaded:
    """Upload as the recorder does, with short pauses."""
    policy = RetryPolicy(total=20, refused=0, first_pause=0.02, longest_pause=0.3)
    uploader = Uploader(place.open(), name="fileOutputs[0]", egress_id="EG_abc", policy=policy)
    return asyncio.run(uploader.upload(key, file, on_fault=on_fault))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two parts of an upload."""
    made = tmp_path / "media.mp4"
    made.write_bytes(os.urandom(9 * 1024 * 1024))
    return made


def test_a_file_arrives_whole_and_its_location_names_it(place: Place, key: str, file: Path) -> None:
    uploaded = send(place, key, file)
    assert uploaded.key == key
    assert uploaded.size == file.stat().st_size
    assert place.open().read(key) == file.read_bytes()


def test_a_file_whose_name_is_taken_gets_another_name(place: Place, file: Path) -> None:
    key = f"{secrets.token_hex(6)}/a.mp4"
    place.open().put(key, b"precious", content_type="video/mp4")
    uploaded = send(place, key, file)
    assert uploaded.key == key.replace("a.mp4", "a-EG_abc.mp4")
    assert place.open().read(key) == b"precious"
    assert place.open().read(uploaded.key) == file.read_bytes()


def test_a_file_replaces_another_one_only_where_that_is_asked_for(place: Place, file: Path) -> None:
    key = f"{secrets.token_hex(6)}/a.mp4"
    place.open().put(key, b"old", content_type="video/mp4")
    policy = RetryPolicy(total=20, refused=0, first_pause=0.02, longest_pause=0.3)
    uploader = Uploader(
        place.open(), name="fileOutputs[0]", egress_id="EG_abc", policy=policy, overwrite=True
    )

    uploaded = asyncio.run(uploader.upload(key, file))

    assert uploaded.key == key
    assert place.open().read(key) == file.read_bytes()


@over_the_network
@pytest.mark.parametrize("retry_after", [None, "0", "1"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(
    place: Place, key: str, file: Path, faulty: FaultProxy, status: int, retry_after: str | None
) -> None:
    faulty.refusals = [status] * 8
    faulty.retry_after = retry_after
    assert send(place.via(faulty.url), key, file).key == key
    assert place.open().read(key) == file.read_bytes()
    assert not faulty.refusals


@over_the_network
def test_a_server_without_room_is_tried_again_until_it_has_some(
    place: Place, key: str, file: Path, faulty: FaultProxy
) -> None:
    faulty.refusals = [507] * 12
    faults: list[RecorderError] = []
    assert send(place.via(faulty.url), key, file, on_fault=faults.append).key == key
    assert place.open().read(key) == file.read_bytes()
    assert faults
    assert all(isinstance(fault, UnreachableError) for fault in faults)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """A file system of its own below the volumes; called with its size in MiB."""
    disk = tmp_path / "volumes" / "claim"
    disk.mkdir(parents=True, exist_ok=True)

    def resize(mebibytes: int) -> None:
        options = f"{'remount,' if os.path.ismount(disk) else ''}size={mebibytes}m"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode and not os.path.ismount(disk):
            pytest.skip(f"file systems cannot be mounted here: {done.stderr.strip()}")
        done.check_returncode()

    yield resize
    if os.path.ismount(disk):
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_waited_for_and_leaves_no_half_file(
    tmp_path: Path, key: str, file: Path, small_disk: Callable[[int], None]
) -> None:
    small_disk(4)
    place = volume_place(tmp_path)
    faults: list[RecorderError] = []

    def notice(fault: RecorderError) -> None:
        if not faults:
            small_disk(32)
        faults.append(fault)

    uploaded = send(place, key, file, on_fault=notice)

    assert uploaded.key == key
    assert place.open().read(key) == file.read_bytes()
    assert faults
    assert all(isinstance(fault, UnreachableError) and "is full" in str(fault) for fault in faults)


def test_a_disk_that_stays_full_shows_nothing_of_the_file(
    tmp_path: Path, key: str, file: Path, small_disk: Callable[[int], None]
) -> None:
    small_disk(4)
    place = volume_place(tmp_path)
    policy = RetryPolicy(total=0.2, first_pause=0.02, longest_pause=0.1)
    uploader = Uploader(place.open(), name="out", egress_id="EG_abc", policy=policy)

    with pytest.raises(UnreachableError, match=r"fileOutputs\[0\]\.pvc: the volume 'recordings' is full"):
        asyncio.run(uploader.upload(key, file))

    assert [path for path in (tmp_path / "volumes").rglob("*") if path.is_file()] == []


@over_the_network
def test_a_server_that_is_never_free_is_given_up_with_a_sentence(
    place: Place, key: str, file: Path, faulty: FaultProxy
) -> None:
    faulty.refusals = [503] * 100_000
    policy = RetryPolicy(total=0.5, first_pause=0.02, longest_pause=0.1)
    uploader = Uploader(place.via(faulty.url).open(), name="out", egress_id="EG_abc", policy=policy)
    kind = place.destination.kind
    with pytest.raises(
        UnreachableError, match=rf"fileOutputs\[0\]\.{kind}: the server cannot serve the request"
    ):
        asyncio.run(uploader.upload(key, file))
    faulty.refusals.clear()
    assert not place.open().exists(key)


@over_the_network
def test_a_connection_that_breaks_within_a_part_costs_only_that_part(
    place: Place, key: str, file: Path, faulty: FaultProxy
) -> None:
    faulty.cuts = 2
    assert send(place.via(faulty.url), key, file).key == key
    assert place.open().read(key) == file.read_bytes()


@over_the_network
def test_a_slow_network_is_only_slow(place: Place, key: str, tmp_path: Path, faulty: FaultProxy) -> None:
    file = tmp_path / "small.mp4"
    file.write_bytes(os.urandom(512 * 1024))
    faulty.bytes_per_second = 1024 * 1024
    faults: list[RecorderError] = []
    assert send(place.via(faulty.url), key, file, on_fault=faults.append).key == key
    assert place.open().read(key) == file.read_bytes()
    assert not faults


@over_the_network
def test_a_server_that_was_killed_is_waited_for(
    place: Place, key: str, file: Path, faulty: FaultProxy
) -> None:
    faulty.stop()
    faults: list[RecorderError] = []

    def notice(fault: RecorderError) -> None:
        # It comes back only now: a time would depend on how fast the machine makes the storage's own attempts.
        if not faults:
            faulty.start()
        faults.append(fault)

    assert send(place.via(faulty.url), key, file, on_fault=notice).key == key
    assert faults
    assert all(isinstance(fault, UnreachableError) for fault in faults)
    assert "does not answer" in str(faults[0])
    assert place.open().read(key) == file.read_bytes()


@over_the_network
def test_wrong_credentials_end_it_with_a_sentence_that_names_the_field_and_holds_no_secret(
    place: Place, key: str, file: Path
) -> None:
    place.spoil_secret()
    kind = place.destination.kind
    attempts = [
        lambda: place.open().put(key, b"{}", content_type="application/json", overwrite=True),
        lambda: place.open().put(key, b"{}", content_type="application/json"),
        lambda: send(place, key, file),
    ]
    for attempt in attempts:
        with pytest.raises(AuthorizationError, match=rf"fileOutputs\[0\]\.{kind}") as caught:
            attempt()
        for hidden in (WRONG, *place.secrets.values()):
            assert hidden not in str(caught.value)


@over_the_network
def test_rotated_credentials_are_taken_up_by_the_same_instance(place: Place, key: str) -> None:
    place.spoil_secret()
    storage = place.open()
    with pytest.raises(AuthorizationError):
        storage.put(key, b"{}", content_type="application/json")
    place.write_secret(place.secret_file, place.secrets[place.secret_file])
    storage.put(key, b"{}", content_type="application/json")
    assert storage.read(key) == b"{}"


@over_the_network
def test_a_secret_without_its_key_is_refused_with_the_keys_name(place: Place) -> None:
    assert place.context.credentials_root
    (place.context.credentials_root / "keys" / place.secret_file).unlink()
    with pytest.raises(AuthorizationError, match=place.secret_file):
        place.open().put("a.json", b"{}", content_type="application/json")


def test_a_storage_is_one_of_the_two_forms(place: Place) -> None:
    opened = place.open()
    assert isinstance(opened, Storage) != isinstance(opened, WholeStorage)


def test_all_faults_are_recorder_errors() -> None:
    assert issubclass(ObjectExistsError, RecorderError)
    assert issubclass(UploadLostError, RecorderError)
