"""The chart on a real API server: every combination is admitted, CRDs are upgraded and kept, pods meet Pod Security."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devstack import build, charts, chartschemas
from devstack.controlplane import ControlPlane
from devstack.kubeapi import KubeApi, Object
from devstack.process import wait_for
from egress_operator import names

pytestmark = pytest.mark.integration

RELEASE, SPACE = "egress", charts.NAMESPACE
NAME = "egress-livekit-egress-operator"
CRD = f"participantegresses.{names.GROUP}"
RECORDING = {
    "apiVersion": names.API_VERSION,
    "kind": names.PARTICIPANT_KIND,
    "metadata": {"name": "alice", "namespace": "meetings"},
    "spec": {
        "roomName": "standup",
        "identity": "alice",
        "fileOutputs": [{"pvc": {"claimName": "recordings"}}],
    },
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A cluster of its own without our CRDs, whose controllers also work on Deployments and aggregated roles."""
    charts.helm("version")  # built here, where no test's time runs out
    plane = ControlPlane(tmp_path_factory.mktemp("chart") / "control-plane")
    controllers = "deployment-controller,replicaset-controller,clusterrole-aggregation-controller"
    plane.arguments["kube-controller-manager"] = [f"--controllers={controllers}"]
    try:
        plane.start()
        for space in (SPACE, "meetings", "webinars"):
            plane.create_namespace(space)
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        plane.api.patch("namespaces", "", SPACE, {"metadata": {"labels": restricted}})
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def release(plane: ControlPlane) -> Iterator[Release]:
    """A release that is not installed yet, and is gone with its CRDs after the test."""
    release = Release(plane)
    yield release
    release.remove()


class Release:
    """`helm` with one release on the control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.api: KubeApi = plane.api

    def helm(self, *arguments: str | Path) -> str:
        """Run helm on the cluster. Raises ChartError."""
        return charts.helm(*arguments, f"--namespace={SPACE}", kubeconfig=self._plane.kubeconfig)

    def upgrade(self, *arguments: str | Path, chart: Path = charts.CHART) -> str:
        """`helm upgrade --install`, without waiting: there is no kubelet. Raises ChartError."""
        return self.helm("upgrade", "--install", RELEASE, chart, *arguments)

    def remove(self) -> None:
        """Uninstall, and delete the CRDs that the release has left."""
        self.helm("uninstall", RELEASE, "--ignore-not-found")
        for plural in names.PLURALS.values():
            self.api.delete("customresourcedefinitions", "", f"{plural}.{names.GROUP}")
        wait_for("the CRDs are gone", lambda: not self.definitions())

    def definitions(self) -> dict[str, Object]:
        """Our CRDs by name."""
        found = self.api.list("customresourcedefinitions")
        return {crd["metadata"]["name"]: crd for crd in found if crd["spec"]["group"] == names.GROUP}


def test_without_any_value_it_installs_and_says_what_is_missing(release: Release) -> None:
    said = release.upgrade()

    assert "STATUS: deployed" in said
    assert "NoConnection" in said
    assert set(release.definitions()) == {f"{plural}.{names.GROUP}" for plural in names.PLURALS.values()}
    assert release.api.get("deployments", SPACE, NAME)["spec"]["replicas"] == 1


def test_the_operators_pod_is_admitted_where_pod_security_enforces_restricted(release: Release) -> None:
    everything = next(path for path in charts.values_files() if path.name.startswith("cluster"))
    release.upgrade(f"--values={everything}")

    def pods() -> list[Object]:
        return release.api.list("pods", SPACE, labels=f"app.kubernetes.io/instance={RELEASE}")

    wait_for("the operator's pod exists", lambda: bool(pods()))
    (pod,) = pods()
    assert pod["spec"]["serviceAccountName"] == NAME


def test_an_upgrade_brings_changed_crds(release: Release, tmp_path: Path) -> None:
    release.upgrade()
    newer = tmp_path / "chart"
    shutil.copytree(charts.CHART, newer)
    path = newer / "files" / "crds" / "participantegresses.yaml"
    crd = yaml.safe_load(path.read_text())
    column = {"name": "New", "type": "string", "jsonPath": ".spec.roomName"}
    crd["spec"]["versions"][0]["additionalPrinterColumns"].append(column)
    path.write_text(yaml.safe_dump(crd))

    release.upgrade(chart=newer)

    columns = release.definitions()[CRD]["spec"]["versions"][0]["additionalPrinterColumns"]
    assert columns[-1] == column


def test_uninstalling_keeps_crds_and_recordings_and_a_new_release_takes_them_over(release: Release) -> None:
    release.upgrade()
    wait_for("recordings can be created", lambda: served(release.api))
    release.api.apply("participantegresses", "meetings", RECORDING)

    said = release.helm("uninstall", RELEASE)

    assert f"[CustomResourceDefinition] {CRD}" in said
    assert release.api.find("deployments", SPACE, NAME) is None
    assert release.api.find("participantegresses", "meetings", "alice") is not None
    assert "STATUS: deployed" in release.upgrade()
    assert release.api.find("participantegresses", "meetings", "alice") is not None


def served(api: KubeApi) -> bool:
    """Whether the API server serves our kinds already."""
    return api.find("customresourcedefinitions", "", CRD) is not None and any(
        item["type"] == "Established" and item["status"] == "True"
        for item in api.get("customresourcedefinitions", "", CRD).get("status", {}).get("conditions") or []
    )


def test_without_keep_uninstalling_removes_the_crds(release: Release) -> None:
    release.upgrade("--set=crds.keep=false")

    release.helm("uninstall", RELEASE)

    wait_for("the CRDs are gone", lambda: not release.definitions())


def test_with_install_false_the_crds_are_someone_elses(release: Release) -> None:
    release.upgrade("--set=crds.install=false")

    assert not release.definitions()


def test_whoever_may_edit_a_namespace_may_make_recordings_there(release: Release) -> None:
    release.upgrade()

    def verbs(role: str) -> set[str]:
        rules = release.api.get("clusterroles", "", role).get("rules") or []
        return {verb for rule in rules if names.GROUP in rule.get("apiGroups", ()) for verb in rule["verbs"]}

    wait_for("the roles are aggregated", lambda: "create" in verbs("edit") & verbs("admin"))
    wait_for("the roles are aggregated", lambda: verbs("view") == {"get", "list", "watch"})


@pytest.mark.parametrize("path", charts.values_files(), ids=lambda path: path.stem)
def test_every_combination_is_admitted_by_the_real_api_server(plane: ControlPlane, path: Path) -> None:
    kubectl = build.ensure("kubectl")["kubectl"]
    access = f"--kubeconfig={plane.kubeconfig}"
    crds = [f"--filename={crd}" for crd in chartschemas.monitoring_crds()]
    charts.run(kubectl, access, "apply", "--server-side", *crds)
    charts.run(kubectl, access, "wait", "--for=condition=Established", "--timeout=60s", *crds)

    documents = charts.template(path)
    # A pod needs its account to be there, and a dry run makes none.
    for account in (document for document in documents if document["kind"] == "ServiceAccount"):
        plane.api.apply("serviceaccounts", account["metadata"]["namespace"], account)

    said = charts.run(
        *(kubectl, access, "apply", "--server-side", "--force-conflicts", "--dry-run=server"),
        *("--validate=strict", "--filename=-"),
        stdin=yaml.safe_dump_all(documents),
    )

    assert len(said.splitlines()) == len(documents)
