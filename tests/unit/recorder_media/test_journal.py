"""The journal: which track is in the file from when to when, and when nobody was."""

from __future__ import annotations

import pytest

from egress_recorder.media.journal import NO_MEDIA, Journal
from egress_recorder.media.openspan import MAX_ENTRIES
from egress_recorder.spans import MediaGap, SizeChange, Span, TrackSpan
from egress_recorder.vocabulary import Track

pytestmark = pytest.mark.unit
ORIGIN = 100.0
SIZE = (640, 360)


class Life:
    """A camera `v` and a microphone `a` in steps of 50 ms from `ORIGIN` on."""

    def __init__(self, *, still: bool = False) -> None:
        self.journal = Journal()
        self.now = ORIGIN
        self.still = still
        self.spans: dict[int, TrackSpan] = {}
        self.gaps: list[MediaGap] = []

    def open(self, *tracks: str) -> None:
        for track in tracks:
            kind = "video" if track.startswith("v") else "audio"
            self.journal.opened(track, kind, still=self.still and kind == "video")

    def run(self, seconds: float, *tracks: str, size: tuple[int, int] = SIZE) -> None:
        for _ in range(round(seconds * 20)):
            self.now = round(self.now + 0.05, 3)
            for track in tracks:
                if track.startswith("v"):
                    self.journal.picture(track, size, self.now)
                else:
                    self.journal.samples(track, 0.05, self.now)

    def taken(self) -> list[TrackSpan]:
        spans, gaps = self.journal.take(ORIGIN)
        self.spans.update({span.number: span for span in spans})
        self.gaps += gaps
        return [self.spans[number] for number in sorted(self.spans)]


def test_a_track_is_in_the_file_from_its_first_media_to_its_end() -> None:
    life = Life()
    life.journal.described(
        [Track(sid="a", kind="audio", source="MICROPHONE", codec="opus", identity="alice")]
    )
    life.open("a", "v")
    life.run(1, "a")
    life.run(2, "a", "v")
    life.journal.closed("v", life.now)
    life.run(1, "a")
    life.journal.finish(life.now)

    sound, picture = life.taken()
    assert (sound.sid, sound.start, sound.end) == ("a", 0.0, 4.0)
    assert (sound.source, sound.codec, sound.identity) == ("MICROPHONE", "opus", "alice")
    assert (picture.sid, picture.start, picture.end) == ("v", 1.05, 3.0)
    assert (picture.width, picture.height) == SIZE
    assert life.gaps == []


def test_a_track_that_never_delivers_is_not_listed() -> None:
    life = Life()
    life.open("a", "v")
    life.run(1, "a")
    life.journal.closed("v", life.now)
    assert [span.sid for span in life.taken()] == ["a"]


def test_only_what_changed_is_told_again() -> None:
    life = Life()
    life.open("a")
    life.run(1, "a")
    assert len(life.taken()) == 1
    life.run(1, "a")
    assert life.journal.take(ORIGIN) == ((), ())


def test_muting_is_a_span_of_its_own_and_no_stall() -> None:
    life = Life()
    life.open("a", "v")
    life.run(1, "a", "v")
    life.journal.muted("v", muted=True, at=life.now)
    life.run(2, "a")
    assert life.taken()[1].muted == (Span(start=1.0),)
    life.journal.muted("v", muted=False, at=life.now)
    life.run(1, "a", "v")
    picture = life.taken()[1]
    assert picture.muted == (Span(start=1.0, end=3.0),)
    assert picture.stalled == ()


def test_a_camera_without_pictures_stalls_and_a_shared_screen_does_not() -> None:
    for still, stalls in ((False, (Span(start=1.0, end=3.05),)), (True, ())):
        life = Life(still=still)
        life.open("a", "v")
        life.run(1, "a", "v")
        life.run(2, "a")
        life.run(1, "a", "v")
        assert life.taken()[1].stalled == stalls


def test_a_camera_that_is_gone_long_before_the_server_says_so_stalls_until_then() -> None:
    for still, stalls in ((False, (Span(start=1.0, end=4.0),)), (True, ())):
        life = Life(still=still)
        life.open("a", "v")
        life.run(1, "a", "v")
        life.run(3, "a")
        life.journal.closed("v", life.now)
        assert (life.taken()[1].end, life.taken()[1].stalled) == (4.0, stalls)


def test_silence_that_the_receiver_makes_of_no_packets_is_a_stall_and_a_gap_from_the_last_packet_on() -> None:
    life = Life()
    life.open("a")
    life.run(1, "a")
    life.run(1.5, "a")
    life.journal.starved("a", ORIGIN + 1)
    life.run(1, "a")
    life.journal.starved("a", None)
    life.run(1, "a")
    assert life.taken()[0].stalled == (Span(start=1.0, end=3.5),)
    assert life.gaps == [MediaGap(start=1.0, end=3.5, reason=NO_MEDIA)]


