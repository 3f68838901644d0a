"""Owns the stack of the GitOps tests: the real API server and operator, recorders without media."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.livekit import LiveKitServer
from devstack.s3 import S3Server
from devstack.stack import Stack
from support.operator_scene import OperatorScene

FAKE = Path(__file__).resolve().parents[1] / "fakes" / "fake_recorder.py"


@pytest.fixture(scope="session")
def gitops_stack(
    tmp_path_factory: pytest.TempPathFactory, livekit_server: LiveKitServer, s3_server: S3Server
) -> Iterator[Stack]:
    """A stack of its own whose recorders are fakes."""
    settings = {"EGRESS_RECORDER_COMMAND": json.dumps([str(FAKE)])}
    directory = tmp_path_factory.mktemp("gitops")
    with Stack(directory, livekit=livekit_server, s3=s3_server, operator_settings=settings) as stack:
        yield stack


@pytest.fixture
def scene(gitops_stack: Stack) -> Iterator[OperatorScene]:
    """A namespace with the Secrets and the claim that the examples name, and a room of its own."""
    name = gitops_stack.prepare_namespace(f"gitops-{secrets.token_hex(4)}")
    server = gitops_stack.livekit
    keys = {"api-key": server.api_key, "api-secret": server.api_secret}
    gitops_stack.api.create_secret(name, "livekit-credentials", keys)
    yield OperatorScene(gitops_stack, name)
    gitops_stack.api.delete("namespaces", "", name)
