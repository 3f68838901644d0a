"""What a container's process is given."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from devstack.podrunner.environment import (
    ContainerConfigError,
    PodPaths,
    command_line,
    expand,
    resolve_environment,
)

pytestmark = pytest.mark.unit

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"a/b": "c"}},
    "spec": {"nodeName": "devstack"},
    "status": {"podIP": "127.77.0.1"},
}
PATHS = PodPaths(
    Path("/run/p/root"),
    ["/etc/egress/config", "/etc/egress/credentials/s3", "/scratch", "/dev/termination-log"],
)


def secret(**values: str) -> dict[str, Any]:
    return {
        "kind": "Secret",
        "data": {key: b64encode(value.encode()).decode() for key, value in values.items()},
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/scratch", "/run/p/root/scratch"),
        ("/scratch/a.mp4", "/run/p/root/scratch/a.mp4"),
        ("--out=/scratch/a", "--out=/run/p/root/scratch/a"),
        ("/scratches", "/scratches"),
        ("see /scratch", "see /scratch"),
        ("/dev/termination-log", "/run/p/root/dev/termination-log"),
        ("/dev", "/dev"),
        ("/etc/egress/credentials", "/run/p/root/etc/egress/credentials"),
        ("/etc/egress/", "/run/p/root/etc/egress/"),
        ("/etc/egress/other", "/etc/egress/other"),
        ("/etc", "/etc"),
    ],
)
def test_only_paths_of_mounts_and_directories_above_them_are_moved(text: str, expected: str) -> None:
    assert PATHS.rewrite(text) == expected


def test_variables_are_expanded_as_the_kubelet_does() -> None:
    assert expand("$(A)/$(B)/$$(A)/$A", {"A": "1"}) == "1/$(B)/$(A)/$A"


def test_a_container_without_command_runs_the_entrypoint_with_its_arguments() -> None:
    assert command_line({"args": ["--ip=$(IP)"]}, {"IP": "1"}, ["recorder"]) == ["recorder", "--ip=1"]
    assert command_line({"command": ["sh"], "args": ["-c"]}, {}, ["recorder"]) == ["sh", "-c"]


def test_every_source_of_a_variable_is_resolved() -> None:
    container = {
        "envFrom": [{"secretRef": {"name": "s"}, "prefix": "S_"}, {"configMapRef": {"name": "c"}}],
        "env": [
            {"name": "V", "value": "$(S_k)!"},
            {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "M", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "m"}}},
            {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "O", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k", "optional": True}}},
        ],
    }
    objects = {
        ("secrets", "s"): secret(k="1"),
        ("configmaps", "c"): {"kind": "ConfigMap", "data": {"m": "2"}},
    }
    found = resolve_environment(container, POD, lambda plural, name: objects.get((plural, name)))
    assert found == {"S_k": "1", "m": "2", "V": "1!", "K": "1", "M": "2", "L": "c", "IP": "127.77.0.1"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"secretKeyRef": {"name": "s", "key": "x"}}, "couldn't find key x in Secret n/s"),
        ({"fieldRef": {"fieldPath": "spec.magic"}}, "does not know the field spec.magic"),
        ({"resourceFieldRef": {"resource": "limits.cpu"}}, "does not know the env source resourceFieldRef"),
    ],
)
def test_what_is_missing_is_said_in_the_kubelets_words(source: dict[str, Any], message: str) -> None:
    container = {"env": [{"name": "V", "valueFrom": source}]}
    with pytest.raises(ContainerConfigError, match=message):
        resolve_environment(container, POD, lambda _, name: secret(k="1") if name == "s" else None)
