"""Owns the API server's audit log of the operator: the policy, the server's arguments, and what was asked for.

Metadata level: who wanted to do what, and whether RBAC allowed it. No bodies, so no Secret's content either.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_AUDIT = "audit.k8s.io/v1"
_DECISION = "authorization.k8s.io/decision"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """What RBAC decides about. ``resource`` holds the subresource too: ``participantegresses/status``."""

    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        """Return it as a sentence would name it."""
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the audited user; ``right`` is None for discovery, ``code`` 0 while a watch is open."""

    user: str
    right: Right | None
    namespace: str
    allowed: bool
    code: int
    message: str
    uri: str


def rights(rules: Iterable[Mapping[str, Any]]) -> set[Right]:
    """Return what RBAC rules grant, one by one."""
    return {
        Right(group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


class AuditLog:
    """The log of all ServiceAccounts of one namespace."""

    def __init__(self, directory: Path, namespace: str) -> None:
        self._directory = directory
        self._group = f"system:serviceaccounts:{namespace}"
        self.file = directory / "audit.log"

    def arguments(self) -> tuple[str, ...]:
        """Write the policy and return the kube-apiserver's arguments for it."""
        policy = {
            "apiVersion": _AUDIT,
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata", "userGroups": [self._group]}, {"level": "None"}],
        }
        self._directory.mkdir(parents=True, exist_ok=True)
        file = self._directory / "audit-policy.yaml"
        file.write_text(yaml.safe_dump(policy))
        # Blocking: a request that was answered is in the log.
        return (
            f"--audit-policy-file={file}",
            f"--audit-log-path={self.file}",
            "--audit-log-mode=blocking",
        )

    def requests(self, account: str) -> list[Request]:
        """Return the requests of one ServiceAccount so far, in the order of the log."""
        if not self.file.exists():
            return []
        events = (json.loads(line) for line in self.file.read_text().splitlines() if line.endswith("}"))
        return [_request(event) for event in events if event["user"]["username"].endswith(f":{account}")]


def _request(event: Mapping[str, Any]) -> Request:
    status = event.get("responseStatus") or {}
    return Request(
        user=event["user"]["username"],
        right=_right(event),
        namespace=(event.get("objectRef") or {}).get("namespace", ""),
        allowed=(event.get("annotations") or {}).get(_DECISION) != "forbid",
        code=status.get("code", 0) if event["stage"] == "ResponseComplete" else 0,
        message=status.get("message", ""),
        uri=event["requestURI"],
    )


def _right(event: Mapping[str, Any]) -> Right | None:
    reference = event.get("objectRef")
    if not reference:
        return None
    resource = "/".join(filter(None, (reference["resource"], reference.get("subresource", ""))))
    return Right(reference.get("apiGroup", ""), resource, event["verb"])
