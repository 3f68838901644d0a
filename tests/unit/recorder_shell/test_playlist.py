"""The text of HLS playlists, and that what was written is read again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from egress_recorder.playlist import Entry, entries_of, live_playlist, main_playlist, owner

pytestmark = pytest.mark.unit
START = datetime(2026, 11, 22, 16, 19, 14, 92_000, tzinfo=UTC)


def entries(*durations: float) -> list[Entry]:
    made, at = [], START
    for number, duration in enumerate(durations):
        made.append(Entry(uri=f"seg_{number:05d}.ts", duration=duration, at=at))
        at += timedelta(seconds=duration)
    return made


def test_the_main_playlist_is_livekits_and_says_whose_it_is() -> None:
    assert main_playlist(entries(6, 1.1667), target=6, egress_id="EG_a", ended=True).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:4",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-ALLOW-CACHE:NO",
        "#EXT-X-TARGETDURATION:6",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "## livekit-egress-operator EG_a",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T16:19:14.092Z",
        "#EXTINF:6.000,",
        "seg_00000.ts",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T16:19:20.092Z",
        "#EXTINF:1.167,",
        "seg_00001.ts",
        "#EXT-X-ENDLIST",
    ]


def test_the_live_playlist_has_the_newest_five_and_counts_what_left_it() -> None:
    made = entries(*[2.0] * 7)
    made[1] = replace(made[1], discontinuity=True)
    text = live_playlist(made, target=2, egress_id="EG_a")
    assert "#EXT-X-MEDIA-SEQUENCE:2\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n" in text
    assert [line for line in text.splitlines() if line.endswith(".ts")] == [one.uri for one in made[2:]]
    assert "EVENT" not in text
    assert "ENDLIST" not in text


@pytest.mark.parametrize(("duration", "target"), [(2.4, 2), (2.5, 3), (4.0, 4)])
def test_no_segment_rounds_to_more_than_the_target_duration(duration: float, target: int) -> None:
    text = main_playlist(entries(2, duration), target=2, egress_id="EG_a")
    assert f"#EXT-X-TARGETDURATION:{target}\n" in text


def test_what_was_written_is_read_again_also_with_discontinuities() -> None:
    made = entries(2, 1.5, 2)
    made[2] = replace(made[2], uri="b/other.ts", discontinuity=True)
    text = main_playlist(made, target=2, egress_id="EG_a", ended=True)
    assert entries_of(text) == made
    assert owner(text) == "EG_a"


def test_what_initialises_segments_is_named_where_it_changes_and_read_again() -> None:
    made = entries(*[2.0] * 8)
    made = [replace(one, init="seg_init.mp4" if at < 4 else "seg-p2_init.mp4") for at, one in enumerate(made)]
    text = main_playlist(made, target=2, egress_id="EG_a")
    assert [line for line in text.splitlines() if "VERSION" in line or "MAP" in line] == [
        "#EXT-X-VERSION:6",
        '#EXT-X-MAP:URI="seg_init.mp4"',
        '#EXT-X-MAP:URI="seg-p2_init.mp4"',
    ]
    assert entries_of(text) == made
    live = live_playlist(made, target=2, egress_id="EG_a")
    assert live.index("seg_init.mp4") < live.index(made[3].uri) < live.index("seg-p2_init.mp4")


def test_a_playlist_of_somebody_else_is_nobodys() -> None:
    assert owner("#EXTM3U\n#EXTINF:2,\na.ts\n") == ""
    with pytest.raises(ValueError, match="without duration or time"):
        entries_of("#EXTM3U\n#EXTINF:2,\na.ts\n")
