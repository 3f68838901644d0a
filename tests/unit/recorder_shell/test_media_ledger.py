"""What the manifest says of the files' content, over several parts and recorders."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from egress_recorder.contract import Corrections, Progress
from egress_recorder.spans import MAX_SPANS, MediaGap, PartMedia, SizeChange, Span, TrackSpan, bounded
from egress_recorder.supervisor.media import MediaLedger
from egress_recorder.supervisor.totals import total

pytestmark = pytest.mark.unit
T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def span(number: int = 1, start: float = 0.0, end: float | None = None, **more: object) -> TrackSpan:
    return replace(TrackSpan(number=number, sid="TR_a", kind="audio", start=start, end=end), **more)  # type: ignore[arg-type]


def entry(ledger: MediaLedger, *, over: bool = True, duration: float = 10.0, delay: float = 0.0) -> PartMedia:
    progress = Progress(corrections=Corrections(receive_delay=delay))
    return ledger.entry(1, started_at=T0, duration=duration, over=over, progress=progress)


def test_media_time_zero_lies_before_the_arrival_by_what_the_receiver_held_back() -> None:
    media = entry(MediaLedger(), delay=0.25)
    assert (media.zero_at, media.receive_delay) == (at(-0.25), 0.25)


def test_a_moved_time_axis_moves_its_zero() -> None:
    corrections = Corrections(receive_delay=0.25, axis_moved=0.03)
    media = MediaLedger().entry(
        1, started_at=T0, duration=9.0, over=True, progress=Progress(corrections=corrections)
    )
    assert media.zero_at == at(-0.22)


def test_a_span_has_its_utc_and_goes_on_while_the_file_grows() -> None:
    ledger = MediaLedger()
    ledger.holds(1, [span(start=2.0)], [])
    (growing,) = entry(ledger, over=False, delay=0.5).tracks
    assert (growing.started_at, growing.end, growing.ended_at) == (at(1.5), None, None)


def test_at_the_end_of_the_file_everything_in_it_ends() -> None:
    ledger = MediaLedger()
    beyond = span(2, start=10.5)
    ledger.holds(
        1,
        [span(start=2.0, muted=(Span(start=9.0), Span(start=10.5))), beyond],
        [MediaGap(start=9.5, end=12.0, reason="absent"), MediaGap(start=11.0, end=12.0, reason="absent")],
    )
    media = entry(ledger)
    assert [(one.end, one.ended_at) for one in media.tracks] == [(10.0, at(10))]
    assert media.tracks[0].muted == (Span(start=9.0, end=10.0),)
    assert media.gaps == (MediaGap(start=9.5, end=10.0, started_at=at(9.5), reason="absent"),)


def test_a_newer_word_on_a_span_replaces_the_former_one() -> None:
    ledger = MediaLedger()
    ledger.holds(1, [span(1), span(2)], [])
    ledger.holds(1, [span(1, end=4.0)], [])
    assert [(one.number, one.end) for one in entry(ledger).tracks] == [(1, 4.0), (2, 10.0)]


def test_of_too_many_spans_the_newest_stay_and_the_rest_is_counted() -> None:
    ledger = MediaLedger()
    ledger.holds(1, [span(number) for number in range(1, MAX_SPANS + 6)], [])
    media = entry(ledger)
    assert (len(media.tracks), media.tracks_omitted, media.tracks[0].number) == (MAX_SPANS, 5, 6)


def test_the_limit_holds_over_all_parts_together() -> None:
    full = PartMedia(part=1, zero_at=T0, tracks=tuple(span(number) for number in range(MAX_SPANS)))
    older, newer = bounded([full, PartMedia(part=2, zero_at=T0, tracks=(span(1), span(2)))])
    assert (len(older.tracks), older.tracks_omitted, older.tracks[0].number) == (MAX_SPANS - 2, 2, 2)
    assert len(newer.tracks) == 2


def test_earlier_parts_are_those_of_the_adopted_manifest() -> None:
    ledger = MediaLedger()
    first = PartMedia(part=1, zero_at=T0, sha256="ab")
    ledger.adopt([first])
    assert ledger.entries([PartMedia(part=2, zero_at=at(20))]) == (first, PartMedia(part=2, zero_at=at(20)))


def test_counters_of_parts_add_up_and_states_are_those_of_the_newest() -> None:
    first = Progress(
        frames=10, corrections=Corrections(frames_late=1, lip_sync=0.2, lip_sync_max=0.3, receive_delay=0.1)
    )
    second = Progress(
        frames=5, corrections=Corrections(frames_late=2, lip_sync=0.1, lip_sync_max=0.15, receive_delay=0.05)
    )
    numbers = total([first, second], duration=3.0, written=7, uploaded=4)
    assert (numbers.frames, numbers.duration, numbers.bytes_written, numbers.bytes_uploaded) == (
        15,
        3.0,
        7,
        4,
    )
    corrections = numbers.corrections
    assert (corrections.frames_late, corrections.lip_sync, corrections.lip_sync_max) == (3, 0.1, 0.3)
    assert corrections.receive_delay == 0.05


def test_a_hash_is_that_of_its_own_output_also_while_the_others_are_not_known() -> None:
    ledger = MediaLedger()
    times = {"started_at": T0, "duration": 1.0, "over": True, "progress": Progress()}
    ledger.hashed(1, "ab", [0, 2])
    assert ledger.entry(1, **times).hashes == ()
    assert ledger.entry(1, **times, several=True).hashes == ("ab", "", "ab")
    ledger.hashed(1, "cd", [1])
    entry = ledger.entry(1, **times, several=True)
    assert (entry.sha256, entry.hashes) == ("ab", ("ab", "cd", "ab"))


def test_a_file_that_goes_on_where_another_one_ended_has_its_share_of_what_was_noted() -> None:
    ledger = MediaLedger()
    sizes = (SizeChange(at=4.0, width=320, height=180), SizeChange(at=14.0, width=1280, height=720))
    camera = span(2, 1.0, None, kind="video", width=640, height=360, sizes=sizes)
    muted = (Span(start=2.0, end=3.0), Span(start=8.0, end=12.0))
    ledger.holds(1, [span(1, 0.0, 18.0, muted=muted), camera, span(3, 1.0, 9.0), span(4, 11.0)], [])
    ledger.holds(
        1, [], [MediaGap(start=9.0, end=11.0, reason="absent"), MediaGap(start=1.0, end=2.0, reason="absent")]
    )
    ledger.hashed(1, "a" * 64)
    ledger.hashed(2, "b" * 64)
    first = ledger.entry(1, started_at=T0, duration=10.0, over=True, progress=Progress())
    second = ledger.entry(
        2, started_at=at(10), duration=9.0, over=True, progress=Progress(), capture=1, since=10.0
    )
    assert [(one.number, one.start, one.end) for one in first.tracks] == [
        (1, 0.0, 10.0),
        (2, 1.0, 10.0),
        (3, 1.0, 9.0),
    ]
    assert [(one.number, one.start, one.end) for one in second.tracks] == [
        (1, 0.0, 8.0),
        (2, 0.0, 9.0),
        (4, 1.0, 9.0),
    ]
    assert first.tracks[0].muted == (Span(start=2.0, end=3.0), Span(start=8.0, end=10.0))
    assert second.tracks[0].muted == (Span(start=0.0, end=2.0),)
    assert (second.tracks[1].width, second.tracks[1].sizes) == (
        320,
        (SizeChange(at=4.0, width=1280, height=720),),
    )
    assert second.tracks[2].started_at == at(11)
    assert [(one.start, one.end, one.started_at) for one in second.gaps] == [(0.0, 1.0, at(10))]
    assert (first.sha256[0], second.sha256[0], second.zero_at) == ("a", "b", at(10))
