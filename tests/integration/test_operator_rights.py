"""The operator's rights against the API server's audit log: it asks for nothing it may not, and may nothing it never asks.

A real operator under its own ServiceAccount goes through everything that an operator does, with both kinds, on a real
API server that audits each of its requests. Then what was used is compared with the chart's rules, right by right.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml

from devstack.audit import AuditLog, Request, Right, rights
from devstack.controlplane import ControlPlane
from devstack.kubeapi import ApiError, KubeApi, Object
from devstack.livekit import LiveKitServer
from devstack.operatorprocess import ACCOUNT, NAMESPACE, RULES_FILE, OperatorProcess
from devstack.process import wait_for
from devstack.s3 import S3Server
from devstack.stack import Stack
from egress_operator import names
from support.operator_scene import FAKE_RECORDER, OperatorScene, Shown, scene_in

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SETTINGS = FAKE_RECORDER | {"EGRESS_RESYNC_SECONDS": "5"}
RULES: list[Object] = yaml.safe_load(RULES_FILE.read_text())
KINDS = (names.PARTICIPANT_KIND, names.TRACK_COMPOSITE_KIND)
BY_ADMISSION = {Right(names.GROUP, f"{plural}/finalizers", "update") for plural in names.PLURALS.values()}
"""No request has this verb: the admission plugin OwnerReferencesPermissionEnforcement asks whether we might."""


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> AuditLog:
    return AuditLog(tmp_path_factory.mktemp("audit"), NAMESPACE)


@pytest.fixture(scope="module")
def audited(
    tmp_path_factory: pytest.TempPathFactory,
    livekit_server: LiveKitServer,
    s3_server: S3Server,
    audit: AuditLog,
) -> Iterator[Stack]:
    """A stack whose API server writes the audit log and enforces owner references; no operator runs in it."""
    directory = tmp_path_factory.mktemp("audited")
    stack = Stack(
        directory, livekit=livekit_server, s3=s3_server, with_operator=False, operator_settings=SETTINGS
    )
    admission = "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"
    stack.plane.arguments["kube-apiserver"] = (*audit.arguments(), admission)
    with stack:
        yield stack


@pytest.fixture
def scene(audited: Stack) -> Iterator[OperatorScene]:
    with scene_in(audited, "rights") as made:
        yield made


def forbidden(requests: list[Request]) -> list[str]:
    """Return the requests that were refused for want of a right; a quota refuses with 403 as well."""
    return [
        f"{request.right or request.uri} in {request.namespace or 'the cluster'}: {request.message}"
        for request in requests
        if not request.allowed or (request.code == 403 and "exceeded quota" not in request.message)
    ]


def unused(requests: list[Request]) -> set[str]:
    """Return the rights of the chart's rules that no request has used."""
    return {str(right) for right in rights(RULES) - BY_ADMISSION - {request.right for request in requests}}


def released(recording: Shown) -> None:
    recording.until(lambda _: not recording.body()["metadata"].get("finalizers"), "release", seconds=40)


# ---- the life of an operator -----------------------------------------------------------------------------------


def test_every_right_of_the_chart_is_used_and_no_other_is_asked_for(
    scene: OperatorScene, audit: AuditLog
) -> None:
    operator = scene.stack.operator
    operator.start()
    try:
        waiting = [scene.apply(f"waits-{number}", kind) for number, kind in enumerate(KINDS)]
        for recording in waiting:
            recording.until_reason("WaitingForRoom")
        scene.open_room()
        for recording in waiting:
            recording.until_phase("Active")
        # The control tokens are read anew by the operator that follows.
        operator.restart()
        _parts_and_the_end(waiting)
        _obstacles(scene)
        _deletions(scene)
        # The resync lists what the watches have shown already.
        time.sleep(6)
    finally:
        operator.stop()

    seen = audit.requests(ACCOUNT)
    assert len(seen) > 100
    assert forbidden(seen) == []
    assert unused(seen) == set()


def _parts_and_the_end(recordings: list[Shown]) -> None:
    """A pod is lost, the next part follows, the recording is stopped and tidied."""
    for recording in recordings:
        pod = recording.children("pods")[0]["metadata"]["name"]
        recording.api.delete("pods", recording.namespace, pod)
    for recording in recordings:
        recording.until(lambda s: s.get("part") == 2 and s.get("phase") == "Active", "part 2", seconds=40)
        recording.change(desiredState="Stopped")
    for recording in recordings:
        recording.until_phase("Complete", seconds=40)
        released(recording)


