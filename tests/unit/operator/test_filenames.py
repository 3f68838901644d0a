"""What the operator decides of names before a recorder starts, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import facts, filenames, names
from egress_operator.filenames import part_names
from egress_operator.model import CreateJob
from egress_operator.plan import plan
from support.operator_builders import EGRESS_ID, NOW, PRESENT, observed, recording

pytestmark = pytest.mark.unit

TC = names.TRACK_COMPOSITE_KIND
PVC = {"pvc": {"claimName": "c"}}


def paths(kind: str = names.PARTICIPANT_KIND, *filepaths: str, **spec: Any) -> list[str]:
    one = recording(kind, fileOutputs=[{"filepath": path, **PVC} for path in filepaths], **spec)
    document = facts.gather(observed(of=one, room=PRESENT))
    filenames.resolve_names(one, document)
    return list(document["resolved"]["filepaths"])


def failed(**spec: Any) -> str:
    made = plan(observed(of=recording(**spec), room=PRESENT), now=NOW)
    assert made.status
    assert made.status["phase"] == "Failed"
    assert not any(isinstance(action, CreateJob) for action in made.before)
    return str(made.status["error"])


def test_the_resources_own_tokens_are_filled_in_and_what_only_the_recorder_knows_waits() -> None:
    made = paths(
        names.PARTICIPANT_KIND, "{namespace}/{name}-{egress_id}-{part}", "{publisher_identity}/{retry}"
    )

    assert made == [f"calls/alice-{EGRESS_ID}-{{part}}.mp4", "alice/{retry}.mp4"]


def test_a_composite_of_one_track_names_it() -> None:
    assert paths(TC, "{track_type}-{track_id}-{track_source}") == ["video-TR_video-{track_source}.mp4"]
    assert paths(TC, "{track_type}-{track_id}", audioTrackId="TR_a", videoTrackId=None) == ["audio-TR_a.ogg"]


def test_a_name_that_cannot_be_right_ends_the_recording_before_a_recorder_starts() -> None:
    assert "spec.fileOutputs[0]: filepath has {track_id}, which names one track" in failed(
        fileOutputs=[{"filepath": "{track_id}", **PVC}]
    )
    assert "spec.fileOutputs[1]: filepath gives a name of" in failed(
        fileOutputs=[{"filepath": "a", **PVC}, {"filepath": "/".join("ä" * 99 for _ in range(5)), **PVC}]
    )


def test_two_outputs_of_one_name_at_one_destination_are_refused() -> None:
    assert "spec.fileOutputs[1].filepath gives a.mp4, as spec.fileOutputs[0].filepath does" in failed(
        fileOutputs=[{"filepath": "a", **PVC}, {"filepath": "a.mp4", **PVC}]
    )


def test_two_outputs_of_one_name_at_two_destinations_are_a_copy() -> None:
    outputs = [{"filepath": "a", **PVC}, {"filepath": "a", "pvc": {"claimName": "d"}}]

    made = plan(observed(of=recording(fileOutputs=outputs), room=PRESENT), now=NOW)

    assert any(isinstance(action, CreateJob) for action in made.before)


@pytest.mark.parametrize(
    ("kind", "types", "spec", "expected"),
    [
        (names.PARTICIPANT_KIND, [None], {}, ["MP4"]),
        (names.PARTICIPANT_KIND, ["DEFAULT_FILETYPE", "MP3", "OGG"], {}, ["MP4", "MP3", "OGG"]),
        (names.PARTICIPANT_KIND, [None], {"advanced": {"audioCodec": "OPUS"}}, ["MP4"]),
        (TC, [None, "WAV"], {"audioTrackId": "TR_a", "videoTrackId": None}, ["OGG", "WAV"]),
        (TC, [None], {"audioTrackId": "TR_a"}, ["MP4"]),
        (
            TC,
            [None],
            {"audioTrackId": "TR_a", "videoTrackId": None, "advanced": {"audioCodec": "AAC"}},
            ["MP4"],
        ),
        (
            TC,
            ["DEFAULT_FILETYPE"],
            {"audioTrackId": "TR_a", "videoTrackId": None, "advanced": {"audioCodec": "AC_MP3"}},
            ["MP3"],
        ),
    ],
)
def test_each_output_has_the_type_that_is_said_or_the_one_that_livekit_chooses(
    kind: str, types: list[str | None], spec: dict[str, Any], expected: list[str]
) -> None:
    outputs = [
        {"filepath": f"a{n}", **({"fileType": name} if name else {}), **PVC} for n, name in enumerate(types)
    ]
    one = recording(kind, fileOutputs=outputs, **spec)
    document = facts.gather(observed(of=one, room=PRESENT))
    filenames.resolve_names(one, document)

    assert document["resolved"]["fileTypes"] == expected
    made = [path.rpartition(".")[2].upper() for path in document["resolved"]["filepaths"]]
    assert made == expected


def test_one_name_with_two_types_is_two_files() -> None:
    outputs = [{"filepath": "a", "fileType": name, **PVC} for name in ("MP4", "OGG")]

    made = plan(observed(of=recording(fileOutputs=outputs), room=PRESENT), now=NOW)

    assert any(isinstance(action, CreateJob) for action in made.before)


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        (
            [{"playlistName": "a"}, {"filenamePrefix": "a"}],
            "[1].playlistName gives a.m3u8, as spec.segmentOutputs[0].playlistName does",
        ),
        (
            [{"playlistName": name, "livePlaylistName": "live"} for name in "ab"],
            "[1].livePlaylistName gives live.m3u8, as spec.segmentOutputs[0].livePlaylistName does",
        ),
        (
            [{"playlistName": "a", "livePlaylistName": "b"}, {"playlistName": "b"}],
            "[1].playlistName gives b.m3u8, as spec.segmentOutputs[0].livePlaylistName does",
        ),
        (
            [{"playlistName": "{room_name}", "livePlaylistName": "standup"}],
            "[0].livePlaylistName gives standup.m3u8, as spec.segmentOutputs[0].playlistName does",
        ),
        (
            [{"playlistName": name, "filenamePrefix": "seg"} for name in "ab"],
            "[1].filenamePrefix gives seg, as spec.segmentOutputs[0].filenamePrefix does",
        ),
    ],
    ids=["main", "live", "live-main", "of-one-output", "prefix"],
)
def test_playlists_and_segments_have_their_names_alone_too(
    outputs: list[dict[str, Any]], sentence: str
) -> None:
    error = failed(fileOutputs=None, segmentOutputs=[{**output, **PVC} for output in outputs])

    assert f"spec.segmentOutputs{sentence} at the same destination" in error


@pytest.mark.parametrize(
    "second",
    [
        {"protocol": "HLS_FMP4_PROTOCOL", "livePlaylistName": "live-b"},
        {"livePlaylistName": "live", "pvc": {"claimName": "d"}},
    ],
    ids=["protocol", "destination"],
)
def test_segments_of_one_prefix_are_told_apart_by_protocol_or_destination(second: dict[str, Any]) -> None:
    first = {"playlistName": "a", "livePlaylistName": "live", "filenamePrefix": "seg", **PVC}
    outputs = [first, {**first, "playlistName": "b", **second}]

    made = plan(observed(of=recording(fileOutputs=None, segmentOutputs=outputs), room=PRESENT), now=NOW)

    assert any(isinstance(action, CreateJob) for action in made.before)


def test_a_live_playlist_that_is_the_main_one_is_refused_where_the_schema_cannot_know() -> None:
    assert "spec.segmentOutputs[0]: livePlaylistName cannot be the same as playlistName" in failed(
        fileOutputs=None, segmentOutputs=[{"filenamePrefix": "a", "livePlaylistName": "a.m3u8", **PVC}]
    )


def test_the_names_of_a_later_part_are_told_before_its_recorder_has_answered() -> None:
    resolved = {
        "filepaths": ["a/alice.mp4", "{part}/alice.ogg", "{track_source}.mp4"],
        "segments": [{"playlistName": "a.m3u8"}, {"playlistName": "a-{retry}.m3u8"}],
    }

    assert part_names(resolved, 2) == ["a/alice-p2.mp4", "2/alice.ogg", None, "a.m3u8", "a-1.m3u8"]
    assert part_names({}, 1) == []