@pytest.mark.parametrize(
    ("beside", "gaps"), [("camera", []), ("muted", []), ("camera until then", [(2.0, 4.0)])]
)
def test_another_track_covers_the_silence_of_a_starved_one(
    beside: str, gaps: list[tuple[float, float]]
) -> None:
    life = Life()
    life.open("a", "v")
    life.run(1, "a", "v")
    life.journal.muted("v", muted=beside == "muted", at=life.now)
    life.run(1, "a", *(["v"] if beside.startswith("camera") else []))
    life.run(0.5, "a", *(["v"] if beside == "camera" else []))
    life.journal.starved("a", ORIGIN + 1)
    life.run(1.5, "a", *(["v"] if beside == "camera" else []))
    life.journal.finish(life.now)
    assert life.taken()[0].stalled == (Span(start=1.0, end=4.0),)
    assert [(gap.start, gap.end) for gap in life.gaps] == gaps


def test_a_muted_track_has_no_packets_and_is_not_starved() -> None:
    life = Life()
    life.open("a")
    life.run(1, "a")
    life.journal.muted("a", muted=True, at=life.now)
    life.run(2, "a")
    life.journal.starved("a", ORIGIN + 1)
    life.run(1, "a")
    life.journal.muted("a", muted=False, at=life.now)
    life.run(0.25, "a")
    life.journal.starved("a", None)
    life.run(1, "a")
    sound = life.taken()[0]
    assert (sound.muted, sound.stalled, life.gaps) == ((Span(start=1.0, end=4.0),), (), [])


def test_a_track_that_was_muted_until_its_end_is_no_stall() -> None:
    life = Life()
    life.open("a", "v")
    life.run(1, "a", "v")
    life.journal.muted("v", muted=True, at=life.now)
    life.run(3, "a")
    life.journal.closed("v", life.now)
    assert (life.taken()[1].muted, life.taken()[1].stalled) == ((Span(start=1.0, end=4.0),), ())


def test_a_change_of_size_is_noted_with_its_time() -> None:
    life = Life()
    life.open("v")
    life.run(1, "v")
    life.run(1, "v", size=(1280, 720))
    (picture,) = life.taken()
    assert (picture.width, picture.height) == SIZE
    assert picture.sizes == (SizeChange(at=1.05, width=1280, height=720),)


def test_an_absence_inside_the_file_is_a_gap_with_its_reason() -> None:
    life = Life()
    life.open("a", "v")
    life.run(1, "a", "v")
    life.journal.reason(life.now, "absent")
    for track in ("a", "v"):
        life.journal.closed(track, life.now)
    life.run(5)
    life.open("a2")
    life.run(1, "a2")
    life.taken()
    assert life.gaps == [MediaGap(start=1.0, end=6.0, reason="absent")]


def test_a_reason_of_long_ago_is_not_that_of_a_later_gap() -> None:
    life = Life()
    life.open("a")
    life.run(1, "a")
    life.journal.reason(life.now, "connection lost")
    life.run(5, "a")
    life.run(2)
    life.run(1, "a")
    life.taken()
    assert [(gap.start, gap.reason) for gap in life.gaps] == [(6.0, "no media")]


def test_nobody_is_missing_while_all_that_is_published_is_muted() -> None:
    life = Life()
    life.open("v")
    life.run(1, "v")
    life.journal.muted("v", muted=True, at=life.now)
    life.run(5)
    life.journal.muted("v", muted=False, at=life.now)
    life.run(1, "v")
    life.taken()
    assert life.gaps == []


def test_a_gap_at_the_end_of_the_file_is_told() -> None:
    life = Life()
    life.open("a")
    life.run(1, "a")
    life.journal.closed("a", life.now)
    life.journal.finish(life.now + 3)
    life.taken()
    assert [(gap.start, gap.end) for gap in life.gaps] == [(1.0, 4.0)]


def test_the_lists_of_a_span_keep_the_newest_and_count_the_rest() -> None:
    life = Life()
    life.open("v")
    for number in range(MAX_ENTRIES + 11):
        life.run(0.05, "v", size=(640 + 2 * number, 360))
    (picture,) = life.taken()
    assert (len(picture.sizes), picture.omitted) == (MAX_ENTRIES, 10)
    assert picture.sizes[-1].width == 640 + 2 * (MAX_ENTRIES + 10)


def test_a_track_that_returns_is_a_new_span() -> None:
    life = Life()
    for _ in range(2):
        life.open("v")
        life.run(1, "v")
        life.journal.closed("v", life.now)
        life.run(1)
    assert [(span.number, span.start, span.end) for span in life.taken()] == [(1, 0.05, 1.0), (2, 2.05, 3.0)]
