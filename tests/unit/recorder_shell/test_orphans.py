"""What a lost recorder had uploaded of its growing file becomes a file: which parts, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from egress_recorder.contract import Part
from egress_recorder.errors import AuthorizationError, RecorderError
from egress_recorder.partplan import PART_SIZE
from egress_recorder.storage import ObjectExistsError, PartRecord, Upload
from egress_recorder.supervisor.orphans import Completed, complete, recovered, whole_beginning
from support.memory_storage import MemoryStorage

pytestmark = pytest.mark.unit

STARTED = datetime(2026, 11, 22, 10, tzinfo=UTC)


def parts(*sizes: int, first: int = 1) -> list[PartRecord]:
    return [
        PartRecord(number=number, size=size, etag=f"e{number}") for number, size in enumerate(sizes, first)
    ]


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        ([], 0),
        (parts(100), 1),
        (parts(PART_SIZE, PART_SIZE, 7), 3),
        (parts(PART_SIZE, 7, PART_SIZE), 2),
        (parts(PART_SIZE, PART_SIZE, first=2), 0),
        ([*parts(PART_SIZE), *parts(9, first=3)], 1),
    ],
)
def test_an_object_is_made_of_a_beginning_of_the_file_and_of_nothing_behind_a_gap(
    stored: list[PartRecord], kept: int
) -> None:
    assert whole_beginning(list(reversed(stored))) == stored[:kept]


class Orphaned(MemoryStorage):
    """Uploads of a recorder that is gone."""

    def __init__(self, *uploads: list[PartRecord]) -> None:
        super().__init__()
        self.left = {f"u{number}": stored for number, stored in enumerate(uploads)}
        self.completed: list[tuple[str, list[PartRecord]]] = []

    def begun(self, key: str, content_type: str) -> tuple[str, ...]:
        assert (key, content_type) == ("r/a.mp4", "video/mp4")
        return tuple(self.left)

    def resume(self, key: str, upload_id: str, *, part_size: int) -> Upload:
        return Upload(key=key, id=upload_id, part_size=part_size)

    def list_parts(self, upload: Upload) -> tuple[PartRecord, ...]:
        return tuple(self.left[upload.id])

    def complete(self, upload: Upload, parts: list[PartRecord], *, overwrite: bool = False) -> None:  # type: ignore[override]
        assert not overwrite
        self._step("complete")
        self.completed.append((upload.id, parts))


def test_of_several_uploads_the_one_with_most_is_completed() -> None:
    storage = Orphaned(parts(5), parts(PART_SIZE, 9), parts(PART_SIZE))
    assert complete(storage, "r/a.mp4") == Completed("mem://r/a.mp4", PART_SIZE + 9)
    assert storage.completed == [("u1", parts(PART_SIZE, 9))]


@pytest.mark.parametrize("storage", [Orphaned(), Orphaned([]), Orphaned(parts(9, first=2))])
def test_where_nothing_can_be_played_nothing_is_made(storage: Orphaned) -> None:
    assert complete(storage, "r/a.mp4") is None
    assert storage.completed == []


@pytest.mark.parametrize("fault", [ObjectExistsError("there"), AuthorizationError("no")])
def test_a_storage_that_refuses_says_so(fault: RecorderError) -> None:
    storage = Orphaned(parts(5))
    storage.faults["complete"] = [fault]
    with pytest.raises(type(fault)):
        complete(storage, "r/a.mp4")


def test_what_was_found_is_told_as_a_killed_part_with_the_length_that_its_bytes_hold() -> None:
    lost = Part(
        part=1,
        filename="r/a.mp4",
        started_at=STARTED,
        ended_at=STARTED,
        duration=40.0,
        size=4000,
        end_reason="Process killed: OOMKilled",
    )
    found = recovered(lost, Completed("s3://r/a.mp4", 3000))
    assert (found.location, found.size, found.duration) == ("s3://r/a.mp4", 3000, 30.0)
    assert (found.ended_at, found.end_reason) == (
        STARTED + timedelta(seconds=30),
        "Process killed: OOMKilled",
    )
    unknown = recovered(lost.model_copy(update={"size": 0, "started_at": None}), Completed("x", 10))
    assert (unknown.duration, unknown.ended_at) == (40.0, None)
