"""A recorder that hangs, and a real kubelet's liveness probe; a module of its own, so that it runs beside the eviction."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from devstack.e2e import deploy
from devstack.e2e.deploy import kubectl
from support.kind_faults import KUBELET, event_messages, frozen_supervisor, next_pod
from support.kind_scene import KindScene
from support.kind_truth import accounts

pytestmark = [pytest.mark.e2e, pytest.mark.beside, pytest.mark.timeout(420)]

SECONDS = 6


def test_a_recorder_that_hangs_fails_its_liveness_probe_and_the_next_part_follows(
    kind_scene: KindScene, tmp_path: Path
) -> None:
    """Issue 4 §4: liveness failure of a real kubelet. Its kill waits for the grace period, the recording does not."""
    with kind_scene.publisher():
        recording = kind_scene.apply("ParticipantEgress", "alice", identity="alice")
        first_pod = recording.wait("condition=Recording")["podName"]
        time.sleep(SECONDS)
        with frozen_supervisor(deploy.get("pod", "--namespace", kind_scene.namespace, first_pod)):
            frozen = time.monotonic()
            # Long before the next part nobody claims any more that it records.
            recording.wait("condition=Recording=False", 30)
            next_pod(recording, first_pod, timeout=KUBELET)
            print(f"figure: hang_to_next_part_s={time.monotonic() - frozen:.0f}")
            time.sleep(SECONDS)
            recording.finish()

    assert any("Liveness" in message for message in event_messages(kind_scene.namespace, "Unhealthy"))
    [found] = accounts([recording], tmp_path)
    assert found.numbers == [2]
    assert found.killed == [1]
    kubectl("wait", "--for=delete", f"pod/{first_pod}", "--namespace", kind_scene.namespace, "--timeout=30s")
