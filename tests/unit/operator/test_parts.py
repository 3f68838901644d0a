"""What status says of files: why they ended, and which of them died with their recorder."""

from __future__ import annotations

from typing import Any

import pytest

from egress_operator import facts, parts, views
from egress_operator.model import Plan
from egress_operator.plan import plan
from egress_operator.units import format_time
from egress_recorder.contract import FileResult, Part, Phase
from support.operator_builders import NOW, at, ended_pod, job, observed, pod, recording, result, said

pytestmark = pytest.mark.unit

CLOSED = Part(part=1, filename="a.mp4", started_at=at(-50), ended_at=at(-2), end_reason="Interrupted")
"""A file that was closed; its upload had not succeeded when its recorder said this."""


def shown(made: Plan) -> dict[str, Any]:
    """The only part of a plan's status."""
    assert made.status is not None
    [part] = made.status["parts"]
    return dict(part)


def interrupted(**fields: Any) -> str:
    """The termination message of a recorder that was told to go and has uploaded its file."""
    done = CLOSED.model_copy(update={"location": "s3://a.mp4"})
    return result(Phase.INTERRUPTED, parts=(done,), **fields).to_json()


def test_a_closed_file_whose_recorder_died_before_its_upload_is_lost() -> None:
    seen = observed(
        job(), ended_pod(code=255, end_reason="Unknown"), polled=said(parts=(CLOSED,)), polled_part=1
    )
    part = shown(plan(seen, now=NOW))

    assert part["endReason"] == f"Process killed: pod {pod().name} ended: Unknown, exit code 255"
    assert part["endedAt"] == format_time(at(-2))
    assert "location" not in part


def test_a_late_poll_does_not_bring_a_lost_file_back() -> None:
    over = plan(observed(job(), ended_pod(code=137), polled=said(parts=(CLOSED,)), polled_part=1), now=NOW)
    assert over.status is not None
    later = observed(
        job(), pod(), polled=said(parts=(CLOSED,)), polled_part=1, of=recording(status=over.status)
    )

    [part] = facts.gather(later)["parts"]
    assert part["endReason"].startswith("Process killed")


def test_a_file_that_was_uploaded_after_all_is_not_lost() -> None:
    over = plan(observed(job(), ended_pod(code=137), polled=said(parts=(CLOSED,)), polled_part=1), now=NOW)
    assert over.status is not None
    back = said(parts=(CLOSED.model_copy(update={"location": "s3://a.mp4"}),))
    later = observed(job(), pod(), polled=back, polled_part=1, of=recording(status=over.status))

    [part] = facts.gather(later)["parts"]
    assert (part["endReason"], part["location"]) == ("Interrupted", "s3://a.mp4")


@pytest.mark.parametrize(
    ("end_reason", "wanted"),
    [
        ("Evicted", f"Interrupted: pod {pod().name} ended: Evicted, exit code 75"),
        (
            "EvictionByEvictionAPI",
            f"Interrupted: pod {pod().name} ended: EvictionByEvictionAPI, exit code 75",
        ),
        ("Error", "Interrupted"),
    ],
)
def test_an_interruption_is_told_with_its_cause_where_the_pod_knows_one(end_reason: str, wanted: str) -> None:
    over = ended_pod(code=75, message=interrupted(), end_reason=end_reason)

    assert shown(plan(observed(job(), over), now=NOW))["endReason"] == wanted


def test_the_cause_of_an_interruption_outlives_the_words_of_the_next_recorder() -> None:
    over = ended_pod(code=75, message=interrupted(), end_reason="Evicted")
    first = plan(observed(job(), over), now=NOW).status
    assert first is not None
    uploaded = CLOSED.model_copy(update={"location": "s3://a.mp4"})
    second = observed(
        job(2), pod(2), polled=said(parts=(uploaded,)), polled_part=2, of=recording(status=first)
    )

    [part] = facts.gather(second)["parts"]
    assert "Evicted" in part["endReason"]


@pytest.mark.parametrize(("own", "wanted"), [("Error", "EvictionByEvictionAPI"), ("OOMKilled", "OOMKilled")])
def test_who_disrupted_a_pod_says_more_than_error_and_less_than_oom(own: str, wanted: str) -> None:
    body = {
        "metadata": {"uid": "u", "name": "p", "labels": {}, "creationTimestamp": "2026-11-22T10:00:00Z"},
        "status": {
            "phase": "Failed",
            "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}],
            "containerStatuses": [{"state": {"terminated": {"exitCode": 75, "reason": own}}}],
        },
    }

    assert views.pod(body).end_reason == wanted


SIGNED = "https://b.s3.amazonaws.com/a.mp4?X-Amz-Credential=AKIA0123456789ABCDEF&X-Amz-Signature=0123abcd"


def test_a_presigned_location_stays_whole_in_the_file_results_and_is_nowhere_else() -> None:
    word = result(Phase.COMPLETE)
    [file] = word.file_results
    word = word.model_copy(update={"file_results": (file.model_copy(update={"presigned": SIGNED}),)})

    made = plan(observed(job(), ended_pod(code=0, message=word.to_json())), now=NOW)

    assert made.status is not None
    assert made.status["fileResults"][0]["location"] == SIGNED
    assert str(made.status).count("X-Amz-Signature") == 1
    assert "X-Amz" not in f"{made.event} {made.notices} {file.model_copy(update={'presigned': SIGNED})!r}"


def test_a_location_that_is_too_long_for_the_status_is_the_plain_one() -> None:
    file = FileResult(filename="a", location="https://b/a.mp4", presigned="https://b/?" + "x" * 5000)

    assert parts.file_result(file)["location"] == "https://b/a.mp4"


def test_what_only_a_poll_told_of_an_evicted_recorder_is_explained_by_its_pod() -> None:
    """Seen on kind: the kubelet had removed the container before its message was read (ContainerStatusUnknown)."""
    stored = CLOSED.model_copy(update={"location": "s3://a.mp4"})
    seen = observed(
        job(),
        ended_pod(code=137, end_reason="Evicted"),
        polled=said(Phase.INTERRUPTED, parts=(stored,)),
        polled_part=1,
    )
    made = plan(seen, now=NOW)
    part = shown(made)
    assert part["endReason"] == f"Interrupted: pod {pod().name} ended: Evicted, exit code 137"
    assert part["location"] == "s3://a.mp4"

    # The next part's own interruption is another one.
    second = stored.model_copy(update={"part": 2})
    assert made.status is not None
    later = observed(
        job(),
        job(2),
        ended_pod(code=137, end_reason="Evicted"),
        pod(2),
        polled=said(Phase.INTERRUPTED, parts=(stored, second)),
        polled_part=2,
        of=recording(status=made.status),
    )
    reasons = [one["endReason"] for one in facts.gather(later)["parts"]]
    assert reasons == [part["endReason"], "Interrupted"]