def _obstacles(scene: OperatorScene) -> None:
    """What keeps a recording from starting is diagnosed; a stop then takes the Job away."""
    server = scene.stack.livekit
    for number, kind in enumerate(KINDS):
        stuck = scene.apply(f"stuck-{number}", kind, template={"nodeSelector": {"disk": "gold"}})
        stuck.until_reason("Unschedulable")
        stuck.change(desiredState="Stopped")
        stuck.until_phase("Aborted")
        released(stuck)
        s3 = {"bucket": "b", "credentialsSecretRef": {"name": f"absent-{number}"}}
        unmounted = scene.apply(f"unmounted-{number}", kind, fileOutputs=[{"filepath": "x", "s3": s3}])
        unmounted.until_reason("MissingSecret")
        key = {"url": server.url, "credentialsSecretRef": {"name": f"key-{number}"}}
        foreign = scene.apply(f"foreign-{number}", kind, livekit=key)
        foreign.until_reason("MissingSecret")
        values = {"api-key": server.api_key, "api-secret": server.api_secret}
        scene.stack.api.create_secret(scene.namespace, f"key-{number}", values)
        foreign.until_phase("Active", seconds=45)
    path = f"/api/v1/namespaces/{scene.namespace}/resourcequotas"
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"secrets": "0", "count/jobs.batch": "0"}}}
    scene.stack.api.request("POST", path, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    time.sleep(1)
    scene.apply("unpaid").until_reason("QuotaExceeded", seconds=20)
    scene.stack.api.request("DELETE", f"{path}/none")


def _deletions(scene: OperatorScene) -> None:
    """Deleted while recording, in both ways, and by their own time to live."""
    for number, kind in enumerate(KINDS):
        for propagation in ("Background", "Foreground"):
            going = scene.apply(f"going-{number}-{propagation.lower()}", kind)
            going.until_phase("Active")
            going.delete(propagation)
            going.until_gone(seconds=40)
        expiring = scene.apply(f"expires-{number}", kind, ttlSecondsAfterFinished=2)
        expiring.until_phase("Active")
        expiring.change(desiredState="Stopped")
        expiring.until_gone(seconds=40)


def test_owning_jobs_and_secrets_needs_the_right_to_the_finalizers(scene: OperatorScene) -> None:
    plane = scene.stack.plane
    recording = scene.apply()
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": recording.kind,
        "name": recording.name,
        "uid": recording.body()["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "owned", "namespace": scene.namespace, "ownerReferences": [owner]},
    }
    path, dry = f"/api/v1/namespaces/{scene.namespace}/secrets", {"dryRun": "All"}
    lesser = [rule for rule in RULES if not any("/finalizers" in one for one in rule["resources"])]
    assert len(lesser) == len(RULES) - 1
    whole = KubeApi.from_kubeconfig(plane.service_account(NAMESPACE, "whole", RULES))
    without = KubeApi.from_kubeconfig(plane.service_account(NAMESPACE, "without", lesser))

    _until_allowed(whole, f"/apis/{names.API_VERSION}/participantegresses")
    _until_allowed(without, f"/apis/{names.API_VERSION}/participantegresses")
    assert whole.request("POST", path, body, query=dry)["metadata"]["name"] == "owned"
    with pytest.raises(ApiError, match="cannot set blockOwnerDeletion"):
        without.request("POST", path, body, query=dry)


def _until_allowed(api: KubeApi, path: str) -> None:
    """New RBAC rules are in force a moment after they were written."""

    def allowed() -> bool:
        try:
            return bool(api.request("GET", path))
        except ApiError as error:
            if error.status != 403:
                raise
            return False

    wait_for("the rules are in force", allowed)


# ---- a list of namespaces ----------------------------------------------------------------------------------------


class RolesOnly:
    """The control plane as the chart uses it with `watchNamespaces`: the rules as Roles there, no cluster-wide right."""

    account = "egress-operator-of-namespaces"

    def __init__(self, plane: ControlPlane, namespaces: tuple[str, ...]) -> None:
        self._plane, self._namespaces = plane, namespaces

    def service_account(self, namespace: str, _: str, rules: list[Object]) -> Path:
        """Return the kubeconfig of an account that has the rules in the namespaces only."""
        kubeconfig = self._plane.service_account(namespace, self.account, [])
        group = "rbac.authorization.k8s.io"
        subject = {"kind": "ServiceAccount", "name": self.account, "namespace": namespace}
        reference = {"apiGroup": group, "kind": "Role", "name": self.account}
        for where in self._namespaces:
            for kind, content in (
                ("Role", {"rules": rules}),
                ("RoleBinding", {"subjects": [subject], "roleRef": reference}),
            ):
                body = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": self.account}}
                path = f"/apis/{group}/v1/namespaces/{where}/{kind.lower()}s"
                self._plane.api.request("POST", path, {**body, **content})
        return kubeconfig


@pytest.fixture
def namespaces(audited: Stack) -> Iterator[tuple[str, ...]]:
    """Three: two that are served, one that is not."""
    made = [audited.prepare_namespace(f"roles-{secrets.token_hex(4)}") for _ in range(3)]
    yield tuple(made)
    for name in made:
        audited.api.delete("namespaces", "", name)


def test_with_a_list_of_namespaces_the_operator_needs_no_cluster_wide_right(
    audited: Stack, namespaces: tuple[str, ...], tmp_path: Path, audit: AuditLog
) -> None:
    served, other = namespaces[:2], namespaces[2]
    plane = cast("ControlPlane", RolesOnly(audited.plane, served))
    settings = {**SETTINGS, "WATCH_NAMESPACES": ",".join(served)}
    operator = OperatorProcess(plane, audited.livekit, tmp_path, settings=settings)
    operator.start()
    try:
        recordings = []
        for namespace in served:
            scene = OperatorScene(audited, namespace)
            scene.open_room()
            recordings += [scene.apply(f"r{number}", kind) for number, kind in enumerate(KINDS)]
        elsewhere = OperatorScene(audited, other, recordings_room(audited)).apply()
        for recording in recordings:
            recording.until_phase("Active")
            recording.change(desiredState="Stopped")
        for recording in recordings:
            recording.until_phase("Complete")
            released(recording)
        time.sleep(6)  # a resync
        assert operator.running
        assert "phase" not in elsewhere.status()
    finally:
        operator.stop()

    seen = audit.requests(RolesOnly.account)
    assert forbidden(seen) == []
    assert {request.namespace for request in seen if request.right} == set(served)


def recordings_room(stack: Stack) -> str:
    """Return the name of a room that exists."""
    scene = OperatorScene(stack, "")
    scene.open_room()
    return scene.room
