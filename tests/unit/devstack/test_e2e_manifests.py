"""The objects of the end-to-end cluster: under Pod Security restricted, no secret but in a Secret, no image pulled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devstack.e2e import images, manifests

pytestmark = pytest.mark.unit

SECRET = "a-secret-of-forty-characters-for-livekit"


def pods() -> list[dict[str, Any]]:
    """Pod specs of everything that runs in the cluster beside the recorder."""
    server, _service = manifests.livekit("livekit:1", "sha256:1")
    return [
        manifests.operator("operator:1", "sha256:1", "recorder:1")["spec"]["template"]["spec"],
        server["spec"]["template"]["spec"],
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


def test_only_the_operator_gets_a_token_of_the_cluster() -> None:
    operator, *others = pods()

    assert operator["serviceAccountName"] == manifests.OPERATOR
    assert all(pod["automountServiceAccountToken"] is False for pod in others)


def test_the_key_is_in_the_secret_and_in_no_other_object() -> None:
    secret = manifests.connection_secret("x", api_key="APIkey", api_secret=SECRET)

    assert secret["stringData"]["LIVEKIT_KEYS"] == f"APIkey: {SECRET}"
    assert SECRET not in json.dumps(pods())


def test_a_claim_is_bound_to_the_directory_of_its_own_namespace() -> None:
    volume, claim = manifests.claim("team-a", node="worker", path="/var/x")

    assert volume["spec"]["claimRef"] == {"namespace": "team-a", "name": claim["metadata"]["name"]}
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert volume["spec"]["local"]["path"] == "/var/x"


def test_no_image_is_tagged_latest_which_a_kubelet_would_pull() -> None:
    names = images.names()

    for name in (names.operator, names.recorder, names.livekit, names.publisher):
        tag = name.rpartition(":")[2]
        assert tag not in {"", "latest", name}
