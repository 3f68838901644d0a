"""A recorder that hangs: nobody claims any more that it records, and the next part does not wait for its end."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator.model import Observed
from egress_operator.plan import plan
from egress_recorder.contract import Phase
from support.operator_builders import NOW, job, observed, pod, recording, said, status

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
