"""Owns the scene of a whole-path test (a namespace and a room of its own on the session's stack) and of a capture's."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.livekit import LiveKitServer
from devstack.process import free_port
from devstack.publisher import PublisherProcess
from devstack.stack import Stack
from devstack.streamservers import RtmpReceiver
from support.capture_process import publisher
from support.scene import Scene


@pytest.fixture
def scene(stack: Stack, cluster_namespace: str) -> Scene:
    """A namespace with Secret and claim, and a room name that no other test uses."""
    return Scene(stack, cluster_namespace, f"room-{secrets.token_hex(4)}")


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A room that no other test uses."""
    return f"{request.node.name}-{time.time_ns()}"


@pytest.fixture
def alice(livekit_server: LiveKitServer, room: str) -> Iterator[PublisherProcess]:
    """A participant of the room with camera and microphone."""
    with publisher(livekit_server, room) as process:
        yield process


@pytest.fixture
def rtmp(tmp_path: Path) -> Iterator[RtmpReceiver]:
    """A receiver of RTMP that keeps what arrives; only where nginx has its rtmp module."""
    place = tmp_path / "rtmp"
    place.mkdir()
    receiver = RtmpReceiver(place, free_port())
    receiver.start()
    yield receiver
    receiver.kill()
