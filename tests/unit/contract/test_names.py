"""Names are resolved once, stay inside their directory and never meet another recording's."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_recorder import contract, naming

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 22, 9, 8, 7, 654321, tzinfo=UTC)
VALUES = naming.NameValues(room_name="standup", room_id="RM_1", requested_at=AT, publisher_identity="alice")


@pytest.mark.parametrize(
    ("filepath", "expected"),
    [
        ("", "standup-2026-11-22T090807.mp4"),
        ("calls/", "calls/standup-2026-11-22T090807.mp4"),
        ("a.mp4", "a.mp4"),
        ("a.MP4", "a.mp4"),
        ("a.ogg", "a.mp4"),
        ("a.b", "a.b.mp4"),
        ("{room_name}/{publisher_identity}-{utc}", "standup/alice-20261122090807654.mp4"),
        ("{room_id}", "RM_1.mp4"),
        ("../../etc/passwd", "etc/passwd.mp4"),
        ("/absolute/./x", "absolute/x.mp4"),
    ],
)
def test_a_filepath_becomes_the_name_that_livekit_would_give(filepath: str, expected: str) -> None:
    assert naming.resolve_filepath(filepath, VALUES) == expected


@pytest.mark.parametrize("filepath", ["{roomname}", "{Part}", "{}", "a{", "a}b", "{{room_name}"])
def test_an_unknown_token_or_a_lonely_brace_is_refused_with_its_name(filepath: str) -> None:
    with pytest.raises(contract.ContractError, match="filepath"):
        naming.resolve_filepath(filepath, VALUES)


def test_a_value_that_is_not_known_yet_keeps_its_token_and_is_filled_in_later() -> None:
    early = naming.resolve_filepath(
        "x/{publisher_identity}", VALUES.model_copy(update={"publisher_identity": None})
    )

    assert early == "x/{publisher_identity}.mp4"
    assert naming.tokens_of(early) == ("publisher_identity",)
    assert naming.resolve_filepath(early, VALUES) == "x/alice.mp4"


@pytest.mark.parametrize(
    ("filepath", "expected"),
    [
        ("{namespace}/{name}/{egress_id}", "team-a/standup-alice/EG_1.mp4"),
        ("{track_type}-{track_source}-{track_id}", "video-screen_share-TR_1.mp4"),
        ("{part}-of-{room_name}", "1-of-standup.mp4"),
        ("{room_name}/{retry}.mp4", "standup/0.mp4"),
    ],
)
def test_every_token_has_its_value(filepath: str, expected: str) -> None:
    values = VALUES.model_copy(
        update={
            "egress_id": "EG_1",
            "namespace": "team-a",
            "name": "standup-alice",
            "track_id": "TR_1",
            "track_type": "video",
            "track_source": "screen_share",
            "part": 1,
        }
    )

    assert naming.resolve_filepath(filepath, values) == expected


@pytest.mark.parametrize("filepath", ["{track_id}", "x/{track_source}", "{name}", "{namespace}/a"])
def test_a_token_without_a_meaning_here_is_refused_with_its_reason(filepath: str) -> None:
    with pytest.raises(
        contract.ContractError, match=r"\{(track_|name).*, (which names one track|and no Kub)"
    ):
        naming.refuse_meaningless(filepath, one_track=False, resource=False)

    naming.refuse_meaningless(filepath, one_track=True, resource=True)


def test_a_part_number_in_the_name_takes_the_place_of_the_suffix() -> None:
    name = naming.resolve_filepath("a/{room_name}-{part}", VALUES)

    assert [naming.part_filename(name, part) for part in (1, 2)] == ["a/standup-1.mp4", "a/standup-2.mp4"]
    assert naming.part_filename("{retry}/a.mp4", 3) == "2/a.mp4"
    assert naming.part_filename("a.mp4", 2) == "a-p2.mp4"


def test_a_value_that_looks_like_a_token_stays_a_value() -> None:
    odd = VALUES.model_copy(update={"room_name": "{time}"})

    once = naming.resolve_filepath("{room_name}", odd)

    assert once == naming.resolve_filepath(once, odd) == "_time_.mp4"


@pytest.mark.parametrize("filepath", ["{room_name}/a", "a-{room_name}", "{room_name}-{part}", "{room_name}"])
def test_a_name_that_no_file_system_takes_is_cut_and_keeps_its_end(filepath: str) -> None:
    name = naming.resolve_filepath(filepath, VALUES.model_copy(update={"room_name": "ä" * 256}))

    assert max(len(part.encode()) for part in name.split("/")) <= naming.LONGEST_COMPONENT
    assert name.endswith(".mp4")
    assert ("{part}" in name, "/a" in name) == ("{part}" in filepath, "/a" in filepath)
    assert naming.resolve_filepath(name, VALUES) == name


def test_a_name_that_no_storage_takes_is_refused() -> None:
    with pytest.raises(contract.ContractError, match=r"bytes: storages take 800"):
        naming.resolve_filepath("/".join(["ä" * 90] * 5), VALUES)


@given(st.text(max_size=80), st.text(min_size=1, max_size=40))
def test_no_value_climbs_out_of_its_directory(room: str, identity: str) -> None:
    values = VALUES.model_copy(update={"room_name": room, "publisher_identity": identity})

    name = naming.resolve_filepath("safe/{room_name}/{publisher_identity}", values)

    parts = name.split("/")
    assert parts[0] == "safe"
    assert len(parts) == 3
    assert not {"", ".", ".."} & set(parts)
    assert not any(ord(character) < 32 for character in name)


_plain = st.text(st.characters(exclude_characters="{}", exclude_categories=("Cs",)), max_size=60)


@given(_plain)
def test_resolving_twice_changes_nothing(filepath: str) -> None:
    once = naming.resolve_filepath(filepath, VALUES)

    assert naming.resolve_filepath(once, VALUES) == once


@given(_plain, st.integers(1, 99), st.integers(1, 99))
def test_different_parts_have_different_names_in_the_same_directory(filepath: str, a: int, b: int) -> None:
    name = naming.resolve_filepath(filepath, VALUES)

    first, second = naming.part_filename(name, a), naming.part_filename(name, b)
    assert (first == second) == (a == b)
    assert first.rpartition("/")[0] == name.rpartition("/")[0]
    assert first.endswith(".mp4")


def test_the_manifest_lies_beside_the_file_or_above_a_directory_not_known_yet() -> None:
    assert naming.manifest_filename("a/b/c.mp4", "EG_1") == "a/b/EG_1.json"
    assert naming.manifest_filename("c.mp4", "EG_1") == "EG_1.json"
    assert naming.manifest_filename("a/{publisher_identity}/c.mp4", "EG_1") == "a/EG_1.json"
    assert naming.manifest_filename("a/{publisher_identity}.mp4", "EG_1") == "a/EG_1.json"


def test_a_unique_name_carries_the_egress_id() -> None:
    assert naming.unique_filename("a/b.mp4", "EG_1") == "a/b-EG_1.mp4"
