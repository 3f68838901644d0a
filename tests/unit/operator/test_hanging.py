"""A recorder that hangs: nobody claims any more that it records, and the next part does not wait for its end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from egress_operator.model import CreateJob, DeleteJob, Observed, Reason, RoomAnswer, WriteSecret
from egress_operator.plan import plan, refuse
from egress_recorder.contract import Phase
from support.operator_builders import NOW, at, ended_pod, job, observed, pod, recording, said, status

pytestmark = pytest.mark.unit


def hanging(seconds: float, said_phase: Phase = Phase.ACTIVE, *, ready: bool = False) -> Observed:
    """A recorder that said it was recording and has been silent for so long."""
    return observed(
        job(),
        pod(ready=ready),
        of=recording(finalizer=True, status=status("Active")),
        polled=said(said_phase, recording=said_phase is Phase.ACTIVE, in_room=True),
        polled_part=1,
        silent_seconds=seconds,
    )


def is_recording(seen: Observed) -> str:
    made = plan(seen, now=NOW)
    assert made.status is not None
    return str(next(one for one in made.status["conditions"] if one["type"] == "Recording")["status"])


def test_an_unready_recorder_that_is_silent_does_not_record_whatever_it_said_last() -> None:
    made = plan(hanging(6), now=NOW)

    assert made.status is not None
    assert (made.status["phase"], made.status["message"]) == ("Active", "part 1 does not answer")
    assert is_recording(hanging(6)) == "False"
    assert is_recording(hanging(4)) == "True"


def test_a_ready_recorder_that_only_the_operator_cannot_reach_records() -> None:
    assert is_recording(hanging(6000, ready=True)) == "True"


def test_a_recording_that_rests_on_an_answer_alone_is_looked_at_again_soon() -> None:
    assert plan(hanging(0), now=NOW).requeue == 5.0
    assert plan(hanging(0, ready=True), now=NOW).requeue == 30.0


@pytest.mark.parametrize("phase", [Phase.ACTIVE, Phase.ENDING])
def test_a_hanging_recorder_is_superseded_after_a_minute(phase: Phase) -> None:
    """A kubelet gives a pod that never restarts its whole grace period, ten minutes, whatever its probe says."""

    def acts(seconds: float) -> list[Any]:
        return [type(action).__name__ for action in plan(hanging(seconds, phase), now=NOW).before]

    assert acts(59) == []
    assert acts(61) == ["DeleteJob", "WriteSecret", "CreateJob"]


def test_a_part_that_was_given_up_stays_given_up_when_the_next_one_has_to_wait() -> None:
    """The room has to be asked for first; until then the silence of the old recorder may have been forgotten."""
    before = hanging(61)
    waits = plan(replace(before, room=RoomAnswer()), now=NOW)
    assert waits.status is not None
    assert "nextPartAt" in waits.status
    [lost] = waits.status["parts"]
    assert lost["endReason"] == "Process killed: the recorder of pod alice-0a1b2c3d-1-x does not answer"

    forgotten = observed(job(), pod(), of=recording(finalizer=True, status=waits.status))
    made = plan(forgotten, now=at(1))

    assert [type(action) for action in made.before] == [DeleteJob, WriteSecret, CreateJob]
    assert made.status is not None
    assert "nextPartAt" not in made.status
    assert is_recording(forgotten) == "False"


def test_a_part_whose_successor_is_refused_stays_given_up() -> None:
    refused = refuse(hanging(61), Reason("QuotaExceeded", "exceeded quota"), now=NOW)
    assert refused.status is not None

    forgotten = observed(job(), pod(ready=True), of=recording(finalizer=True, status=refused.status))
    assert CreateJob(2) in plan(forgotten, now=at(1)).before


def test_a_next_part_whose_start_was_not_written_down_is_no_part_that_was_given_up() -> None:
    """The operator was killed between the Job of part 2 and the status."""
    old = status("Active", nextPartAt="2026-11-16T12:00:00Z")
    made = plan(
        observed(job(1), job(2), ended_pod(1, code=137), pod(2, ready=True), of=recording(finalizer=True, status=old)),
        now=NOW,
    )  # fmt: skip

    assert made.before == ()
    assert made.status is not None
    assert made.status["part"] == 2
    assert "nextPartAt" not in made.status


def test_a_recorder_that_was_ready_and_lost_before_its_first_answer_has_a_lost_part() -> None:
    ready = observed(job(), pod(ready=True), of=recording(finalizer=True, status=status("Starting")))
    begun = plan(ready, now=NOW)
    assert begun.status is not None
    [file] = begun.status["parts"]
    assert (file["part"], file["output"], file["filename"]) == (1, 0, "standup/alice.mp4")

    quiet = observed(job(), pod(), of=recording(finalizer=True, status=begun.status))
    unready = plan(quiet, now=at(1))
    assert unready.status is not None
    gone = observed(job(), pod(unreachable_since=at(1)), of=recording(finalizer=True, status=unready.status))
    made = plan(gone, now=at(62))

    assert made.status is not None
    assert made.status["parts"][0]["endReason"].startswith("Process killed: the node of pod")
