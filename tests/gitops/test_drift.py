"""What the operator does to an object is no drift for the tool that applied it, from Pending to Complete."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.gitops_repository import ARGO, FLUX, Tool, apply, examples, is_queued, kubectl, shown
from support.operator_scene import OperatorScene

pytestmark = pytest.mark.integration

Document = dict[str, Any]
VOLATILE = ("managedFields", "resourceVersion")
CHILDREN = ("jobs", "pods", "secrets")


def desired(body: Document) -> Document:
    """Return all of an object but its status and what every write changes."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in VOLATILE}
    return {**{key: value for key, value in body.items() if key != "status"}, "metadata": metadata}


def seen_and_applied_again(scene: OperatorScene, tool: Tool, manifest: Document) -> tuple[Document, Document]:
    """Return an object and what another apply would make of it, with no write of the operator in between."""
    recording = shown(scene, manifest)
    for _ in range(20):
        live = recording.body()
        again = apply(scene, tool, manifest, dry_run=True)
        if recording.body()["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]:
            return live, again
    raise AssertionError(f"{recording.name} never stands still: {live}")


def assert_no_drift(scene: OperatorScene, tool: Tool, manifest: Document) -> None:
    live, again = seen_and_applied_again(scene, tool, manifest)

    assert desired(again) == desired(live)
    assert live["spec"] == manifest["spec"]
    for marks in ("labels", "annotations"):
        assert live["metadata"].get(marks) == manifest["metadata"].get(marks)
    others = [entry for entry in live["metadata"]["managedFields"] if entry["manager"] != tool.manager]
    assert not [entry for entry in others if "f:spec" in entry["fieldsV1"]]


@pytest.mark.parametrize("tool", [FLUX, ARGO], ids=lambda tool: tool.name)
def test_the_examples_show_no_drift_through_their_whole_life(scene: OperatorScene, tool: Tool) -> None:
    manifests = [tool.marked(document, scene.namespace) for document in examples(scene)]
    assert len(manifests) >= 5
    for manifest in manifests:
        apply(scene, tool, manifest)
    for manifest in manifests:
        shown(scene, manifest).until_reason("WaitingForRoom")
        assert_no_drift(scene, tool, manifest)

    scene.open_room()
    for manifest in manifests:
        if is_queued(manifest):
            shown(scene, manifest).until_reason("Queued", seconds=60)
        else:
            shown(scene, manifest).until_phase("Active", seconds=60)
        assert shown(scene, manifest).body()["metadata"]["finalizers"]
        assert_no_drift(scene, tool, manifest)
        assert_children_belong_to_nobody_else(scene, tool, manifest)

    # The end by commit: the only change of a spec that GitOps needs.
    for manifest in manifests:
        manifest["spec"]["desiredState"] = "Stopped"
        apply(scene, tool, manifest)
    for manifest in manifests:
        status = shown(scene, manifest).until_phase("Complete", seconds=60)
        assert status["phase"] == ("Aborted" if is_queued(manifest) else "Complete")
        assert status["observedGeneration"] == 2
        assert_no_drift(scene, tool, manifest)


def assert_children_belong_to_nobody_else(scene: OperatorScene, tool: Tool, manifest: Document) -> None:
    """A mark that went on to a Job would make the tool take the Job for its own, and prune it."""
    marks = {mark for field in tool.marks(manifest, scene.namespace).values() for mark in field}
    assert marks
    recording = shown(scene, manifest)
    for plural in CHILDREN:
        children = recording.children(plural)
        assert children or (plural == "pods" and is_queued(manifest))
        for child in children:
            carried = {*child["metadata"].get("labels", {}), *child["metadata"].get("annotations", {})}
            assert not carried & marks


def pvc_example(scene: OperatorScene) -> Document:
    return next(document for document in examples(scene) if document["metadata"]["name"] == "alice-pvc")


def test_kubectl_diff_is_empty_after_a_client_side_apply(scene: OperatorScene) -> None:
    # Argo CD applies on the client's side unless it is told otherwise.
    manifest = ARGO.marked(pvc_example(scene), scene.namespace)
    text = json.dumps(manifest)
    recording = shown(scene, manifest)
    applied = kubectl(scene, "apply", "-f", "-", stdin=text)
    assert applied.returncode == 0, applied.stderr

    recording.until_reason("WaitingForRoom")
    assert_kubectl_sees_no_difference(scene, text)
    scene.open_room()
    recording.until_phase("Active")
    assert_kubectl_sees_no_difference(scene, text)
    recording.change(desiredState="Stopped")
    recording.until_phase("Complete")
    # The stop by hand is a field that the manifest does not name: nobody's drift either.
    assert_kubectl_sees_no_difference(scene, text)


def assert_kubectl_sees_no_difference(scene: OperatorScene, text: str) -> None:
    done = kubectl(scene, "diff", "-f", "-", stdin=text)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kubectl_diff_does_show_a_real_difference(scene: OperatorScene) -> None:
    manifest = ARGO.marked(pvc_example(scene), scene.namespace)
    applied = kubectl(scene, "apply", "-f", "-", stdin=json.dumps(manifest))
    assert applied.returncode == 0, applied.stderr
    manifest["spec"]["desiredState"] = "Stopped"

    done = kubectl(scene, "diff", "-f", "-", stdin=json.dumps(manifest))

    assert done.returncode == 1
    assert "desiredState: Stopped" in done.stdout
