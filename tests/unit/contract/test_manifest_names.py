"""The manifest's own words: LiveKit's where the meaning is the same, readable by releases before and after."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from egress_recorder.contract import ContractError, Gap, Manifest, Part, Progress
from egress_recorder.spans import PartMedia, Span, TrackSpan
from egress_recorder.vocabulary import camel_case

pytestmark = pytest.mark.unit
T0 = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)

OLD_DOCUMENT = (
    '{"contractVersion":1,"egressId":"EG_x","roomId":"RM_x","roomName":"standup","publisherIdentity":"alice",'
    '"audioTrackId":"","videoTrackId":"","phase":"Complete","startedAt":"2026-11-22T10:00:00.123456Z",'
    '"updatedAt":"2026-11-22T10:00:09Z","parts":[{"part":1,"output":0,"filename":"a.mp4","location":"s3://a.mp4",'
    '"startedAt":"2026-11-22T10:00:00.123456Z","duration":9.0,"size":5,"endReason":"Source closed"}],"gaps":[],'
    '"progress":{"duration":9.0,"bytesWritten":5,"bytesUploaded":5,"frames":270,"framesDropped":0,'
    '"framesDuplicated":0,"silenceInserted":0.0},"error":"","details":"End reason: Source closed"}'
)
"""As a recorder before LiveKit's names wrote it."""


class OldManifest(BaseModel):
    """The reader of that recorder."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, alias_generator=camel_case)

    egress_id: str
    room_id: str = ""
    room_name: str
    publisher_identity: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime
    parts: tuple[Part, ...] = ()
    gaps: tuple[Gap, ...] = ()
    progress: Progress = Progress()


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "egress_id": "EG_x",
        "room_id": "RM_x",
        "room_name": "standup",
        "publisher_identity": "alice",
        "started_at": T0,
        "ended_at": T0,
        "updated_at": T0,
        "parts": (
            Part(part=1, filename="a.mp4", location="s3://a.mp4", size=5),
            Part(part=2, filename="a-p2.mp4"),
        ),
        "media": (
            PartMedia(
                part=1,
                zero_at=T0,
                sha256="ab" * 32,
                tracks=(TrackSpan(number=1, sid="TR_a", kind="audio", muted=(Span(start=1.5),)),),
            ),
        ),
        **changes,
    }
    return Manifest(**values)


def test_livekits_fields_have_livekits_names_and_forms() -> None:
    document = json.loads(manifest().to_json())
    assert {name: document[name] for name in ("egress_id", "room_id", "room_name", "publisher_identity")} == {
        "egress_id": "EG_x",
        "room_id": "RM_x",
        "room_name": "standup",
        "publisher_identity": "alice",
    }
    assert document["started_at"] == document["ended_at"] == 1795341600123456000


def test_files_are_the_objects_that_are_there() -> None:
    (file,) = json.loads(manifest().to_json())["files"]
    assert file == {
        "filename": "a.mp4",
        "location": "s3://a.mp4",
        "part": 1,
        "output": 0,
        "size": 5,
        "sha256": "ab" * 32,
    }


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert Manifest.parse(manifest().to_json()) == manifest()


def test_a_recording_without_media_has_no_times() -> None:
    document = json.loads(manifest(started_at=None, ended_at=None).to_json())
    assert not {"started_at", "ended_at", "startedAt", "endedAt"} & set(document)


def test_a_manifest_of_an_older_recorder_is_understood() -> None:
    old = Manifest.parse(OLD_DOCUMENT)
    assert (old.egress_id, old.room_name, old.publisher_identity, old.started_at) == (
        "EG_x",
        "standup",
        "alice",
        T0,
    )
    assert old.media == ()


def test_an_older_recorder_understands_ours() -> None:
    old = OldManifest.model_validate_json(manifest().to_json())
    assert (old.egress_id, old.room_id, old.room_name, old.publisher_identity) == (
        "EG_x",
        "RM_x",
        "standup",
        "alice",
    )
    assert (old.started_at, old.ended_at, len(old.parts)) == (T0, T0, 2)


@pytest.mark.parametrize("version", [1, 2])
def test_a_manifest_of_the_next_version_with_unknown_fields_is_understood(version: int) -> None:
    document = json.loads(manifest().to_json())
    document |= {"contractVersion": version, "somethingNew": {"a": 1}}
    document["media"][0]["tracks"][0]["somethingNew"] = 7
    assert Manifest.parse(json.dumps(document)).media == manifest().media


def test_a_manifest_of_livekit_itself_is_refused_with_the_missing_field() -> None:
    with pytest.raises(ContractError, match="updatedAt"):
        Manifest.parse('{"egress_id":"EG_x","room_name":"r","started_at":1795364604722482784,"files":[]}')
