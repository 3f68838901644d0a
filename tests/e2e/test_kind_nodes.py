"""What happens to nodes and to pods on them in mid-recording, by a real kubelet; the status tells the truth of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from egress_recorder.contract import EndReason
from support.kind_faults import (
    KUBELET,
    drained,
    event_messages,
    next_pod,
    restart_node,
    wait_node,
    wait_operator,
)
from support.kind_scene import KindScene
from support.kind_truth import accounts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

SECONDS = 6


def test_a_drained_node_uploads_the_file_up_to_then_and_the_recording_goes_on_elsewhere(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    """Issue 4 §4: node drained while recording, the file up to then is uploaded, it goes on elsewhere."""
    with kind_scene.publisher():
        recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice")
        first_pod = recording.wait("condition=Recording")["podName"]
        node = recording.node()
        time.sleep(SECONDS)
        with drained(node) as said:
            assert f"pod/{first_pod} evicted" in said
            # kubectl has waited for the pod's end: what it recorded is in the bucket.
            assert kind_scene.stored()
            next_pod(recording, first_pod)
            assert recording.node() != node
            time.sleep(SECONDS)
            recording.finish()

    [found] = accounts([recording], tmp_path)
    assert found.numbers == [1, 2]
    assert found.lost == ()
    assert all(report.duration >= SECONDS - 1 for _, report in found.kept)
    assert EndReason.INTERRUPTED.value in found.reasons
    print(f"figure: drain_lost_s={found.holes[0]:.1f}")
    wait_operator()


def test_a_restarted_node_is_told_as_a_lost_part_and_the_recording_goes_on(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    """Issue 4 §4: node container restarted; of its part there is at most what was uploaded, and the status says so."""
    with kind_scene.publisher():
        recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice")
        first_pod = recording.wait("condition=Recording")["podName"]
        node = recording.node()
        time.sleep(SECONDS)
        restart_node(node)
        next_pod(recording, first_pod, timeout=KUBELET)
        time.sleep(SECONDS)
        status = recording.finish()
    wait_node(node)
    wait_operator()

    [found] = accounts([recording], tmp_path)
    assert found.numbers == [2]
    assert found.killed == [1]
    assert status["gaps"]
    [(part, second)] = found.kept
    # The result is the newest part's file; what there is of the killed one stands in `parts`.
    assert [result["filename"] for result in status["fileResults"]] == [part["filename"]]
    assert second.duration >= SECONDS - 1
    print(f"figure: node_restart_lost_s={second.counted()[0] / 30:.1f}")


@pytest.mark.beside
def test_an_evicted_recorder_is_followed_by_the_next_part_and_the_status_says_why(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    """Issue 4 §4: eviction by a real kubelet, here for more scratch than the limit allows."""
    with kind_scene.publisher():
        recording = kind_scene.apply(
            "ParticipantEgress",
            "alice",
            identity="alice",
            template={"resources": {"limits": {"ephemeral-storage": "1Mi"}}},
        )
        first_pod = recording.wait("condition=Recording")["podName"]
        # The template applies to the next part: that one has room enough.
        roomy = '{"spec":{"template":{"resources":{"limits":{"ephemeral-storage":"5Gi"}}}}}'
        recording.kubectl("patch", "--type=merge", "--patch", roomy)
        next_pod(recording, first_pod, timeout=KUBELET)
        time.sleep(SECONDS)
        status = recording.finish()

    [evicted] = event_messages(kind_scene.namespace, "Evicted")
    assert "ephemeral" in evicted
    [found] = accounts([recording], tmp_path)
    # One second is all that this eviction leaves: the recorder makes it or it does not, but the status is true.
    assert found.numbers in ([1, 2], [2])
    assert "Evicted" in found.reasons, status
    assert status["gaps"]
