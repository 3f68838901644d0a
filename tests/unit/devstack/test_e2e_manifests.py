"""The objects of the end-to-end cluster: under Pod Security restricted, no secret but in a Secret, no image pulled."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.e2e import cluster, images, manifests, objectstore, release
from devstack.operatorprocess import REPOSITORY

pytestmark = pytest.mark.unit

SECRET = "a-secret-of-forty-characters-for-livekit"


def pods() -> list[dict[str, Any]]:
    """Pod specs of everything that these documents run in the cluster: operator and recorder come by the chart."""
    livekit, _service = manifests.livekit("livekit:1", "sha256:1")
    s3, _service = objectstore.server("s3:1", "sha256:1")
    return [
        livekit["spec"]["template"]["spec"],
        s3["spec"]["template"]["spec"],
        manifests.publisher("p", "publisher:1", room="r", identity="alice")["spec"],
    ]


def test_every_pod_is_what_pod_security_restricted_admits() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_every_namespace_enforces_it() -> None:
    labels = manifests.namespace("x")["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_none_of_them_gets_a_token_of_the_cluster_and_all_stay_off_the_workers() -> None:
    for pod in pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["nodeSelector"] == {"node-role.kubernetes.io/control-plane": ""}


def test_the_keys_are_in_secrets_and_in_no_other_object() -> None:
    operator, server = manifests.connection_secrets(api_key="APIkey", api_secret=SECRET)

    assert operator["stringData"] == {"api-key": "APIkey", "api-secret": SECRET}
    assert server["stringData"]["LIVEKIT_KEYS"] == f"APIkey: {SECRET}"
    assert SECRET not in json.dumps(pods())


def test_a_claim_is_bound_to_the_directory_of_its_own_namespace() -> None:
    volume, claim = manifests.claim("team-a", node="worker", path="/var/x")

    assert volume["spec"]["claimRef"] == {"namespace": "team-a", "name": claim["metadata"]["name"]}
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["local"]["path"] == "/var/x"


def test_no_image_is_tagged_latest_which_a_kubelet_would_pull() -> None:
    names = images.names()

    for name in (names.operator, names.recorder, names.livekit, names.publisher, names.s3):
        tag = name.rpartition(":")[2]
        assert tag not in {"", "latest", name}
        assert release.image_values(name)["tag"] == tag


def test_the_committed_cluster_has_two_workers_and_the_ports_that_the_services_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("E2E_WORKERS", raising=False)
    config = cluster.configuration()

    assert config == yaml.safe_load(cluster.KIND_CONFIG.read_text())
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    mapped = {mapping["containerPort"] for mapping in config["nodes"][0]["extraPortMappings"]}
    services = [manifests.livekit("x:1", "")[1], objectstore.server("x:1", "")[1]]
    assert mapped == {service["spec"]["ports"][0]["nodePort"] for service in services}


def test_e2e_workers_changes_their_number_and_refuses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2E_WORKERS", "3")
    assert [node["role"] for node in cluster.configuration()["nodes"]].count("worker") == 3

    monkeypatch.setenv("E2E_WORKERS", "0")
    with pytest.raises(cluster.E2EError, match="E2E_WORKERS"):
        cluster.configuration()


def test_changed_values_are_merged_and_leave_the_others_as_they_are() -> None:
    base = {"recorder": {"image": {"tag": "1"}, "resources": {}}, "list": [1, 2]}

    merged = release.merge(base, {"recorder": {"image": {"tag": "2"}}, "list": [3]})

    assert merged == {"recorder": {"image": {"tag": "2"}, "resources": {}}, "list": [3]}
    assert base["list"] == [1, 2]


def test_the_publisher_starts_with_the_modules_that_its_image_has(tmp_path: Path) -> None:
    for module in images.PUBLISHER_MODULES:
        target = tmp_path / "devstack" / module
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / "devstack" / module, target)
    command = [
        sys.executable,
        "-c",
        "import devstack.publisher, devstack.publishing; print(devstack.__file__)",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.startswith(str(tmp_path))
