"""How playlists and segments are called: LiveKit's table (reference livekit-egress.md, 3.4), tokens, parts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from egress_recorder.naming import NameValues, part_prefix, resolve_prefix
from egress_recorder.segmentation import relative_to, segment_key, segment_names, unfit_durations

pytestmark = pytest.mark.unit
ROWS = [
    ("", "playlist", "", "playlist.m3u8", "", "playlist"),
    (
        "",
        "conf_test/playlist",
        "conf_test/live_playlist",
        "conf_test/playlist.m3u8",
        "conf_test/live_playlist.m3u8",
        "conf_test/playlist",
    ),
    ("filename", "", "live_playlist2.m3u8", "filename.m3u8", "live_playlist2.m3u8", "filename"),
    ("filename", "playlist", "", "playlist.m3u8", "", "filename"),
    ("filename", "conf_test/", "", "conf_test/filename.m3u8", "", "conf_test/filename"),
    ("filename", "conf_test/playlist", "", "conf_test/playlist.m3u8", "", "conf_test/filename"),
    ("conf_test/", "playlist", "", "conf_test/playlist.m3u8", "", "conf_test/playlist"),
    ("conf_test/filename", "playlist", "", "conf_test/playlist.m3u8", "", "conf_test/filename"),
    ("conf_test/filename", "conf_test/playlist", "", "conf_test/playlist.m3u8", "", "conf_test/filename"),
    (
        "conf_test_2/filename",
        "conf_test/playlist",
        "",
        "conf_test/playlist.m3u8",
        "",
        "conf_test/conf_test_2/filename",
    ),
]


@pytest.mark.parametrize(("prefix", "playlist", "live", "main", "newest", "segments"), ROWS)
def test_the_ten_rows_of_livekits_table(
    prefix: str, playlist: str, live: str, main: str, newest: str, segments: str
) -> None:
    names = segment_names(prefix, playlist, live)
    assert (names.playlist, names.live, names.prefix) == (main, newest, segments)


def test_without_any_name_the_room_and_the_time_are_it() -> None:
    assert segment_names("", "", "").playlist == "{room_name}-{time}.m3u8"


def test_an_absolute_path_and_one_that_climbs_stay_below_the_destination() -> None:
    names = segment_names("/out/room/seg", "../pl.m3u8", "live.m3u8")
    assert (names.playlist, names.prefix, names.live) == (
        "out/room/pl.m3u8",
        "out/room/seg",
        "out/room/live.m3u8",
    )


def test_a_live_playlist_elsewhere_or_of_the_same_name_is_refused() -> None:
    with pytest.raises(ValueError, match="must be in the directory of playlistName"):
        segment_names("", "a/all", "b/live")
    with pytest.raises(ValueError, match="cannot be the same as playlistName"):
        segment_names("", "all.m3u8", "all")
    with pytest.raises(ValueError, match="cannot be the same as playlistName"):
        segment_names("all", "", "all")


def test_index_and_timestamp_are_livekits() -> None:
    at = datetime(2026, 11, 22, 16, 19, 14, 92_999, tzinfo=UTC)
    assert segment_key("a/seg", suffix="INDEX", container="TS", number=7, at=at) == "a/seg_00007.ts"
    assert segment_key("a/seg", suffix="TIMESTAMP", container="TS", number=7, at=at) == (
        "a/seg_20261122161914092.ts"
    )


def test_a_playlist_calls_its_segments_from_its_own_directory() -> None:
    assert relative_to("a/all.m3u8", "a/b/seg_00000.ts") == "b/seg_00000.ts"
    assert relative_to("all.m3u8", "seg_00000.ts") == "seg_00000.ts"


def test_a_later_part_has_segments_of_its_own() -> None:
    assert [part_prefix("a/seg", part) for part in (1, 2)] == ["a/seg", "a/seg-p2"]
    assert part_prefix("a/{part}/seg", 2) == "a/2/seg"


def test_a_dot_in_a_rooms_name_cuts_nothing() -> None:
    values = NameValues(room_name="v1.2 demo", requested_at=datetime(2026, 11, 22, tzinfo=UTC))
    names = segment_names("{room_name}", "", "")
    assert resolve_prefix(names.prefix, values) == "v1.2 demo"


@pytest.mark.parametrize(("durations", "fit"), [((4,), True), ((2, 6, 4), True), ((4, 6), False), ((), True)])
def test_several_durations_are_multiples_of_the_smallest(durations: tuple[int, ...], fit: bool) -> None:
    assert (unfit_durations(durations) == "") is fit
