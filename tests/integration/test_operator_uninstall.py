"""Definitions and operator taken away in either order, in mid-recording: files complete, nothing stuck, nobody blind."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.livekit import LiveKitServer
from devstack.process import wait_for
from devstack.s3 import S3Server
from devstack.stack import CRDS, Stack
from egress_operator import names
from support.operator_scene import FAKE_RECORDER, OperatorScene

pytestmark = pytest.mark.integration

DEFINITIONS = [f"{plural}.{names.GROUP}" for plural in names.PLURALS.values()]


@pytest.fixture
def scene(tmp_path: Path, livekit_server: LiveKitServer, s3_server: S3Server) -> Iterator[OperatorScene]:
    """A stack of its own: its definitions are deleted."""
    with Stack(tmp_path, livekit=livekit_server, s3=s3_server, operator_settings=FAKE_RECORDER) as stack:
        yield OperatorScene(stack, stack.prepare_namespace(f"un-{secrets.token_hex(4)}"))


def leftovers(scene: OperatorScene) -> list[str]:
    """Return the names of what recordings own and what is still there."""
    return [
        f"{kind}/{one['metadata']['name']}"
        for kind in ("jobs", "pods", "secrets")
        for one in scene.stack.api.list(kind, scene.namespace, labels=names.CHILD_SELECTOR)
    ]


def _all_gone(stack: Stack) -> bool:
    """Return whether both definitions are gone; plays the Deployment, which starts an operator that has ended."""
    if not stack.operator.running:
        stack.operator.start()
    return all(stack.api.find("customresourcedefinitions", "", name) is None for name in DEFINITIONS)


def test_deleting_the_definitions_finishes_what_runs_and_the_operator_does_not_stay_blind(
    scene: OperatorScene,
) -> None:
    stack = scene.stack
    scene.open_room()
    # The upload takes longer than the other kind's definition, which is gone at once.
    recording = scene.apply(identity="media=0.2,linger=25")
    waiting = scene.apply("waiting", roomName="never")
    recording.until_phase("Active")
    waiting.until_reason("WaitingForRoom")
    for name in DEFINITIONS:
        stack.api.delete("customresourcedefinitions", "", name)
    wait_for("the definitions are gone", lambda: _all_gone(stack) or None, timeout=90)
    assert [reason for _, reason in recording.events()][-1] == "Complete"
    wait_for("nothing is left", lambda: not leftovers(scene) or None, timeout=40)
    # It sees nothing any more and says so; its Deployment starts it again.
    wait_for("the operator has ended", lambda: not stack.operator.running or None, timeout=40)
    assert stack.operator.process.returncode == 1
    assert "a watch of the API server has ended" in stack.operator.log.read_text()

    stack.plane.apply_crds(CRDS)
    stack.operator.start()
    again = scene.apply("again")
    again.until_phase("Active", seconds=40)


def test_a_recording_that_outlives_the_operator_is_freed_by_one_command(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2")
    recording.until_phase("Active")
    scene.stack.operator.stop()
    recording.delete()
    assert recording.body()["metadata"]["finalizers"] == [names.FINALIZER]

    patch = {"metadata": {"finalizers": None}}
    scene.stack.api.request("PATCH", recording.path, patch, content_type="application/merge-patch+json")
    recording.until_gone()
    wait_for("nothing is left", lambda: not leftovers(scene) or None, timeout=40)


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_what_was_deleted_while_the_operator_was_away_ends_when_it_is_back(
    scene: OperatorScene, propagation: str
) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.2")
    recording.until_phase("Active")
    scene.stack.operator.kill()
    recording.delete(propagation)
    scene.stack.operator.start()

    recording.until_gone(seconds=40)
    wait_for("nothing is left", lambda: not leftovers(scene) or None, timeout=40)
