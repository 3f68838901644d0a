"""Owns the scene of a whole-path test: a namespace and a room of its own on the session's stack."""

from __future__ import annotations

import secrets

import pytest

from devstack.stack import Stack
from support.scene import Scene


@pytest.fixture
def scene(stack: Stack, cluster_namespace: str) -> Scene:
    """A namespace with Secret and claim, and a room name that no other test uses."""
    return Scene(stack, cluster_namespace, f"room-{secrets.token_hex(4)}")
