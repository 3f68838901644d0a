"""Which publications are recorded."""

from __future__ import annotations

import pytest

from egress_recorder.contract import ParticipantSource, TrackCompositeSource
from egress_recorder.errors import RequestDataError
from egress_recorder.sources.selection import Publication, TrackSelection, selection_for

pytestmark = pytest.mark.unit

CAMERA = Publication("TR_cam", "video", "CAMERA", "alice")
MICROPHONE = Publication("TR_mic", "audio", "MICROPHONE", "alice")
SECOND_MICROPHONE = Publication("TR_mic2", "audio", "MICROPHONE", "alice")
SCREEN = Publication("TR_scr", "video", "SCREEN_SHARE", "alice")
SCREEN_SOUND = Publication("TR_snd", "audio", "SCREEN_SHARE_AUDIO", "alice")
UNKNOWN = Publication("TR_unk", "video", "UNKNOWN", "alice")
BOB = Publication("TR_bob", "video", "CAMERA", "bob")
ROOM = (CAMERA, MICROPHONE, SECOND_MICROPHONE, SCREEN, SCREEN_SOUND, UNKNOWN, BOB)


@pytest.mark.parametrize(
    ("screen_share", "expected"),
    [
        (False, [CAMERA, MICROPHONE, SECOND_MICROPHONE]),
        (True, [SCREEN, SCREEN_SOUND, UNKNOWN]),
    ],
)
def test_a_participant_gives_its_camera_and_microphones_or_everything_else(
    screen_share: bool, expected: list[Publication]
) -> None:
    selection = selection_for(ParticipantSource(identity="alice", screen_share=screen_share))
    assert selection.choose(ROOM, 0.0) == expected
    assert selection.kinds == {"audio", "video"}
    assert selection.complete([])
    assert selection.missing([]) == "participant alice"


def test_without_pictures_a_participant_gives_its_microphones_only() -> None:
    selection = selection_for(ParticipantSource(identity="alice"), pictures=False)
    assert selection.choose(ROOM, 0.0) == [MICROPHONE, SECOND_MICROPHONE]
    assert selection.kinds == {"audio"}


def test_tracks_are_found_wherever_they_are_published() -> None:
    selection = selection_for(TrackCompositeSource(audio_track_id="TR_mic", video_track_id="TR_bob"))
    assert set(selection.choose(ROOM, 0.0)) == {MICROPHONE, BOB}
    assert selection.complete([MICROPHONE, BOB])
    assert not selection.complete([MICROPHONE])
    assert selection.missing([MICROPHONE]) == "track TR_bob"


@pytest.mark.parametrize(
    ("audio", "video", "text"),
    [
        ("TR_cam", "", "audioTrackId TR_cam names a video track: put it into videoTrackId"),
        ("", "TR_mic", "videoTrackId TR_mic names an audio track: put it into audioTrackId"),
    ],
)
def test_a_track_of_the_wrong_kind_is_refused_with_the_way_out(audio: str, video: str, text: str) -> None:
    with pytest.raises(RequestDataError, match=text):
        TrackSelection(audio, video).choose(ROOM, 0.0)


def test_new_sids_of_a_reconnected_publisher_are_followed() -> None:
    selection = TrackSelection("TR_mic", "TR_cam")
    assert set(selection.choose(ROOM, 0.0)) == {CAMERA, MICROPHONE}
    camera = Publication("TR_cam9", "video", "CAMERA", "alice", "PA_new")
    microphone = Publication("TR_mic9", "audio", "MICROPHONE", "alice", "PA_new")
    # The new ones are offered before the old ones go.
    assert set(selection.choose([*ROOM, camera, microphone], 10.0)) == {CAMERA, MICROPHONE}
    assert set(selection.choose([camera, microphone, BOB], 20.0)) == {camera, microphone}
    assert selection.choose([BOB], 21.0) == []


def test_a_track_published_after_the_requested_one_ended_is_followed() -> None:
    selection = TrackSelection("TR_mic", "")
    assert selection.choose(ROOM, 0.0) == [MICROPHONE]
    assert selection.choose([SECOND_MICROPHONE], 10.0) == []
    again = Publication("TR_mic3", "audio", "MICROPHONE", "alice")
    assert selection.choose([SECOND_MICROPHONE, again], 11.0) == [again]


def test_a_replacement_that_is_told_before_the_end_of_the_old_track_is_followed() -> None:
    selection = TrackSelection("TR_mic", "")
    assert selection.choose([MICROPHONE], 0.0) == [MICROPHONE]
    again = Publication("TR_mic3", "audio", "MICROPHONE", "alice")
    assert selection.choose([MICROPHONE, again], 10.0) == [MICROPHONE]
    assert selection.choose([again], 11.0) == [again]


def test_another_microphone_that_was_there_all_the_time_is_no_successor() -> None:
    selection = TrackSelection("TR_mic2", "")
    assert selection.choose(ROOM, 0.0) == [SECOND_MICROPHONE]
    assert selection.choose([MICROPHONE], 10.0) == []


def test_a_track_that_was_never_seen_is_not_followed() -> None:
    selection = TrackSelection("TR_nowhere", "")
    assert selection.choose(ROOM, 0.0) == []
    assert selection.missing([]) == "track TR_nowhere"
