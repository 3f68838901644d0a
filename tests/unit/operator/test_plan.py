"""The decision, situation by situation: every phase, every evidence, every interruption of the operator itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from egress_operator import jobs, parts
from egress_operator.model import (
    AddFinalizer,
    CreateJob,
    DeleteJob,
    DeleteSecret,
    ExpireJob,
    Plan,
    Reason,
    RemoveFinalizer,
    RenewToken,
    RoomAnswer,
    RoomState,
    WriteSecret,
    WriteStop,
)
from egress_operator.plan import plan
from egress_operator.settings import Settings
from egress_recorder.contract import Part, Phase
from support.operator_builders import (
    ABSENT,
    NOW,
    at,
    ended_pod,
    job,
    observed,
    pod,
    recording,
    said,
    status,
    word,
)

pytestmark = pytest.mark.unit


def decide(seen: Any, *, now: Any = NOW) -> Plan:
    return plan(seen, now=now)


def kinds(actions: Any) -> list[type]:
    return [type(action) for action in actions]


def condition(made: Plan, name: str) -> dict[str, Any]:
    assert made.status is not None
    return next((one for one in made.status["conditions"] if one["type"] == name), {})


def phase(made: Plan) -> str:
    assert made.status is not None
    return str(made.status["phase"])


# ---- waiting without a pod -----------------------------------------------------------------------------------


def test_a_recording_whose_room_does_not_exist_waits_without_any_pod() -> None:
    made = decide(observed(of=recording(), room=ABSENT))

    assert made.before == ()
    assert phase(made) == "Pending"
    assert condition(made, "Reconciling")["reason"] == "WaitingForRoom"
    assert "standup" in condition(made, "Reconciling")["message"]


def test_nothing_is_written_while_the_room_was_only_just_asked_for() -> None:
    made = decide(observed(of=recording(), room=RoomAnswer()), now=at(-600 + 1))

    assert made.status is None
    assert made.requeue == 0.5


def test_a_room_that_is_not_answered_for_is_shown_after_three_seconds() -> None:
    made = decide(observed(of=recording(), room=RoomAnswer()))

    assert condition(made, "Reconciling")["reason"] == "WaitingForRoom"


@pytest.mark.parametrize("reason", ["MissingSecret", "NoConnection", "NamespaceNotAllowed"])
def test_a_missing_connection_is_a_reason_to_wait_and_not_a_failure(reason: str) -> None:
    made = decide(observed(of=recording(), connection=Reason(reason, "how to get out")))

    assert phase(made) == "Pending"
    assert condition(made, "Ready") | {"status": "False", "reason": reason} == condition(made, "Ready")
    assert made.requeue == 10.0


def test_a_refused_livekit_key_is_shown_with_its_sentence() -> None:
    room = RoomAnswer(
        RoomState.ERROR, reason="LiveKitUnauthorized", message="LiveKit at x refuses the API key"
    )
    made = decide(observed(of=recording(), room=room))

    assert condition(made, "Reconciling")["reason"] == "LiveKitUnauthorized"
    assert made.status is not None
    assert made.status["message"] == "LiveKit at x refuses the API key"


def test_join_timeout_counts_also_while_the_room_does_not_exist() -> None:
    made = decide(observed(of=recording(joinTimeout="5m"), room=ABSENT))

    assert phase(made) == "Failed"
    assert made.status is not None
    assert made.status["errorCode"] == 404
    assert "joinTimeout 5m0s" in made.status["error"]


def test_a_stop_before_any_pod_aborts() -> None:
    made = decide(observed(of=recording(desiredState="Stopped"), room=ABSENT))

    assert phase(made) == "Aborted"
    assert made.before == ()
    assert condition(made, "Finished")["status"] == "True"


def test_a_malformed_spec_that_an_older_schema_let_through_fails_with_a_sentence() -> None:
    made = decide(observed(of=recording(rejoinTimeout="soon")))

    assert phase(made) == "Failed"
    assert condition(made, "Stalled")["reason"] == "InvalidSpec"
    assert (
        "soon" not in condition(made, "Stalled")["message"]
        or "duration" in condition(made, "Stalled")["message"]
    )


# ---- the first part ------------------------------------------------------------------------------------------


def test_when_the_room_exists_finalizer_secret_and_job_are_made_in_this_order() -> None:
    made = decide(observed(of=recording()))

    assert kinds(made.before) == [AddFinalizer, WriteSecret, CreateJob]
    assert made.status is not None
    assert made.status["resolved"]["filepaths"] == ["standup/alice.mp4"]
    assert made.status["resolved"]["requestedAt"] == "2026-11-22T09:00:00Z"
    assert made.status["roomId"] == "RM_1"


def test_an_operator_killed_after_the_secret_goes_on_with_the_same_secret_and_job() -> None:
    first = decide(observed(of=recording()))
    again = decide(observed(of=recording(finalizer=True)))

    assert kinds(again.before) == [WriteSecret, CreateJob]
    assert again.before[0].part == first.before[1].part  # type: ignore[union-attr]
    assert again.status is not None
    assert first.status is not None
    assert again.status["resolved"] == first.status["resolved"]
    assert again.status["egressId"] == first.status["egressId"]


def test_an_operator_killed_after_the_job_adopts_it_instead_of_making_another() -> None:
    made = decide(observed(job(), pod(started=False, ip=""), of=recording(finalizer=True)))

    assert made.before == ()
    assert phase(made) == "Pending"
    assert made.status is not None
    assert made.status["jobName"] == job().name


def test_an_operator_killed_before_the_final_status_writes_it_from_the_same_evidence() -> None:
    seen = observed(job(), ended_pod(code=0, message=word()))

    assert decide(seen) == decide(seen)
    assert phase(decide(seen)) == "Complete"


# ---- the part waits or runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        ({"waiting_reason": "ImagePullFailed", "waiting_message": "no such image"}, "ImagePullFailed"),
        ({"waiting_reason": "Unschedulable", "waiting_message": "0/3 nodes are available"}, "Unschedulable"),
        ({}, "PodStarting"),
    ],
)
def test_a_pod_that_does_not_start_says_why(waiting: dict[str, str], reason: str) -> None:
    fresh = recording(finalizer=True, status=status("Pending"))
    made = decide(observed(job(), pod(started=False, ip="", **waiting), of=fresh))

    assert phase(made) == "Pending"
    assert condition(made, "Reconciling")["reason"] == reason


def test_what_the_events_say_goes_before_the_pods_own_reason() -> None:
    fresh = recording(finalizer=True, status=status("Pending"))
    diagnosis = Reason("MissingSecret", 'secret "keys" not found')
    made = decide(observed(job(), pod(started=False, ip=""), of=fresh, diagnosis=diagnosis))

    assert condition(made, "Ready")["reason"] == "MissingSecret"


def test_a_recorder_in_the_room_is_starting_and_ready_for_gitops() -> None:
    fresh = recording(finalizer=True, status=status("Pending"))
    made = decide(observed(job(), pod(), of=fresh, polled=said(Phase.STARTING, in_room=True), polled_part=1))

    assert phase(made) == "Starting"
    assert condition(made, "Ready")["status"] == "True"
    assert condition(made, "Reconciling") == {}
    assert made.event is not None
    assert made.event.reason == "Starting"


def test_a_recorder_that_cannot_be_reached_is_starting_after_ten_seconds() -> None:
    fresh = recording(finalizer=True, status=status("Pending"))

    assert phase(decide(observed(job(), pod(created=at(-11)), of=fresh))) == "Starting"
    assert phase(decide(observed(job(), pod(created=at(-5)), of=fresh))) == "Pending"


def test_readiness_alone_makes_a_recording_active() -> None:
    fresh = recording(finalizer=True, status=status("Starting"))
    made = decide(observed(job(), pod(ready=True), of=fresh))

    assert phase(made) == "Active"
    assert condition(made, "Recording")["status"] == "True"
    assert made.poll is not None


def test_an_interruption_does_not_show_ending_because_another_part_follows() -> None:
    word_ = said(Phase.ENDING, details="End reason: Interrupted")
    made = decide(observed(job(), pod(), polled=word_, polled_part=1))

    assert phase(made) == "Active"
    assert condition(made, "Recording")["status"] == "False"
    assert condition(made, "Recording")["reason"] == "Resuming"


def test_a_natural_end_shows_ending() -> None:
    word_ = said(Phase.ENDING, details="End reason: Source closed", message="uploading")
    made = decide(observed(job(), pod(), polled=word_, polled_part=1))

    assert phase(made) == "Ending"
    assert made.status is not None
    assert made.status["message"] == "uploading"


def test_what_a_poll_of_an_earlier_part_said_does_not_count_for_this_one() -> None:
    old = status(part=2, jobName=job(2).name)
    made = decide(
        observed(
            job(2), pod(2), of=recording(finalizer=True, status=old), polled=said(Phase.ENDING), polled_part=1
        )
    )

    assert phase(made) == "Active"


def test_the_last_word_of_a_recorder_is_acknowledged() -> None:
    made = decide(observed(job(), pod(), polled=said(Phase.COMPLETE), polled_part=1))

    assert made.poll is not None
    assert made.poll.acknowledge


def test_a_token_is_renewed_with_less_than_twelve_hours_left() -> None:
    resolved = status()["resolved"] | {"tokenExpiresAt": "2026-11-22T21:00:00Z"}
    made = decide(
        observed(job(), pod(ready=True), of=recording(finalizer=True, status=status(resolved=resolved)))
    )

    assert kinds(made.before) == [RenewToken]
    assert made.status is not None
    assert made.status["resolved"]["tokenExpiresAt"] == "2026-11-23T09:10:00Z"


def test_a_token_whose_expiry_was_never_written_is_as_old_as_its_job() -> None:
    old = status()
    del old["resolved"]["tokenExpiresAt"]
    seen = observed(job(created=at(-13 * 3600)), pod(ready=True), of=recording(finalizer=True, status=old))

    assert kinds(decide(seen).before) == [RenewToken]


# ---- stop and delete -----------------------------------------------------------------------------------------


def test_a_stop_is_latched_and_written_to_the_secret_once() -> None:
    asked = recording(finalizer=True, status=status(), desiredState="Stopped", generation=2)
    first = decide(observed(job(), pod(ready=True), of=asked))

    assert first.before == (WriteStop(2),)
    assert phase(first) == "Ending"
    assert first.poll is not None
    assert first.poll.stop_generation == 2
    assert first.status is not None
    again = decide(observed(job(), pod(ready=True), of=replace(asked, status=first.status)))
    assert again.before == ()


def test_a_stop_stays_latched_when_the_spec_goes_back_to_recording() -> None:
    old = status("Ending", stopRequestedAt="2026-11-22T09:05:00Z")
    back = recording(finalizer=True, status=old, desiredState="Recording", generation=3)
    made = decide(observed(job(), pod(ready=True), of=back))

    assert phase(made) == "Ending"
    assert condition(made, "StopLatched")["status"] == "True"
    assert "new resource" in condition(made, "StopLatched")["message"]


def test_a_stop_of_a_pod_that_never_started_takes_the_job_away() -> None:
    asked = recording(finalizer=True, status=status("Pending"), desiredState="Stopped")
    made = decide(observed(job(), pod(started=False, ip=""), of=asked))

    assert kinds(made.before) == [WriteStop, DeleteJob]


def test_after_the_job_of_a_stopped_recording_is_gone_it_is_aborted() -> None:
    old = status("Pending", stopRequestedAt="2026-11-22T09:05:00Z")
    asked = recording(finalizer=True, status=old, desiredState="Stopped")
    made = decide(observed(of=asked))

    assert phase(made) == "Aborted"
    assert kinds(made.after) == [DeleteSecret, RemoveFinalizer]


def test_deleting_a_running_recording_stops_it_and_keeps_the_object_until_the_file_is_there() -> None:
    going = recording(finalizer=True, status=status(), deleting=True, generation=2)
    made = decide(observed(job(), pod(ready=True), of=going))

    assert kinds(made.before) == [WriteStop]
    assert RemoveFinalizer not in kinds(made.after)
    over = decide(observed(job(), ended_pod(code=0, message=word()), of=going))
    assert phase(over) == "Complete"
    assert kinds(over.after) == [DeleteSecret, RemoveFinalizer]


def test_foreground_deletion_takes_the_uploaded_file_of_an_interrupted_recorder_as_complete() -> None:
    going = recording(finalizer=True, status=status(), deleting=True)
    gone = ended_pod(code=75, message=word(Phase.INTERRUPTED, details="End reason: Interrupted"), gone=True)
    made = decide(observed(gone, of=going))

    assert phase(made) == "Complete"
    assert kinds(made.after) == [DeleteSecret, RemoveFinalizer]


def test_a_deleted_recording_without_finalizer_is_left_alone() -> None:
    assert decide(observed(of=recording(deleting=True))) == Plan()


def test_deleting_a_finished_recording_needs_nothing() -> None:
    over = recording(status=status("Complete"), deleting=True, generation=2)

    assert decide(observed(of=over)) == Plan()


# ---- the part is over ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said_phase", "ready"),
    [(Phase.COMPLETE, "True"), (Phase.LIMIT_REACHED, "True"), (Phase.ABORTED, "True")],
)
def test_the_recorders_own_record_ends_the_recording(said_phase: Phase, ready: str) -> None:
    made = decide(observed(job(), ended_pod(code=0, message=word(said_phase))))

    assert phase(made) == said_phase.value
    assert condition(made, "Ready")["status"] == ready
    assert condition(made, "Finished") | {"status": "True", "reason": said_phase.value} == condition(
        made, "Finished"
    )
    assert kinds(made.after) == [ExpireJob, DeleteSecret, RemoveFinalizer]


def test_exit_code_zero_without_a_record_is_never_complete() -> None:
    made = decide(observed(job(), ended_pod(code=0)))

    assert phase(made) == "Active"
    assert CreateJob(2) in made.before
    assert made.status is not None
    assert made.status["parts"][0]["endReason"].startswith("Process killed")


def test_a_record_of_another_recording_is_no_record() -> None:
    made = decide(observed(job(), ended_pod(code=0, message=word(egress_id="EG_other"))))

    assert phase(made) == "Active"


@pytest.mark.parametrize(("code", "error_code"), [(64, 400), (65, 400), (77, 401), (78, 400)])
def test_a_final_exit_code_fails_without_another_part_even_without_a_record(
    code: int, error_code: int
) -> None:
    made = decide(observed(job(), ended_pod(code=code)))

    assert phase(made) == "Failed"
    assert made.status is not None
    assert made.status["errorCode"] == error_code
    assert made.before == ()
    assert made.event is not None
    assert made.event.type == "Warning"


def test_a_final_failure_carries_the_recorders_sentence_and_code() -> None:
    message = word(Phase.FAILED, media=False, error="track TR_x not found in room standup", error_code=404)
    made = decide(observed(job(), ended_pod(code=65, message=message)))

    assert made.status is not None
    assert (made.status["error"], made.status["errorCode"]) == ("track TR_x not found in room standup", 404)
    assert condition(made, "Stalled")["message"] == "track TR_x not found in room standup"


def test_a_configuration_that_cannot_be_parsed_fails_although_the_recorder_does_not_know_its_id() -> None:
    message = word(
        Phase.FAILED, media=False, egress_id="EG_unknown", error="config.json is invalid", error_code=400
    )
    made = decide(observed(job(), ended_pod(code=78, message=message)))

    assert made.status is not None
    assert made.status["error"] == "config.json is invalid"


@pytest.mark.parametrize(
    ("code", "reason"), [(137, "OOMKilled"), (70, "Error"), (75, "Error"), (255, "Error")]
)
def test_a_part_that_was_not_final_is_followed_by_the_next_one(code: int, reason: str) -> None:
    made = decide(observed(job(), ended_pod(code=code, end_reason=reason)))

    assert kinds(made.before) == [WriteSecret, CreateJob]
    assert phase(made) == "Active"
    assert condition(made, "Recording")["status"] == "False"
    assert made.status is not None
    assert made.status["retryCount"] == 1
    assert made.status["jobName"].endswith("-2")


def test_an_evicted_pod_without_a_container_state_is_followed_by_the_next_part() -> None:
    made = decide(observed(job(), pod(end_reason="Evicted", exit_code=None)))

    assert CreateJob(2) in made.before
    assert made.status is not None
    assert "Evicted" in made.status["parts"][0]["endReason"]


def test_the_next_part_takes_the_first_number_that_no_file_has() -> None:
    seen = observed(job(), ended_pod(code=75, message=word(Phase.INTERRUPTED, part=3)))

    assert CreateJob(4) in decide(seen).before


def test_a_next_part_is_made_only_from_a_live_view_of_all_jobs() -> None:
    made = decide(observed(job(), ended_pod(code=75, message=word(Phase.INTERRUPTED)), live=False))

    assert made == Plan(look_closer=True)


def test_absence_is_believed_only_when_it_was_read_from_the_server() -> None:
    assert decide(observed(live=False)) == Plan(look_closer=True)
    assert CreateJob(2) in decide(observed()).before


def test_a_part_that_never_had_media_backs_off_twice_as_long_each_time() -> None:
    fresh = status("Starting")
    waits = []
    for failures in range(8):
        old = recording(finalizer=True, status=fresh | ({"failures": failures} if failures else {}))
        message = word(Phase.FAILED, media=False, error="livekit does not answer", error_code=503)
        made = decide(observed(job(), ended_pod(code=69, message=message), of=old))
        assert made.before == ()
        waits.append(made.requeue)

    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_when_the_back_off_is_over_the_next_part_starts() -> None:
    old = status("Starting", failures=1, nextPartAt="2026-11-22T09:09:59Z")
    message = word(Phase.FAILED, media=False, error="livekit does not answer", error_code=503)
    made = decide(
        observed(job(), ended_pod(code=69, message=message), of=recording(finalizer=True, status=old))
    )

    assert CreateJob(2) in made.before
    assert made.status is not None
    assert "nextPartAt" not in made.status
    assert made.status["failures"] == 1


def test_the_budget_of_parts_ends_in_failed_with_the_last_error() -> None:
    old = recording(finalizer=True, status=status("Starting", part=3), limits={"maxParts": 3})
    message = word(Phase.FAILED, media=False, error="livekit does not answer", error_code=503)
    made = decide(observed(job(3), ended_pod(3, code=69, message=message), of=old))

    assert phase(made) == "Failed"
    assert made.status is not None
    assert made.status["errorCode"] == 503
    assert "limits.maxParts" in made.status["error"]
    assert "livekit does not answer" in made.status["error"]


def test_files_that_were_full_do_not_count_towards_the_budget() -> None:
    full = [
        {
            "part": part,
            "output": output,
            "filename": "a.mp4",
            "location": "l",
            "endReason": "Max file duration reached",
        }
        for part in (1, 2)
        for output in (0, 1)
    ]
    facts: dict[str, Any] = {}
    parts.absorb(facts, [Part(part=one["part"], output=one["output"], filename="a.mp4") for one in full])
    for _ in range(2):  # said again with each poll
        said = [
            Part(part=one["part"], output=one["output"], filename="a", end_reason=one["endReason"])
            for one in full
        ]
        parts.absorb(facts, said)
    parts.absorb(facts, [Part(part=3, output=0, filename="a-p3.mp4")])
    assert facts["fullFiles"] == 2
    old = recording(finalizer=True, status={**status("Active", part=1), **facts}, limits={"maxParts": 2})
    made = decide(observed(job(1), ended_pod(1, code=70, message=word(Phase.INTERRUPTED)), of=old))
    assert CreateJob(4) in made.before, "the fourth file is the second recorder's"
    assert (
        jobs.recorder_config(old, {**(made.status or {}), **facts}, part=4, settings=Settings()).max_parts
        == 4
    )
    strict = recording(finalizer=True, status={**status("Active", part=1), **facts}, limits={"maxParts": 1})
    assert (
        phase(decide(observed(job(1), ended_pod(1, code=70, message=word(Phase.INTERRUPTED)), of=strict)))
        == "Failed"
    )


def test_an_empty_room_that_was_closed_sends_the_recording_back_to_waiting() -> None:
    old = recording(finalizer=True, status=status("Starting"))
    message = word(Phase.ABORTED, media=False)
    made = decide(observed(job(), ended_pod(code=0, message=message), of=old, room=ABSENT))

    assert phase(made) == "Pending"
    assert condition(made, "Ready")["reason"] == "WaitingForRoom"
    assert made.status is not None
    assert made.status["roomWaits"] == 1


def test_after_a_stop_without_a_record_the_recording_is_failed_and_not_complete() -> None:
    old = status("Ending", stopRequestedAt="2026-11-22T09:05:00Z")
    seen = observed(
        job(), ended_pod(code=137), of=recording(finalizer=True, status=old, desiredState="Stopped")
    )
    made = decide(seen)

    assert phase(made) == "Failed"
    assert condition(made, "Stalled")["reason"] == "ResultUnknown"


def test_a_room_that_stays_away_between_two_parts_is_a_natural_end() -> None:
    message = word(Phase.INTERRUPTED)
    old = recording(finalizer=True, status=status(nextPartAt="2026-11-22T09:09:25Z"))
    seen = observed(job(), ended_pod(code=75, message=message), of=old, room=ABSENT)

    assert phase(decide(seen)) == "Complete"
    assert decide(seen, now=at(-10)).before == ()
    assert phase(decide(seen, now=at(-10))) == "Active"


def test_rejoin_timeout_lengthens_the_patience_between_two_parts() -> None:
    old = recording(finalizer=True, status=status(nextPartAt="2026-11-22T09:09:25Z"), rejoinTimeout="2m")
    seen = observed(job(), ended_pod(code=75, message=word(Phase.INTERRUPTED)), of=old, room=ABSENT)

    assert phase(decide(seen)) == "Active"
    assert phase(decide(seen, now=at(100))) == "Complete"


# ---- unreachable nodes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [{"unreachable_since": at(-61)}, {"deletion_deadline": at(-61)}])
def test_a_part_on_an_unreachable_node_is_superseded_after_a_minute(lost: dict[str, Any]) -> None:
    made = decide(observed(job(), pod(ready=False, **lost)))

    assert kinds(made.before) == [DeleteJob, WriteSecret, CreateJob]
    assert CreateJob(2) in made.before
    assert phase(made) == "Active"


@pytest.mark.parametrize(
    "slow", [{"unreachable_since": at(-30)}, {"deletion_deadline": at(-30)}, {"deletion_deadline": at(300)}]
)
def test_a_part_that_has_only_just_gone_silent_is_waited_for(slow: dict[str, Any]) -> None:
    made = decide(observed(job(), pod(ready=False, **slow)))

    assert made.before == ()


def test_a_waiting_recorder_that_falls_silent_for_a_minute_is_superseded() -> None:
    fresh = recording(finalizer=True, status=status("Starting"))
    word_ = said(Phase.STARTING, in_room=True)
    silent = observed(job(), pod(), of=fresh, polled=word_, polled_part=1, silent_seconds=61.0)

    assert kinds(decide(silent).before) == [DeleteJob, WriteSecret, CreateJob]
    assert decide(replace(silent, silent_seconds=59.0)).before == ()
    assert decide(replace(silent, pods=(pod(ready=True),))).before == ()


def test_an_operator_killed_between_the_next_job_and_the_status_still_notes_the_lost_part() -> None:
    old = status(parts=[{"part": 1, "output": 0, "filename": "standup/alice.mp4"}])
    seen = observed(
        job(1), job(2), ended_pod(1, code=137, end_reason="OOMKilled"), pod(2, started=False, ip=""),
        of=recording(finalizer=True, status=old),
    )  # fmt: skip
    made = decide(seen)

    assert made.status is not None
    assert "OOMKilled" in made.status["parts"][0]["endReason"]
    assert (made.status["part"], made.status["retryCount"]) == (2, 1)


def test_a_superseded_part_that_comes_back_adds_its_file() -> None:
    old = status(part=2, jobName=job(2).name)
    seen = observed(
        job(2),
        pod(2, ready=True),
        ended_pod(1, code=75, message=word(Phase.INTERRUPTED)),
        of=recording(finalizer=True, status=old),
    )
    made = decide(seen)

    assert made.status is not None
    first, second = made.status["parts"]
    assert first["location"] == "file:///x"
    assert (second["part"], second["filename"]) == (2, "standup/alice-p2.mp4")
    assert "endReason" not in second
    assert phase(made) == "Active"


# ---- after the end -------------------------------------------------------------------------------------------


def test_tidying_that_a_crash_interrupted_is_done_while_the_finalizer_is_there() -> None:
    over = recording(finalizer=True, status=status("Complete"))
    made = decide(observed(job(), of=over))

    assert kinds(made.after) == [ExpireJob, DeleteSecret, RemoveFinalizer]


def test_observed_generation_advances_also_after_the_end() -> None:
    over = recording(status=status("Complete", message="done"), generation=4, desiredState="Stopped")
    made = decide(observed(of=over))

    assert made.status is not None
    assert made.status["observedGeneration"] == 4
    assert (made.status["phase"], made.status["message"]) == ("Complete", "done")
    assert made.event is None


def test_a_finished_recording_is_not_written_again_without_a_reason() -> None:
    first = decide(observed(of=recording(status=status("Complete", message="done"))))
    assert first.status is not None
    again = decide(observed(of=recording(status=first.status)))

    assert again.status is None
