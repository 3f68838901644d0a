"""The condition Degraded: there while the encoder saves, telling of it afterwards, absent when it never did."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import degradation, names
from egress_operator.model import Plan
from egress_operator.plan import plan
from egress_recorder.contract import Degradation, Phase, Progress
from support.operator_builders import NOW, at, ended_pod, job, observed, pod, recording, said, status, word

pytestmark = pytest.mark.unit


def recorded(old: dict[str, Any] | None = None, **fields: Any) -> Plan:
    """Decide on a recorder that says so."""
    seen = observed(
        job(),
        pod(ready=True),
        of=recording(finalizer=True, status=old or status()),
        polled=said(recording=True, **fields),
        polled_part=1,
    )
    return plan(seen, now=NOW)


def degraded(made: Plan) -> dict[str, Any] | None:
    assert made.status is not None
    return next((one for one in made.status["conditions"] if one["type"] == names.DEGRADED), None)


def test_a_recording_that_was_never_degraded_has_no_such_condition() -> None:
    assert degraded(recorded(progress=Progress(duration=5.0))) is None


@pytest.mark.parametrize("saves", [*Degradation, "SomethingOfALaterRelease"])
def test_while_the_encoder_saves_the_condition_is_true_and_says_the_way_out(saves: str) -> None:
    made = recorded(degraded=str(saves), progress=Progress(duration=5.0, degraded=1.5))

    found = degraded(made)
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "EncoderBehind")
    assert "template.resources.requests" in found["message"]
    assert made.status is not None
    assert made.status["progress"]["degraded"] == "1.5s"


def test_ready_and_recording_stay_true_meanwhile() -> None:
    made = recorded(degraded="Pictures")

    assert made.status is not None
    conditions = {one["type"]: one["status"] for one in made.status["conditions"]}
    assert (conditions["Ready"], conditions["Recording"]) == ("True", "True")
    assert not {"Reconciling", "Stalled"} & conditions.keys()


def test_one_more_second_of_it_is_no_reason_to_write() -> None:
    first = recorded(degraded="Preset", progress=Progress(duration=5.0, degraded=1.0)).status
    assert first is not None

    assert recorded(first, degraded="Preset", progress=Progress(duration=6.0, degraded=2.0)).status is None


def test_a_change_of_it_is_written_at_once() -> None:
    first = recorded(degraded="Preset", progress=Progress(duration=5.0, degraded=1.0)).status
    assert first is not None

    made = recorded(first, progress=Progress(duration=6.0, degraded=1.2))

    found = degraded(made)
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "EncoderWasBehind")
    assert "1.2s" in found["message"]


def test_after_the_end_the_status_says_for_how_long_it_was() -> None:
    progress = Progress(duration=48.0, degraded=12.5, bytes_written=4800)
    over = ended_pod(code=0, message=word(Phase.COMPLETE, progress=progress))
    made = plan(
        observed(
            job(), over, of=recording(finalizer=True, status=status()), polled=said(degraded="Pictures")
        ),
        now=at(1),
    )

    found = degraded(made)
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", "EncoderWasBehind")
    assert "12.5s" in found["message"]


def test_a_recorder_that_does_not_record_is_not_degraded() -> None:
    assert degradation.condition(observed(polled=said(degraded="Preset")), {}, recording=False) is None
