"""Owns the logins of the devstack's cluster: kubeconfigs, ServiceAccounts with their rules, the key that signs tokens."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from devstack.kubeapi import Object

_P256_OID = bytes.fromhex("06082a8648ce3d030107")
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def write_kubeconfig(target: Path, *, server: str, ca: Path, user: str, token: str) -> Path:
    """Write a kubeconfig with one context, readable by its owner only, and return its path."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "devstack",
        "clusters": [{"name": "devstack", "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "devstack", "context": {"cluster": "devstack", "user": user}}],
    }
    target.touch(mode=0o600)
    target.write_text(yaml.safe_dump(document))
    return target


def account_objects(namespace: str, name: str, rules: Sequence[Object]) -> list[tuple[str, str, Object]]:
    """Return (plural, namespace, object) of a ServiceAccount with exactly these cluster-wide RBAC rules."""
    rbac = "rbac.authorization.k8s.io"
    metadata = {"name": f"{namespace}-{name}"}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": metadata["name"]}
    documents: list[tuple[str, str, str, dict[str, Any]]] = [
        ("namespaces", "", "v1 Namespace", {"metadata": {"name": namespace}}),
        ("serviceaccounts", namespace, "v1 ServiceAccount", {"metadata": {"name": name}}),
        ("clusterroles", "", f"{rbac}/v1 ClusterRole", {"metadata": metadata, "rules": list(rules)}),
        (
            "clusterrolebindings",
            "",
            f"{rbac}/v1 ClusterRoleBinding",
            {"metadata": metadata, "subjects": [subject], "roleRef": role},
        ),
    ]
    return [
        (plural, where, {"apiVersion": kind.split()[0], "kind": kind.split()[1], **body})
        for plural, where, kind, body in documents
    ]


def ec_private_key() -> str:
    """Return a new P-256 key as PEM (SEC 1), so that no openssl is needed; Go computes the public half itself."""
    scalar = (secrets.randbelow(_P256_ORDER - 1) + 1).to_bytes(32, "big")
    body = b"\x02\x01\x01\x04\x20" + scalar + b"\xa0" + bytes([len(_P256_OID)]) + _P256_OID
    text = base64.encodebytes(b"\x30" + bytes([len(body)]) + body).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{text}-----END EC PRIVATE KEY-----\n"
