"""Owns the handling of recordings in tests of the operator alone: real servers, recorders without media."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from livekit import api as livekit_api

from devstack.kubeapi import KubeApi
from devstack.livekit import LiveKitServer
from devstack.stack import Stack
from egress_operator import names

TERMINAL = {"Complete", "Failed", "Aborted", "LimitReached"}
# The program itself: the pod runner rewrites arguments below a mountPath, and a checkout may lie below /tmp.
FAKE_RECORDER = {
    "EGRESS_RECORDER_COMMAND": json.dumps([str(Path(__file__).parents[1] / "fakes" / "fake_recorder.py")])
}
"""Setting of an operator whose recorders take no media."""
PVC = {"pvc": {"claimName": "recordings"}}


@dataclass
class Shown:
    """One custom resource under test; `phases` holds what was seen of it, in order."""

    api: KubeApi
    kind: str
    namespace: str
    name: str
    phases: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"/apis/{names.API_VERSION}/namespaces/{self.namespace}/{names.PLURALS[self.kind]}/{self.name}"

    def body(self) -> dict[str, Any]:
        return self.api.request("GET", self.path)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.body().get("status") or {}
        phase = status.get("phase")
        if phase and phase not in self.phases[-1:]:
            self.phases.append(phase)
        return status

    def exists(self) -> bool:
        return self.api.find(names.PLURALS[self.kind], self.namespace, self.name) is not None

    def condition(self, name: str) -> dict[str, Any]:
        conditions = self.status().get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == name), {})

    def until(
        self, wanted: Callable[[dict[str, Any]], Any], what: str, *, seconds: float = 25
    ) -> dict[str, Any]:
        """Return the first status that is wanted. Raises AssertionError with the last one."""
        status: dict[str, Any] = {}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            status = self.status()
            if wanted(status):
                return status
            time.sleep(0.1)
        raise AssertionError(f"{self.name}: no {what} within {seconds} s: {status}")

    def until_phase(self, phase: str, *, seconds: float = 25) -> dict[str, Any]:
        return self.until(
            lambda status: (
                status.get("phase") == phase or (status.get("phase") in TERMINAL and phase in TERMINAL)
            ),
            phase,
            seconds=seconds,
        )

    def until_reason(self, reason: str, *, seconds: float = 25) -> str:
        """Return the message of the Ready condition when it has this reason."""
        self.until(lambda _: self.condition("Ready").get("reason") == reason, reason, seconds=seconds)
        return str(self.condition("Ready")["message"])

    def until_gone(self, *, seconds: float = 25) -> None:
        deadline = time.monotonic() + seconds
        while self.exists():
            assert time.monotonic() < deadline, f"{self.name} is still there: {self.body()}"
            time.sleep(0.1)

    def change(self, **spec: Any) -> None:
        self.api.request("PATCH", self.path, {"spec": spec}, content_type="application/merge-patch+json")

    def delete(self, propagation: str = "Background") -> None:
        self.api.request("DELETE", self.path, {"propagationPolicy": propagation})

    def children(self, plural: str) -> list[dict[str, Any]]:
        return self.api.list(
            plural, self.namespace, labels=f"{names.LABEL_UID}={self.body()['metadata']['uid']}"
        )

    def events(self) -> list[tuple[str, str]]:
        mine = self.api.list("events", self.namespace, fields=f"involvedObject.name={self.name}")
        return [
            (event["type"], event["reason"]) for event in sorted(mine, key=lambda e: e["metadata"]["name"])
        ]


@dataclass
class OperatorScene:
    """A namespace of a stack whose recorders are fakes."""

    stack: Stack
    namespace: str
    room: str = field(default_factory=lambda: f"room-{secrets.token_hex(4)}")

    def open_room(self, name: str = "") -> None:
        server: LiveKitServer = self.stack.livekit
        asyncio.run(_create_room(server, name or self.room))

    def apply(
        self,
        name: str = "alice",
        kind: str = names.PARTICIPANT_KIND,
        labels: dict[str, str] | None = None,
        **spec: Any,
    ) -> Shown:
        source = {"identity": "media=0.3"} if kind == names.PARTICIPANT_KIND else {"videoTrackId": "TR_video"}
        body = {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace, "labels": labels or {}},
            "spec": {
                "roomName": self.room,
                "fileOutputs": [{"filepath": "{room_name}/x", **PVC}],
                **source,
                **spec,
            },
        }
        path = f"/apis/{names.API_VERSION}/namespaces/{self.namespace}/{names.PLURALS[kind]}"
        self.stack.api.request("POST", path, body, query={"fieldValidation": "Strict"})
        return Shown(self.stack.api, kind, self.namespace, name)


async def _create_room(server: LiveKitServer, name: str) -> None:
    async with livekit_api.LiveKitAPI(server.url, server.api_key, server.api_secret) as client:
        await client.room.create_room(livekit_api.CreateRoomRequest(name=name, empty_timeout=600))


@contextmanager
def scene_in(stack: Stack, prefix: str) -> Iterator[OperatorScene]:
    """A namespace of its own; it goes at the end."""
    name = stack.prepare_namespace(f"{prefix}-{secrets.token_hex(4)}")
    yield OperatorScene(stack, name)
    stack.api.delete("namespaces", "", name)
