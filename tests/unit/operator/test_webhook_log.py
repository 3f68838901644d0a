"""status.webhooks: which change is an event, what is kept until when, and what the finalizer waits for."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import webhook_log
from egress_operator.model import AddFinalizer, DeleteSecret, Observed, RemoveFinalizer
from egress_operator.plan import plan
from egress_operator.units import format_time
from egress_operator.webhook_model import Delivered, Receiver
from egress_recorder.contract import Phase
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

ONE = Receiver("spec-0", "https://one.example.com/hook?token=hush")
TWO = Receiver("operator-1", "https://two.example.com")


def log(*events: tuple[int, str, str], sequence: int = 0, **receivers: int) -> dict[str, Any]:
    """Return status.webhooks with these events waiting."""
    return {
        "sequence": sequence or max((number for number, _, _ in events), default=0),
        "events": [
            {"sequence": number, "event": event, "status": state, "at": format_time(at(0))}
            for number, event, state in events
        ],
        "receivers": [
            {"receiver": name.replace("_", "-"), "origin": "https://x", "sequence": number}
            for name, number in receivers.items()
        ],
    }


def noted(
    old: dict[str, Any], new: dict[str, Any], *receivers: Receiver, **fields: Any
) -> dict[str, Any] | None:
    """Return status.webhooks after this change."""
    seen = observed(of=recording(status=old), receivers=receivers or (ONE,), **fields)
    document = {**old, **new}
    webhook_log.note(document, observed=seen, now=NOW)
    return document.get("webhooks")


def names(shown: dict[str, Any] | None) -> list[tuple[str, str]]:
    assert shown is not None
    return [(entry["event"], entry["status"]) for entry in shown["events"]]


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        ({}, "Pending", [("egress_started", "EGRESS_STARTING")]),
        ({}, "Active", [("egress_started", "EGRESS_STARTING"), ("egress_updated", "EGRESS_ACTIVE")]),
        ({}, "Failed", [("egress_started", "EGRESS_STARTING"), ("egress_ended", "EGRESS_FAILED")]),
        ("Pending", "Starting", []),
        ("Pending", "Pending", []),
        ("Starting", "Active", [("egress_updated", "EGRESS_ACTIVE")]),
        ("Active", "Active", []),
        ("Active", "Ending", [("egress_updated", "EGRESS_ENDING")]),
        ("Ending", "Ending", []),
        ("Ending", "Complete", [("egress_ended", "EGRESS_COMPLETE")]),
        ("Active", "Complete", [("egress_updated", "EGRESS_ENDING"), ("egress_ended", "EGRESS_COMPLETE")]),
        ("Active", "LimitReached", [("egress_ended", "EGRESS_LIMIT_REACHED")]),
        ("Starting", "Aborted", [("egress_ended", "EGRESS_ABORTED")]),
        ("Complete", "Complete", []),
    ],
)
def test_an_event_is_what_livekit_sends_at_a_change_of_its_status(
    before: Any, after: str, events: list[tuple[str, str]]
) -> None:
    old = {} if before == {} else {"phase": before, "webhooks": log(sequence=7, spec_0=7)}
    shown = noted(old, {"phase": after})

    assert names(shown) == events
    assert shown is not None
    assert shown["sequence"] == (7 if old else 0) + len(events)


def test_each_later_recorder_is_an_update() -> None:
    old = status("Active", webhooks=log(sequence=2, spec_0=2))

    assert names(noted(old, {"retryCount": 1})) == [("egress_updated", "EGRESS_ACTIVE")]
    assert names(noted({**old, "retryCount": 1}, {})) == []


def test_without_receivers_nothing_is_noted() -> None:
    seen = observed(of=recording(status={}))
    document = {"phase": "Pending"}
    webhook_log.note(document, observed=seen, now=NOW)

    assert document == {"phase": "Pending"}


def test_a_recording_that_was_over_before_there_were_receivers_tells_nothing() -> None:
    assert noted(status("Complete"), {"phase": "Complete"}) is None


def test_an_event_stays_until_the_last_receiver_has_it() -> None:
    old = status("Active", webhooks=log((1, "egress_started", ""), (2, "egress_updated", "")))
    shown = noted(old, {}, ONE, TWO, delivered={"spec-0": Delivered(2), "operator-1": Delivered(1)})

    assert shown is not None
    assert [entry["sequence"] for entry in shown["events"]] == [2]
    assert [(one["receiver"], one["sequence"]) for one in shown["receivers"]] == [
        ("spec-0", 2),
        ("operator-1", 1),
    ]
    assert "hush" not in str(shown)
    assert shown["receivers"][0]["origin"] == "https://one.example.com"


def test_when_too_many_wait_the_oldest_update_goes_and_neither_beginning_nor_end() -> None:
    waiting = [(1, "egress_started", ""), *((n, "egress_updated", "") for n in range(2, 9))]
    shown = noted(status("Ending", webhooks=log(*waiting)), {"phase": "Complete"})

    assert shown is not None
    assert [entry["sequence"] for entry in shown["events"]] == [1, 3, 4, 5, 6, 7, 8, 9]
    assert names(shown)[-1] == ("egress_ended", "EGRESS_COMPLETE")


def test_the_ending_tells_its_reason_as_livekit_does() -> None:
    old = status("Active", webhooks=log(sequence=2, spec_0=2))
    stopped = noted(old, {"phase": "Ending", "stopRequestedAt": "2026-11-22T09:00:00Z"})
    left = noted(old, {"phase": "Ending"}, polled=said(Phase.ENDING, details="End reason: Source closed"))

    missed = noted(old, {"phase": "Complete", "details": "End reason: Source closed"})

    assert stopped is not None
    assert left is not None
    assert missed is not None
    assert stopped["events"][0]["details"] == "End reason: StopEgress API"
    assert left["events"][0]["details"] == "End reason: Source closed"
    assert missed["events"][0]["details"] == "End reason: Source closed"


def test_what_the_status_says_of_a_receiver_holds_until_this_process_knows_more() -> None:
    written = {"webhooks": log(sequence=4, spec_0=3)}

    assert webhook_log.delivered(written, {}, "spec-0").sequence == 3
    assert webhook_log.delivered(written, {"spec-0": Delivered(4)}, "spec-0").sequence == 4
    assert webhook_log.delivered(written, {"spec-0": Delivered(1)}, "spec-0").sequence == 3
    assert webhook_log.delivered(written, {}, "another").sequence == 0


def test_an_event_is_tried_for_ten_minutes_and_in_a_deletion_for_one_after_the_end() -> None:
    shown = {"webhooks": log((3, "egress_updated", ""), (4, "egress_ended", ""))}
    update = {"at": format_time(at(-300))}

    assert webhook_log.give_up_at(update, shown, deleting=False) == at(300)
    assert webhook_log.give_up_at(update, shown, deleting=True) == at(60)
    assert webhook_log.give_up_at(update, {}, deleting=True) == at(300)


# ---- in plan ---------------------------------------------------------------------------------------------------


def test_the_first_status_comes_with_the_finalizer_where_somebody_is_to_be_told() -> None:
    waits = observed(of=recording(), room=ABSENT, receivers=(ONE,))

    made = plan(waits, now=NOW)
    assert made.before == (AddFinalizer(),)
    assert made.status is not None
    assert names(made.status["webhooks"]) == [("egress_started", "EGRESS_STARTING")]
    assert plan(observed(of=recording(), room=ABSENT), now=NOW).before == ()


def over(**fields: Any) -> Observed:
    """A recording whose end is written and waits to be told."""
    shown = status(
        "Complete",
        webhooks=log((4, "egress_ended", "EGRESS_COMPLETE"), spec_0=3),
        endedAt="2026-11-22T09:09:00Z",
    )
    defaults = {"receivers": (ONE,), "of": recording(finalizer=True, status=shown, **fields.pop("spec", {}))}
    return observed(job(has_ttl=True), **defaults | fields)


def test_the_end_is_tidied_at_once_and_the_finalizer_stays_until_it_is_told() -> None:
    shown = status("Ending", webhooks=log(sequence=3, spec_0=3))
    running = observed(
        job(),
        ended_pod(code=0, message=word()),
        of=recording(finalizer=True, status=shown),
        receivers=(ONE,),
    )

    made = plan(running, now=NOW)
    assert made.status is not None
    assert names(made.status["webhooks"]) == [("egress_ended", "EGRESS_COMPLETE")]
    assert DeleteSecret() in made.after
    assert RemoveFinalizer() not in made.after
    assert plan(over(), now=NOW).after == ()

    told = plan(over(delivered={"spec-0": Delivered(4)}), now=NOW)
    assert RemoveFinalizer() in told.after
    assert told.status is not None
    assert told.status["webhooks"] == log(sequence=4) | {
        "receivers": [{"receiver": "spec-0", "origin": ONE.origin, "sequence": 4}]
    }


def test_a_deleted_recording_waits_for_its_receivers_and_then_goes() -> None:
    assert plan(over(spec={"deleting": True}), now=NOW).after == ()
    told = plan(over(spec={"deleting": True}, delivered={"spec-0": Delivered(4, 1, "given up")}), now=NOW)
    assert told.after[-1] == RemoveFinalizer()
    assert told.status is None


def test_a_receiver_that_is_not_wanted_any_more_keeps_nothing() -> None:
    assert RemoveFinalizer() in plan(over(receivers=()), now=NOW).after


def test_how_far_receivers_are_is_no_reason_to_write_while_a_recording_runs() -> None:
    shown = status(
        "Active",
        webhooks=log((2, "egress_updated", "EGRESS_ACTIVE"), spec_0=1),
        updatedAt=format_time(at(-2)),
    )
    before = observed(job(), pod(ready=True), of=recording(finalizer=True, status=shown), receivers=(ONE,))
    settled = plan(before, now=NOW).status or shown
    again = observed(
        job(),
        pod(ready=True),
        of=recording(finalizer=True, status={**settled, "updatedAt": format_time(at(-2))}),
        receivers=(ONE,),
        delivered={"spec-0": Delivered(2)},
    )

    assert plan(again, now=NOW).status is None
    later = plan(again, now=at(9))
    assert later.status is not None
    assert later.status["webhooks"]["events"] == []
