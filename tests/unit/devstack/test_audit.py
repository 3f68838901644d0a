"""Reading of the API server's audit log: one line is one decision about one right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devstack.audit import AuditLog, Right, rights

pytestmark = pytest.mark.unit


def line(account: str = "operator", decision: str = "allow", **fields: Any) -> str:
    event = {
        "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/a/pods",
        "verb": "list",
        "user": {"username": f"system:serviceaccount:system:{account}"},
        "objectRef": {"resource": "pods", "namespace": "a", "apiVersion": "v1"},
        "responseStatus": {"code": 200},
        "annotations": {"authorization.k8s.io/decision": decision},
    }
    return json.dumps(event | fields)


def requests(directory: Path, *lines: str) -> Any:
    log = AuditLog(directory, "system")
    log.file.write_text("\n".join(lines) + "\n")
    return log.requests("operator")


def test_rules_are_taken_apart_into_single_rights() -> None:
    rules = [{"apiGroups": ["batch"], "resources": ["jobs", "jobs/status"], "verbs": ["get", "patch"]}]

    assert rights(rules) == {
        Right("batch", resource, verb) for resource in ("jobs", "jobs/status") for verb in ("get", "patch")
    }


def test_a_request_names_group_subresource_and_verb(tmp_path: Path) -> None:
    reference = {"resource": "things", "subresource": "status", "apiGroup": "x.io", "namespace": "b"}
    (request,) = requests(tmp_path, line(objectRef=reference, verb="patch"))

    assert request.right == Right("x.io", "things/status", "patch")
    assert str(request.right) == "patch things/status.x.io"
    assert (request.namespace, request.allowed, request.code) == ("b", True, 200)


def test_a_refusal_keeps_the_servers_sentence(tmp_path: Path) -> None:
    status = {"code": 403, "message": "pods is forbidden"}
    (request,) = requests(tmp_path, line(decision="forbid", responseStatus=status))

    assert (request.allowed, request.code, request.message) == (False, 403, "pods is forbidden")


def test_other_accounts_discovery_and_a_line_that_is_being_written_do_no_harm(tmp_path: Path) -> None:
    seen = requests(tmp_path, line(account="other"), line(objectRef=None, requestURI="/api"), line()[:50])

    assert [(request.right, request.uri) for request in seen] == [(None, "/api")]


def test_the_policy_records_one_namespaces_accounts_and_no_bodies(tmp_path: Path) -> None:
    arguments = AuditLog(tmp_path / "made", "system").arguments()
    policy = (tmp_path / "made" / "audit-policy.yaml").read_text()

    assert f"--audit-log-path={tmp_path / 'made' / 'audit.log'}" in arguments
    assert "system:serviceaccounts:system" in policy
    assert "Request" not in policy.replace("RequestReceived", "")
