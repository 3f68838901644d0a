"""Parts, gaps and numbers over several recorders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_recorder.contract import EndReason, Gap, Manifest, Part, Progress, RecorderConfig
from egress_recorder.supervisor.ledger import Ledger

pytestmark = pytest.mark.unit

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def config(**changes: Any) -> RecorderConfig:
    values = {
        "egressId": "EG_test",
        "url": "ws://x",
        "roomName": "r",
        "source": {"kind": "participant", "identity": "alice"},
        "outputs": [{"filepath": "a.mp4", "destination": {"kind": "pvc", "volume": "v"}}],
        "requestedAt": T0.isoformat(),
        **changes,
    }
    return RecorderConfig.model_validate(values)


def prior(*parts: Part, gaps: tuple[Gap, ...] = ()) -> dict[str, Any]:
    return {"parts": [part.to_dict() for part in parts], "gaps": [gap.to_dict() for gap in gaps]}


def test_the_first_part_has_the_configured_number() -> None:
    assert Ledger(config()).next_number == 1
    assert Ledger(config(part=4)).next_number == 4


def test_a_part_without_media_leaves_its_number_free() -> None:
    ledger = Ledger(config())
    ledger.started(1, at(0), ("a.mp4",))
    ledger.dropped(1)
    assert ledger.next_number == 1
    assert not ledger.has_media


def test_numbers_go_on_after_those_of_configuration_and_manifest() -> None:
    ledger = Ledger(config(part=2, prior=prior(Part(part=1, filename="a.mp4"))))
    ledger.adopt(
        Manifest(
            egress_id="EG_test", room_name="r", updated_at=at(1), parts=(Part(part=3, filename="a-p3.mp4"),)
        )
    )
    assert ledger.next_number == 4


def test_the_gap_between_two_parts_is_from_the_end_of_media_to_the_next_start() -> None:
    ledger = Ledger(config())
    ledger.started(1, at(0), ("a.mp4",))
    ledger.ended(1, duration=10.0, sizes=(5,), reason=EndReason.KILLED, at=None)
    ledger.started(2, at(12.5), ("a-p2.mp4",))
    assert ledger.gaps() == (Gap(started_at=at(10), duration=2.5, reason="Process killed"),)


def test_no_gap_is_claimed_while_the_end_of_a_crashed_part_is_unknown() -> None:
    ledger = Ledger(config())
    ledger.started(1, at(0), ("a.mp4",))
    ledger.started(2, at(12.5), ("a-p2.mp4",))
    assert ledger.gaps() == ()


def test_parts_that_follow_at_once_have_no_gap() -> None:
    ledger = Ledger(config())
    ledger.started(1, at(0), ("a.mp4",))
    ledger.ended(1, duration=10.0, sizes=(5,), reason=EndReason.KILLED, at=at(10))
    ledger.started(2, at(10.01), ("a-p2.mp4",))
    assert ledger.gaps() == ()


def test_the_gap_before_our_first_part_comes_from_the_earlier_recorder() -> None:
    part = Part(
        part=1, filename="a.mp4", location="l", started_at=at(0), ended_at=at(5), end_reason="Interrupted"
    )
    ledger = Ledger(config(part=2, prior=prior(part)))
    assert ledger.gaps() == ()
    ledger.started(2, at(8), ("a-p2.mp4",))
    assert ledger.gaps() == (Gap(started_at=at(5), duration=3.0, reason="Interrupted"),)


def test_a_part_that_was_lost_with_its_pod_is_a_gap_from_its_beginning() -> None:
    part = Part(part=1, filename="a.mp4", started_at=at(0), duration=30.0)
    ledger = Ledger(config(part=2, prior=prior(part)))
    ledger.started(2, at(40), ("a-p2.mp4",))
    assert ledger.gaps() == (Gap(started_at=at(0), duration=40.0, reason="Process killed"),)


def test_a_part_that_ended_but_died_with_its_pod_before_its_upload_is_a_gap_from_its_beginning() -> None:
    lost = Part(
        part=1,
        filename="a.mp4",
        started_at=at(0),
        ended_at=at(7),
        duration=7.0,
        end_reason="Process killed: x",
    )
    ledger = Ledger(config(part=2, prior=prior(lost)))
    # The manifest's last word came from the recorder, before it died.
    hopeful = lost.model_copy(update={"end_reason": "Interrupted"})
    ledger.adopt(Manifest(egress_id="EG_test", room_name="r", updated_at=at(7), parts=(hopeful,)))
    ledger.started(2, at(18), ("a-p2.mp4",))

    assert ledger.gaps() == (Gap(started_at=at(0), duration=18.0, reason="Process killed: x"),)
    assert ledger.parts()[0] == lost


def test_the_reason_that_says_more_is_kept_beside_the_upload_that_the_manifest_knows() -> None:
    told = Part(part=1, filename="a.mp4", started_at=at(0), ended_at=at(5), end_reason="Interrupted: Evicted")
    ledger = Ledger(config(part=2, prior=prior(told)))
    done = told.model_copy(update={"location": "s3://a.mp4", "end_reason": "Interrupted"})
    ledger.adopt(Manifest(egress_id="EG_test", room_name="r", updated_at=at(6), parts=(done,)))
    ledger.started(2, at(8), ("a-p2.mp4",))

    assert ledger.parts()[0] == done.model_copy(update={"end_reason": "Interrupted: Evicted"})
    assert ledger.gaps() == (Gap(started_at=at(5), duration=3.0, reason="Interrupted: Evicted"),)


def test_a_gap_that_is_noted_already_is_not_noted_again() -> None:
    part = Part(part=1, filename="a.mp4", location="l", started_at=at(0), ended_at=at(5))
    gap = Gap(started_at=at(5), duration=2.0, reason="Interrupted")
    ledger = Ledger(config(part=2, prior=prior(part, gaps=(gap,))))
    ledger.started(2, at(8), ("a-p2.mp4",))
    assert ledger.gaps() == (gap,)


def test_an_upload_that_only_the_manifest_knows_is_kept() -> None:
    old = Part(part=1, filename="a.mp4")
    ledger = Ledger(config(part=2, prior=prior(old)))
    done = old.model_copy(update={"location": "s3://a.mp4"})
    ledger.adopt(Manifest(egress_id="EG_test", room_name="r", updated_at=at(1), parts=(done,)))
    assert ledger.parts() == (done,)


def test_an_upload_that_only_the_configuration_knows_is_kept() -> None:
    done = Part(part=1, filename="a.mp4", location="s3://a.mp4")
    ledger = Ledger(config(part=2, prior=prior(done)))
    stale = done.model_copy(update={"location": ""})
    ledger.adopt(Manifest(egress_id="EG_test", room_name="r", updated_at=at(1), parts=(stale,)))
    assert ledger.parts() == (done,)


def test_the_manifest_read_late_does_not_take_our_own_part() -> None:
    ledger = Ledger(config())
    ledger.started(1, at(0), ("a.mp4",))
    other = Part(part=1, filename="other.mp4")
    ledger.adopt(Manifest(egress_id="EG_test", room_name="r", updated_at=at(1), parts=(other,)))
    assert [part.filename for part in ledger.parts()] == ["a.mp4"]


def test_progress_counts_each_part_once_however_many_outputs_it_has() -> None:
    parts = [
        Part(part=1, output=output, filename="a", duration=4.0, size=100, location="l") for output in (0, 1)
    ]
    ledger = Ledger(config(part=2, prior=prior(*parts)))
    ledger.started(2, at(10), ("a-p2.mp4", "b-p2.mp4"))
    ledger.progressed(2, Progress(duration=2.0, bytes_written=50, frames=60))
    progress = ledger.progress()
    assert (progress.duration, progress.bytes_written, progress.frames) == (6.0, 150, 60)
    assert progress.bytes_uploaded == 200
    assert ledger.recorded() == (6.0, 150)


def test_the_file_results_are_those_of_the_newest_part() -> None:
    ledger = Ledger(config())
    ledger.started(1, at(0), ("a.mp4",))
    ledger.started(2, at(9), ("a-p2.mp4",))
    ledger.named(2, 0, filename="a-p2-EG_test.mp4", location="l2")
    assert [(result.filename, result.location) for result in ledger.file_results(1)] == [
        ("a-p2-EG_test.mp4", "l2")
    ]


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 10)), min_size=1, max_size=10))
def test_media_and_gaps_together_are_the_whole_time(steps: list[tuple[float, float]]) -> None:
    ledger = Ledger(config())
    clock = 0.0
    for number, (duration, pause) in enumerate(steps, start=1):
        ledger.started(number, at(clock), ("a.mp4",))
        ledger.ended(number, duration=duration, sizes=(1,), reason=EndReason.KILLED, at=None)
        clock += duration + pause
    covered = ledger.progress().duration + sum(gap.duration for gap in ledger.gaps())
    # Pauses below the shortest gap are not noted.
    assert covered == pytest.approx(clock - steps[-1][1], abs=0.05 * len(steps) + 1e-3)


def test_what_was_degraded_is_added_up_over_all_parts() -> None:
    ledger = Ledger(config(part=2, prior=prior(Part(part=1, filename="a.mp4"))))
    earlier = Manifest(
        egress_id="EG_test",
        room_name="r",
        updated_at=at(1),
        parts=(Part(part=1, filename="a.mp4"),),
        progress=Progress(duration=5.0, degraded=1.5),
    )
    ledger.adopt(earlier)
    ledger.started(2, at(10), ("a-p2.mp4",))
    ledger.progressed(2, Progress(duration=4.0, degraded=2.0))
    assert ledger.progress().degraded == 3.5


def test_each_file_of_a_part_counts_once_whatever_the_number_of_outputs() -> None:
    files = ("a.mp4", "a.ogg", "copy.mp4")
    earlier = tuple(
        Part(part=1, output=output, filename=name, duration=4.0 - (output == 0), size=size, location="l")
        for output, (name, size) in enumerate(zip(files, (100, 7, 100), strict=True))
    )
    ledger = Ledger(config(part=2, prior=prior(*earlier)))
    # The first file was cut: the part is as long as its longest one.
    assert ledger.recorded() == (4.0, 107)


def lost_part(**changes: Any) -> Part:
    values = {
        "part": 1,
        "filename": "a.mp4",
        "started_at": at(0),
        "ended_at": at(9),
        "duration": 8.0,
        "size": 80,
    }
    return Part(**{**values, "end_reason": f"{EndReason.KILLED.value}: OOMKilled", **changes})


def test_only_files_of_recorders_that_are_gone_without_a_record_are_orphans() -> None:
    interrupted = lost_part(end_reason=EndReason.INTERRUPTED.value)
    running = lost_part(end_reason="", ended_at=None)
    for part in (interrupted, running, lost_part(location="s3://a.mp4")):
        assert Ledger(config(part=2, prior=prior(part))).orphans() == ()
    assert Ledger(config(part=2, prior=prior(lost_part()))).orphans() == (lost_part(),)


def test_a_file_that_was_found_ends_the_gap_where_it_ends() -> None:
    ledger = Ledger(config(part=2, prior=prior(lost_part())))
    found = lost_part(location="s3://a.mp4", size=60, duration=6.0, ended_at=at(6))
    ledger.recovered(found)
    ledger.started(2, at(20), ("a-p2.mp4",))
    assert ledger.parts()[0] == found
    assert [(gap.started_at, gap.duration) for gap in ledger.gaps()] == [(at(6), 14.0)]
    assert ledger.progress().bytes_uploaded == 60


def test_a_gap_that_was_told_already_does_not_move() -> None:
    ledger = Ledger(config(part=2, prior=prior(lost_part())))
    ledger.started(2, at(20), ("a-p2.mp4",))
    before = ledger.gaps()
    ledger.recovered(lost_part(location="s3://a.mp4", size=60, duration=6.0, ended_at=at(6)))
    assert ledger.gaps() == before
    assert [(gap.started_at, gap.duration) for gap in before] == [(at(0), 20.0)]


@pytest.mark.parametrize(("kind", "after_end"), [("s3", False), ("pvc", True), ("http", True)])
def test_progress_says_where_files_are_sent_after_their_end(kind: str, after_end: bool) -> None:
    destinations = {
        "s3": {"kind": "s3", "bucket": "b"},
        "pvc": {"kind": "pvc", "volume": "v"},
        "http": {"kind": "http", "url": "https://x"},
    }
    outputs = [
        {"filepath": "a.mp4", "destination": destinations["s3"]},
        {"filepath": "b.mp4", "destination": destinations[kind]},
    ]
    ledger = Ledger(config(outputs=outputs))
    assert not ledger.progress().uploads_after_end
    ledger.started(1, at(0), ("a.mp4", "b.mp4"))
    assert ledger.progress().uploads_after_end is after_end
