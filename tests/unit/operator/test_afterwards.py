"""Queues, replaced Jobs and ttlSecondsAfterFinished: what happens around a recording and not in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from egress_operator import jobs, names
from egress_operator.controller import is_settled
from egress_operator.model import (
    CreateJob,
    DeleteJob,
    DeleteRecording,
    DeleteSecret,
    Plan,
    Reason,
    RemoveFinalizer,
    WriteSecret,
    WriteStop,
)
from egress_operator.names import Key
from egress_operator.plan import plan
from egress_operator.settings import Settings
from egress_recorder.contract import Phase
from support.operator_builders import (
    ABSENT,
    NOW,
    at,
    body,
    ended_pod,
    job,
    observed,
    pod,
    recording,
    status,
    word,
)

pytestmark = pytest.mark.unit

KEY = Key(names.PARTICIPANT_KIND, "calls", "alice")


def decide(seen: Any, *, now: Any = NOW) -> Plan:
    return plan(seen, now=now)


def kinds(actions: Any) -> list[type]:
    return [type(action) for action in actions]


def ready(made: Plan) -> tuple[str, str]:
    assert made.status is not None
    one = next(one for one in made.status["conditions"] if one["type"] == "Ready")
    return one["reason"], one["message"]


# ---- Kueue ---------------------------------------------------------------------------------------------------


def queued(**fields: Any) -> Any:
    return job(suspended=True, queue="recordings", **fields)


def fresh(**fields: Any) -> Any:
    return recording(finalizer=True, status=status("Pending"), **fields)


def test_queue_labels_go_to_the_job_and_it_begins_suspended() -> None:
    given = recording()
    labels = {names.LABEL_QUEUE: "recordings", "kueue.x-k8s.io/priority-class": "high"}
    made = jobs.job_manifest(replace(given, queue_labels=labels), Settings(), part=1)

    assert made["spec"]["suspend"] is True
    assert labels.items() <= made["metadata"]["labels"].items()
    assert not labels.keys() & made["spec"]["template"]["metadata"]["labels"].keys()
    assert "suspend" not in jobs.job_manifest(given, Settings(), part=1)["spec"]


def test_a_suspended_job_is_queued_and_names_its_queue() -> None:
    made = decide(observed(queued(), of=fresh()))

    assert made.before == ()
    assert ready(made)[0] == "Queued"
    assert "queue recordings has not admitted it yet" in ready(made)[1]


def test_a_job_that_is_not_suspended_any_more_goes_on() -> None:
    assert ready(decide(observed(job(queue="recordings"), of=fresh())))[0] == "PodNotCreated"


def test_a_pod_that_the_queue_took_back_before_it_started_waits_in_the_same_part() -> None:
    made = decide(observed(queued(), pod(started=False, gone=True), of=fresh()))

    assert ready(made)[0] == "Queued"
    assert made.before == ()


def test_a_preempted_recorder_is_followed_by_the_next_part_and_its_job_cannot_come_back() -> None:
    message = word(Phase.INTERRUPTED, details="End reason: Interrupted")
    made = decide(observed(queued(), ended_pod(code=75, message=message, gone=True)))

    assert kinds(made.before) == [DeleteJob, WriteSecret, CreateJob]
    assert CreateJob(2) in made.before


def test_a_stop_while_queued_takes_the_job_away() -> None:
    made = decide(observed(queued(), of=fresh(desiredState="Stopped")))

    assert kinds(made.before) == [WriteStop, DeleteJob]


def test_a_suspended_job_is_deleted_at_the_end_because_it_never_ends_by_itself() -> None:
    made = decide(observed(queued(), ended_pod(code=0, message=word(), gone=True)))

    assert kinds(made.after) == [DeleteJob, DeleteSecret, RemoveFinalizer]


# ---- a pod that cannot start, and whose cause was corrected --------------------------------------------------


def stuck(*, part: Any = None, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"pod_hash": "new", "of": fresh()}
    return observed(part or job(pod_hash="old"), pod(started=False, ip=""), **defaults | fields)


def test_a_pod_that_cannot_start_is_made_anew_when_template_or_settings_have_changed() -> None:
    made = decide(stuck())

    assert made.before == (DeleteJob(job().name),)
    assert made.status is not None
    assert made.status["roomWaits"] == 1


@pytest.mark.parametrize(
    "seen",
    [
        {"pod_hash": "old"},
        {"pod_hash": ""},
        {"part": job(pod_hash="")},
        {"part": job(pod_hash="old", deleting=True)},
        {"part": job(pod_hash="old", suspended=True)},
    ],
    ids=["unchanged", "unknown", "unmarked", "going", "queued"],
)
def test_a_waiting_job_is_left_alone_otherwise(seen: dict[str, Any]) -> None:
    assert decide(stuck(**seen)).before == ()


def test_a_job_that_was_only_just_made_or_whose_recorder_runs_is_left_alone() -> None:
    young = observed(
        job(pod_hash="old"), pod(started=False, ip="", created=at(-3)), of=fresh(), pod_hash="new"
    )

    assert decide(young).before == ()
    assert decide(observed(job(pod_hash="old"), pod(), pod_hash="new")).before == ()


def test_the_replaced_part_does_not_count_towards_max_parts() -> None:
    old = recording(
        finalizer=True, status=status("Pending", roomWaits=1, nextPartAt="2026-11-22T09:09:59Z"),
        limits={"maxParts": 1},
    )  # fmt: skip
    made = decide(observed(pod(started=False, gone=True), of=old))

    assert CreateJob(2) in made.before


# ---- ttlSecondsAfterFinished ---------------------------------------------------------------------------------


def over(phase: str = "Complete", **fields: Any) -> Any:
    shown = status(phase, endedAt="2026-11-22T09:09:00Z", message="done")
    return recording(status=shown, ttlSecondsAfterFinished=fields.pop("ttl", 90), **fields)


def test_a_recording_goes_when_its_time_is_over_and_is_waited_for_until_then() -> None:
    early, late = decide(observed(of=over())), decide(observed(of=over()), now=at(31))

    assert early.after == ()
    assert early.requeue == pytest.approx(30.1)
    assert late.after == (DeleteRecording(),)


@pytest.mark.parametrize("phase", ["Complete", "Failed", "Aborted", "LimitReached"])
def test_each_end_is_an_end(phase: str) -> None:
    assert decide(observed(of=over(phase, ttl=0))).after == (DeleteRecording(),)


def test_a_recording_without_a_time_to_live_stays_for_ever() -> None:
    made = decide(observed(of=over(ttl=None)), now=at(10**8))

    assert made.after == ()
    assert made.requeue is None


def test_one_that_is_being_deleted_is_not_deleted_again() -> None:
    assert decide(observed(of=over(deleting=True)), now=at(10**6)).after == ()


def test_the_tidying_comes_before_the_deletion() -> None:
    made = decide(observed(of=over(finalizer=True, ttl=0)))

    assert kinds(made.after) == [DeleteSecret, RemoveFinalizer, DeleteRecording]


def test_the_end_of_a_recording_with_a_time_to_live_is_looked_at_again_at_once() -> None:
    ending = recording(finalizer=True, status=status(), ttlSecondsAfterFinished=0)
    made = decide(observed(job(), ended_pod(code=0, message=word()), of=ending))

    assert made.status is not None
    assert made.status["phase"] == "Complete"
    assert made.requeue == 0.2


def test_a_distant_end_is_looked_at_once_an_hour() -> None:
    assert decide(observed(of=over(ttl=10**6))).requeue == 3600.0


def test_a_finished_recording_with_a_time_to_live_is_kept_in_mind() -> None:
    shown = status("Complete", endedAt="2026-11-22T09:09:00Z")

    assert is_settled(KEY, body(status=shown))
    assert not is_settled(KEY, body(status=shown, ttlSecondsAfterFinished=60))


def test_a_running_recording_is_never_deleted_by_its_time_to_live() -> None:
    made = decide(observed(job(), pod(ready=True), of=recording(finalizer=True, status=status(), ttlSecondsAfterFinished=0)))  # fmt: skip

    assert made.after == ()


def test_waiting_for_a_room_is_no_end() -> None:
    made = decide(observed(of=recording(ttlSecondsAfterFinished=0), room=ABSENT), now=at(10**6))

    assert made.after == ()
    assert ready(made)[0] == "WaitingForRoom"


def test_the_diagnosis_of_a_job_that_waits_is_told() -> None:
    made = decide(observed(job(), of=fresh(), diagnosis=Reason("QuotaExceeded", "exceeded quota: q")))

    assert ready(made) == ("QuotaExceeded", "exceeded quota: q")
