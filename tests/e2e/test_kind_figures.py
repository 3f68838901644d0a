"""How long a user waits on a real cluster: from `kubectl apply` to Active, and for the operator after its start."""

from __future__ import annotations

import statistics
import time

import pytest

from egress_operator.units import parse_time
from support import kind_watch
from support.kind_scene import KindScene

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

APPLY_TO_ACTIVE_LIMIT = 6.0
READY_LIMIT = 5.0


@pytest.mark.usefixtures("shared_publisher", "undisturbed_shared")
def test_a_recording_of_a_present_participant_is_active_six_seconds_after_apply(
    shared_scene: KindScene,
) -> None:
    seconds = []
    for number in range(5):
        applied = time.monotonic()
        recording = shared_scene.apply("ParticipantEgress", f"start-{number}", identity="alice")
        recording.wait("jsonpath={.status.phase}=Active")
        seconds.append(time.monotonic() - applied)
        recording.kubectl("delete", "--timeout=60s")

    print("apply to Active: " + ", ".join(f"{value:.1f}" for value in seconds) + " s")
    print(f"figure: apply_to_active_s={statistics.median(seconds):.1f}")
    assert statistics.median(seconds) <= APPLY_TO_ACTIVE_LIMIT


def test_the_operator_is_ready_five_seconds_after_its_start(kind_cluster: None) -> None:
    [pod] = kind_watch.operator_pods()
    [state] = pod["status"]["containerStatuses"]
    started = parse_time(state["state"]["running"]["startedAt"])
    conditions = {condition["type"]: condition for condition in pod["status"]["conditions"]}
    ready = parse_time(conditions["Ready"]["lastTransitionTime"])

    print(f"figure: operator_ready_s={(ready - started).total_seconds():.0f}")
    assert (ready - started).total_seconds() <= READY_LIMIT
