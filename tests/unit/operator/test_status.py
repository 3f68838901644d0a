"""The status document: evidence is merged once, secrets never get in, numbers are written seldom."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_operator import facts, names
from egress_operator.model import Reason
from egress_operator.status import conclude, is_worth_writing, merge_patch
from egress_recorder.contract import Gap, Part, Phase, Progress, Track
from support.operator_builders import (
    NOW,
    at,
    ended_pod,
    job,
    observed,
    pod,
    recording,
    result,
    said,
    status,
    word,
)

pytestmark = pytest.mark.unit

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


def test_the_same_evidence_twice_changes_nothing() -> None:
    seen = observed(
        job(), ended_pod(code=0, message=word(gaps=(Gap(started_at=at(-9), duration=2, reason="x"),)))
    )
    once = facts.gather(seen)
    again = facts.gather(observed(*seen.jobs, *seen.pods, of=recording(finalizer=True, status=once)))

    assert again == once
    assert (once["partsCount"], once["gapsCount"], once["gapsDuration"]) == (1, 1, "2s")


def test_parts_are_known_by_output_and_number() -> None:
    parts = tuple(Part(part=1, output=output, filename=f"f{output}") for output in range(3))
    document = facts.gather(observed(job(), pod(), polled=said(parts=parts), polled_part=1))

    assert [(part["part"], part["output"]) for part in document["parts"]] == [(1, 0), (1, 1), (1, 2)]


def test_a_late_poll_does_not_take_the_end_of_a_part_away() -> None:
    running = said(parts=(Part(part=1, filename="standup/alice.mp4"),))
    over = facts.gather(observed(job(), ended_pod(code=0, message=word()), polled=running, polled_part=1))

    assert over["parts"][0]["endReason"] == "Source closed"
    assert over["parts"][0]["location"] == "file:///x"


def test_a_truncated_message_keeps_what_polls_had_told_before() -> None:
    track = Track(sid="TR_1", kind="audio")
    full = said(tracks=(track,), parts=(Part(part=1, filename="a", location="s3://a", end_reason="Killed"),))
    short = word(part=2, truncated=True)
    document = facts.gather(observed(job(), ended_pod(code=0, message=short), polled=full, polled_part=1))

    assert [part["part"] for part in document["parts"]] == [1, 2]
    assert document["tracks"] == [{"sid": "TR_1", "kind": "audio", "width": 0, "height": 0, "muted": False}]


def test_lists_keep_the_newest_fifty_and_count_all() -> None:
    gaps = tuple(Gap(started_at=at(number), duration=1, reason="x") for number in range(60))
    document = facts.gather(observed(job(), pod(), polled=said(gaps=gaps), polled_part=1))

    assert len(document["gaps"]) == 50
    assert (document["gapsCount"], document["gapsDuration"]) == (60, "1m0s")


def test_numbers_never_go_back() -> None:
    old = status(progress={"duration": "50s", "bytesWritten": 1})
    late = said(progress=Progress(duration=10.0, bytes_written=2))
    document = facts.gather(observed(job(), pod(), polled=late, polled_part=1, of=recording(status=old)))

    assert document["progress"] == {"duration": "50s", "bytesWritten": 1}


def test_names_and_instant_are_the_same_whenever_they_are_made() -> None:
    fresh = facts.gather(observed(of=recording()))

    assert fresh["egressId"] == names.egress_id(recording().uid)
    assert fresh["resolved"]["requestedAt"] == "2026-11-22T09:00:00Z"


def test_no_token_gets_into_a_status_whatever_a_recorder_says() -> None:
    evil = word(
        Phase.FAILED,
        error=f"connect failed: wss://u:p4ss@x/rtc?access_token={TOKEN}",
        details=TOKEN,
        message=TOKEN,
        manifest_location="https://b/?X-Amz-Signature=abc123def&X-Amz-Credential=AKIAABCDEFGHIJKLMNOP",
    )
    from egress_operator.plan import plan  # noqa: PLC0415 - the whole way is meant

    made = plan(observed(job(), ended_pod(code=65, message=evil)), now=NOW)
    assert made.status is not None
    text = str(made.status) + str(made.event)

    for hidden in ("eyJ", "p4ss", "abc123def", "AKIAABCDEFGHIJKLMNOP"):
        assert hidden not in text
    assert "connect failed" in text


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ("Pending", {"Ready": "False", "Reconciling": "True", "Recording": "False", "Finished": "False"}),
        ("Starting", {"Ready": "True", "Recording": "False", "Finished": "False"}),
        ("Active", {"Ready": "True", "Recording": "False", "Finished": "False"}),
        ("Ending", {"Ready": "True", "Recording": "False", "Finished": "False"}),
        ("Complete", {"Ready": "True", "Recording": "False", "Finished": "True"}),
        ("LimitReached", {"Ready": "True", "Recording": "False", "Finished": "True"}),
        ("Aborted", {"Ready": "True", "Recording": "False", "Finished": "True"}),
        ("Failed", {"Ready": "False", "Stalled": "True", "Recording": "False", "Finished": "True"}),
    ],
)
def test_conditions_follow_kstatus(phase: str, expected: dict[str, str]) -> None:
    seen = observed(of=recording(generation=3))
    document = conclude({}, observed=seen, now=NOW, phase=phase, reason=Reason("Because", "a sentence"))

    assert {one["type"]: one["status"] for one in document["conditions"]} == expected
    assert {one["observedGeneration"] for one in document["conditions"]} == {3}


def test_a_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    first = conclude({}, observed=observed(of=recording()), now=at(0), phase="Active", reason=Reason("A", ""))
    seen = observed(of=recording(status=first))
    second = conclude(dict(first), observed=seen, now=at(60), phase="Complete", reason=Reason("B", ""))
    times = {one["type"]: one["lastTransitionTime"] for one in second["conditions"]}

    assert times["Ready"] == "2026-11-22T09:10:00Z"
    assert times["Finished"] == "2026-11-22T09:11:00Z"


@pytest.mark.parametrize(
    ("old", "wanted", "shown"),
    [
        ("Active", "Pending", "Active"),
        ("Active", "Starting", "Active"),
        ("Active", "Ending", "Ending"),
        ("Ending", "Active", "Ending"),
        ("Ending", "Complete", "Complete"),
        ("Starting", "Pending", "Pending"),
    ],
)
def test_after_the_first_active_the_phase_only_goes_on(old: str, wanted: str, shown: str) -> None:
    seen = observed(of=recording(status=status(old)))
    document = conclude({}, observed=seen, now=NOW, phase=wanted, reason=Reason("R", ""))

    assert document["phase"] == shown


def test_numbers_are_written_every_ten_seconds_and_state_at_once() -> None:
    old = status(progress={"duration": "1s"}, updatedAt="2026-11-22T09:10:00Z")
    numbers = old | {"progress": {"duration": "2s"}}

    assert not is_worth_writing(old, numbers, at(9))
    assert is_worth_writing(old, numbers, at(10))
    assert not is_worth_writing(old, dict(old), at(999))
    assert is_worth_writing(old, old | {"phase": "Ending"}, at(0))


_documents = st.dictionaries(
    st.sampled_from("abcd"),
    st.recursive(
        st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2)),
        lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
        max_leaves=6,
    ),
)


def _apply(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result_ = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result_.pop(key, None)
        else:
            result_[key] = _apply(result_.get(key), value)
    return result_


@given(_documents, _documents)
def test_the_patch_turns_the_old_document_into_the_new_one(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert _apply(old, merge_patch(old, new)) == new


def test_a_result_survives_the_way_through_the_termination_message() -> None:
    assert word() == result().to_termination_message().decode()
