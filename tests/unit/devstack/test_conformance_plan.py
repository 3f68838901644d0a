"""What a case asks of its file follows from what it did and when; nothing is asked inside a grace window."""

from __future__ import annotations

import pytest

from devstack.conformance import plan
from devstack.conformance.actor import Effect, Stimulus, effects
from devstack.conformance.plan import Cast, Change, Grace, Log, Voice, build

pytestmark = pytest.mark.unit

GRACE = Grace(before=0.0, publish=1.0, edge=0.5, keyframe=0.5, hold=2.0, tail=0.5)
CAMERA = Stimulus("video", "video", "CAMERA", 0)
MICROPHONE = Stimulus("audio", "audio", "MICROPHONE", 0)
CAMERA2 = Stimulus("video2", "video", "CAMERA", 2)


def cast(
    key: str = "alice",
    *,
    entered: float = 100.0,
    published: tuple[str, ...] = ("video", "audio"),
    stimuli: tuple[Stimulus, ...] = (CAMERA, MICROPHONE, CAMERA2),
) -> Cast:
    return Cast(key, key.partition("#")[0], entered, 30, stimuli, frozenset(published), entered)


def log(*changes: tuple[float, str], casts: tuple[Cast, ...] = (cast(),)) -> Log:
    """Changes of alice as (time, command), carried out at once."""
    made = [Change(at, at, "alice", effect) for at, line in changes for effect in effects(line)]
    return Log({item.key: item for item in casts}, made)


def everything(identity: str, stimulus: Stimulus) -> bool:
    return True


def asked(made: plan.Plan, kind: str) -> list[tuple[float, float, set[str]]]:
    """(begin, end, labels) of the stretches of a kind."""
    return [(s.begin, s.end, {voice.label for voice in s.voices}) for s in made.stretches if s.kind == kind]


def test_all_that_is_published_is_asked_from_after_the_start_to_before_the_end() -> None:
    made = build(log(), everything, (100.0, 110.0), GRACE)

    assert asked(made, "video") == [(101.0, 109.5, {"video"})]
    assert asked(made, "audio") == [(101.0, 109.5, {"audio"})]
    assert (made.begin, made.end) == (100.0, 110.0)


def test_a_recorder_that_comes_later_owes_nothing_before() -> None:
    made = build(log(), everything, (104.0, 110.0), GRACE)

    assert asked(made, "video") == [(105.0, 109.5, {"video"})]


def test_mute_asks_for_silence_and_leaves_the_picture_alone() -> None:
    made = build(log((103.0, "mute_audio"), (106.0, "unmute_audio")), everything, (100.0, 110.0), GRACE)

    assert asked(made, "audio") == [
        (101.0, 103.0, {"audio"}),
        (103.5, 106.0, set()),
        (106.5, 109.5, {"audio"}),
    ]
    assert asked(made, "video") == [(101.0, 109.5, {"video"})]


def test_a_picture_has_longer_after_unmute_for_its_key_frame() -> None:
    made = build(log((103.0, "mute_video"), (106.0, "unmute_video")), everything, (100.0, 110.0), GRACE)

    assert asked(made, "video")[-1] == (107.0, 109.5, {"video"})


def test_a_published_track_has_the_settling_time() -> None:
    late = cast(published=("video",))
    made = build(log((104.0, "publish_audio"), casts=(late,)), everything, (100.0, 110.0), GRACE)

    assert asked(made, "audio") == [(101.0, 104.0, set()), (105.0, 109.5, {"audio"})]


def test_a_track_that_was_unpublished_while_muted_is_live_when_both_are_undone() -> None:
    steps = ((102.0, "mute_audio"), (103.0, "unpublish_audio"), (105.0, "unmute_audio"))
    made = build(log(*steps, (107.0, "publish_audio")), everything, (100.0, 112.0), GRACE)

    assert [labels for *_, labels in asked(made, "audio")] == [{"audio"}, set(), set(), set(), {"audio"}]
    assert asked(made, "audio")[-1][0] == 108.0


def test_the_newest_live_camera_is_asked_and_the_other_one_when_it_stops() -> None:
    steps = ((103.0, "publish_video2"), (106.0, "unpublish_video2"))
    made = build(log(*steps), everything, (100.0, 110.0), GRACE)

    assert asked(made, "video") == [
        (101.0, 103.0, {"video"}),
        (104.0, 106.0, {"video2"}),
        (106.5, 109.5, {"video"}),
    ]


def test_a_camera_that_was_unmuted_is_the_newest() -> None:
    both = cast(published=("video", "video2"))
    steps = ((103.0, "mute_video"), (105.0, "unmute_video"))
    made = build(log(*steps, casts=(both,)), everything, (100.0, 110.0), GRACE)

    assert [labels for *_, labels in asked(made, "video")] == [{"video2"}, {"video2"}, {"video"}]


def test_what_is_not_selected_is_neither_asked_nor_a_reason_for_grace() -> None:
    def only_video(identity: str, stimulus: Stimulus) -> bool:
        return stimulus.kind == "video"

    made = build(log((103.0, "mute_audio")), only_video, (100.0, 110.0), GRACE)

    assert asked(made, "audio") == [(101.0, 109.5, set())]


def test_microphones_of_several_participants_are_all_heard() -> None:
    bob = cast("bob", entered=103.0, stimuli=(Stimulus("audio", "audio", "MICROPHONE", 1),))
    made = build(log(casts=(cast(), bob)), everything, (100.0, 110.0), GRACE)

    heard = [s.voices for s in made.of("audio")]
    assert heard[0] == {Voice("alice", "audio", 0)}
    assert heard[-1] == {Voice("alice", "audio", 0), Voice("bob", "audio", 1)}


