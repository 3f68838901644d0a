"""Flux's and Argo CD's verdicts on objects of the real API server, which the real operator has worked on."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import pytest

from devstack import build, gotools
from egress_operator import names
from support.gitops_repository import kustomize
from support.gitops_tools import ARGOCD_CM, PAGES, PROGRAMS, ask, row_of, state_table
from support.operator_scene import OperatorScene, Shown

# The first run builds the programs when `make test` has not done it before.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


def verdicts(body: dict[str, Any]) -> tuple[str, str]:
    """Return what Flux and Argo CD say."""
    flux = ask(gotools.ensure(PROGRAMS / "kstatus"), [body])[0]
    argo = ask(gotools.ensure(PROGRAMS / "argohealth"), [body], str(ARGOCD_CM))[0]
    return flux.status, argo.status


def documented(phase: str, reason: str) -> tuple[str, str]:
    row = row_of(state_table(), (phase, reason))
    return row.flux, row.argo


def said(recording: Shown) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return what the page says of the object as it is now, and what the tools say."""
    body = recording.body()
    ready = next(one for one in body["status"]["conditions"] if one["type"] == names.READY)
    return documented(body["status"]["phase"], ready["reason"]), verdicts(body)


@pytest.mark.parametrize("kind", list(names.PLURALS))
def test_a_recording_from_apply_to_deletion(scene: OperatorScene, kind: str) -> None:
    source = {"identity": "join=0.5,media=1.5,linger=2"} if kind == names.PARTICIPANT_KIND else {}
    recording = scene.apply(kind=kind, **source)
    recording.until_reason("WaitingForRoom")
    expected, found = said(recording)
    assert found == expected == ("InProgress", "Suspended")

    scene.open_room()
    if kind == names.PARTICIPANT_KIND:  # the other fake has its media at once
        recording.until_phase("Starting")
        expected, found = said(recording)
        assert found == expected == ("Current", "Healthy")
    recording.until_phase("Active")
    expected, found = said(recording)
    assert found == expected == ("Current", "Healthy")

    recording.delete("Foreground")
    body = recording.body()
    assert verdicts(body) == documented("Active", "<deleted>")
    assert verdicts(body) == ("Terminating", "Progressing")
    recording.until_gone()


def test_an_ended_and_a_failed_recording(scene: OperatorScene) -> None:
    scene.open_room()
    ended = scene.apply("ended", identity="media=0.2,after=0.3")
    failed = scene.apply("failed", identity="media=0.2,after=0.3,end=failed")

    ended.until_phase("Complete")
    assert said(ended) == (("Current", "Healthy"), ("Current", "Healthy"))
    failed.until_phase("Failed")
    assert failed.status()["phase"] == "Failed"
    assert said(failed) == (("Failed", "Degraded"), ("Failed", "Degraded"))


def test_a_recording_that_no_operator_has_seen_is_not_taken_for_ready(scene: OperatorScene) -> None:
    scene.stack.operator.stop()
    try:
        body = scene.apply().body()
        assert verdicts(body) == documented("", "<not seen>")
        assert verdicts(body) == ("InProgress", "Progressing")
    finally:
        scene.stack.operator.start()


def test_the_commands_of_the_page_do_what_they_say(scene: OperatorScene) -> None:
    commands = re.search(
        r"^```sh e2e\n(.*?)^```", (PAGES / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert commands is not None
    stack = scene.stack
    environment = {
        **os.environ,
        "PATH": f"{stack.tools}{os.pathsep}{os.environ['PATH']}",
        "KUBECONFIG": str(stack.plane.kubeconfig),
        "GITOPS_NAMESPACE": f"{scene.namespace}-page",
    }

    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", commands[1]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_kustomization_of_the_page_gives_recordings_that_the_api_server_takes(
    scene: OperatorScene,
) -> None:
    documents = kustomize(build.binary("kubectl"), PAGES / "example")
    by_kind = {document["kind"]: document for document in documents}
    recording, claim, secret = (
        by_kind[kind] for kind in (names.PARTICIPANT_KIND, "PersistentVolumeClaim", "ExternalSecret")
    )

    outputs = recording["spec"]["fileOutputs"]
    assert outputs[0]["pvc"]["claimName"] == claim["metadata"]["name"] == "team-a-recordings"
    assert outputs[1]["s3"]["credentialsSecretRef"]["name"] == secret["metadata"]["name"] == "team-a-s3-keys"
    recording["metadata"]["namespace"] = scene.namespace
    path = f"/apis/{names.API_VERSION}/namespaces/{scene.namespace}/{names.PLURALS[names.PARTICIPANT_KIND]}"
    made = scene.stack.api.request("POST", path, recording, query={"fieldValidation": "Strict"})
    assert made["spec"] == recording["spec"]