def test_a_participant_that_left_and_came_again_is_asked_by_its_new_clock() -> None:
    made = build(
        log((103.0, "leave"), casts=(cast(), cast("alice#2", entered=106.0))),
        everything,
        (100.0, 110.0),
        GRACE,
    )

    assert [{voice.key for voice in s.voices} for s in made.of("video")] == [{"alice"}, set(), {"alice#2"}]


def test_a_silent_source_is_not_heard() -> None:
    silent = cast(stimuli=(CAMERA, Stimulus("audio", "audio", "MICROPHONE", 0, silent=True)))
    made = build(log(casts=(silent,)), everything, (100.0, 110.0), GRACE)

    assert asked(made, "audio") == [(101.0, 109.5, set())]


def test_held_pictures_are_black_only_after_the_time_in_which_a_camera_stays() -> None:
    made = build(log((103.0, "hold_video"), (107.0, "resume_video")), everything, (100.0, 110.0), GRACE)

    assert asked(made, "video") == [
        (101.0, 103.0, {"video"}),
        (105.0, 107.0, set()),
        (108.0, 109.5, {"video"}),
    ]


def test_a_fault_is_not_judged_and_listed_with_its_reason() -> None:
    made_log = log()
    made_log.disturbances.append(plan.Window(103.0, 105.0, None, "server killed"))
    made = build(made_log, everything, (100.0, 110.0), GRACE)

    assert asked(made, "video") == [(101.0, 103.0, {"video"}), (105.0, 109.5, {"video"})]
    assert "server killed" in {window.reason for window in made.graces}


def test_the_graces_of_livekit_are_those_of_its_tests() -> None:
    publish, mute = Effect("audio", "unpublished", off=False), Effect("video", "muted", off=False)

    assert plan.LIVEKIT.after(publish, "audio") == 3.0
    assert plan.LIVEKIT.after(Effect("video", "muted", off=True), "video") == 1.0
    assert plan.LIVEKIT.after(mute, "video") == 3.0
    assert plan.LIVEKIT.after(mute, "audio") == 1.0
    assert plan.LIVEKIT.tail == 1.0


def test_an_unknown_command_asks_for_its_effect() -> None:
    with pytest.raises(ValueError, match="effect"):
        effects("reload")


def there(made: plan.Plan, kind: str) -> list[tuple[float, float, dict[str, int], dict[str, int]]]:
    """(begin, end, live, muted) of what the manifest must say of a kind, by source."""
    return [
        (
            one.begin,
            one.end,
            {group.source: count for group, count in one.live.items()},
            {group.source: count for group, count in one.muted.items()},
        )
        for one in made.attendance
        if one.kind == kind
    ]


def test_the_manifest_has_to_tell_of_every_track_that_was_published_also_of_those_not_shown() -> None:
    steps = ((103.0, "publish_video2"), (106.0, "mute_video2"), (109.0, "unpublish_video"))
    made = build(log(*steps), everything, (100.0, 112.0), GRACE)

    assert there(made, "video") == [
        (101.0, 103.0, {"CAMERA": 1}, {}),
        (104.0, 106.0, {"CAMERA": 2}, {}),
        (106.5, 109.0, {"CAMERA": 1}, {"CAMERA": 1}),
        (109.5, 111.5, {}, {"CAMERA": 1}),
    ]


def test_a_track_that_was_muted_from_the_start_on_is_in_the_manifest_once_it_is_heard() -> None:
    steps = ((100.0, "mute_audio"), (104.0, "unmute_audio"), (107.0, "mute_audio"))
    made = build(log(*steps), everything, (101.0, 110.0), GRACE)

    assert there(made, "audio") == [
        (102.0, 104.0, {}, {}),
        (104.5, 107.0, {"MICROPHONE": 1}, {}),
        (107.5, 109.5, {}, {"MICROPHONE": 1}),
    ]


def test_of_a_publisher_that_was_killed_the_server_may_believe_for_a_while_that_it_is_there() -> None:
    killed = build(log((104.0, "kill")), everything, (100.0, 110.0), GRACE).attendance
    left = build(log((104.0, "leave")), everything, (100.0, 110.0), GRACE).attendance

    for kind in ("audio", "video"):
        assert [one.stopped.total() for one in killed if one.kind == kind] == [0, 1]
    assert {one.doubtful.total() + one.stopped.total() for one in left} == {0}


def test_a_time_without_any_publisher_is_a_gap_and_one_of_doubt_is_neither() -> None:
    def shape(*steps: tuple[float, str]) -> list[tuple[float, float, bool]]:
        made = build(log(*steps), everything, (100.0, 112.0), GRACE)
        return [(one.begin, one.end, one.there) for one in made.presence]

    away = ((103.0, "unpublish_video"), (104.0, "unpublish_audio"), (107.0, "publish_audio"))

    assert shape(*away) == [
        (101.0, 103.0, True),
        (103.5, 104.0, True),
        (104.5, 107.0, False),
        (108.0, 111.5, True),
    ]
    assert shape((104.0, "leave")) == [(101.0, 104.0, True), (104.5, 111.5, False)]
    assert shape((104.0, "kill")) == [(101.0, 104.0, True), (104.5, 111.5, False)]
    assert shape((104.0, "unpublish_video"), (104.0, "mute_audio")) == [(101.0, 104.0, True)]
