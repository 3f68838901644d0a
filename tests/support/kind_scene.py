"""Owns the handling of recordings on a real cluster as a user does it: kubectl in, kubectl out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.e2e import deploy, images, manifests
from devstack.e2e.deploy import kubectl
from devstack.e2e.shell import E2EError
from devstack.mediacheck import MediaReport, check


@dataclass(frozen=True)
class PublisherPod:
    """A participant that publishes the test pattern; `events` are what it printed."""

    name: str

    def events(self) -> list[dict[str, Any]]:
        """Every event so far."""
        text = kubectl("logs", "--namespace", manifests.LIVEKIT_NAMESPACE, self.name)
        return [json.loads(line) for line in text.splitlines() if line.startswith('{"event"')]

    def wait_started(self, timeout: float = 60) -> None:
        """Wait until both tracks are published."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if any(event["event"] == "started" for event in self.events()):
                    return
            except E2EError:  # no container yet
                pass
            assert time.monotonic() < deadline, f"publisher {self.name} did not publish within {timeout} s"
            time.sleep(0.3)

    def sid(self, kind: str) -> str:
        """Sid of a published track (audio, video)."""
        return next(str(e["sid"]) for e in self.events() if e["event"] == "published" and e["kind"] == kind)


@dataclass(frozen=True)
class KindRecording:
    """One custom resource of the test's namespace; `target` is what kubectl calls it."""

    namespace: str
    target: str
    volume: str

    def status(self) -> dict[str, Any]:
        """The status now."""
        status: dict[str, Any] = deploy.get("--namespace", self.namespace, self.target).get("status") or {}
        return status

    def wait(self, condition: str, timeout: int = 90) -> dict[str, Any]:
        """`kubectl wait --for=CONDITION`; the status after it, or a failure that shows the status."""
        try:
            self.kubectl("wait", f"--for={condition}", f"--timeout={timeout}s")
        except E2EError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status(), indent=1)}") from None
        return self.status()

    def until(
        self, accept: Callable[[dict[str, Any]], bool], what: str, timeout: float = 90
    ) -> dict[str, Any]:
        """Wait for what `kubectl wait` cannot say."""
        deadline = time.monotonic() + timeout
        while not accept(status := self.status()):
            assert time.monotonic() < deadline, f"no {what} within {timeout} s: {status}"
            time.sleep(0.3)
        return status

    def stop(self) -> None:
        """Ask for the end as the documentation says."""
        self.kubectl("patch", "--type=merge", "--patch", '{"spec":{"desiredState":"Stopped"}}')

    def kubectl(self, verb: str, *arguments: str) -> str:
        """Run a verb on this resource."""
        return kubectl(verb, "--namespace", self.namespace, self.target, *arguments)

    def reports(self, filenames: list[str], directory: Path) -> list[MediaReport]:
        """Fetch files of the claim and decode them."""
        return [
            check(deploy.fetch(f"{self.volume}/{filename}", directory / Path(filename).name))
            for filename in filenames
        ]


@dataclass(frozen=True)
class KindScene:
    """A namespace with a claim, and a room of that name."""

    namespace: str
    volume: str

    @property
    def room(self) -> str:
        """The room of this test."""
        return self.namespace

    def apply(self, kind: str, name: str, **spec: Any) -> KindRecording:
        """Apply a recording of this test's room."""
        deploy.apply(manifests.recording(kind, name, self.namespace, {"roomName": self.room, **spec}))
        return KindRecording(self.namespace, f"{kind.lower()}/{name}", self.volume)

    @contextmanager
    def publisher(self, identity: str = "alice") -> Iterator[PublisherPod]:
        """A publisher pod, 640x360 to spare the machine; it is in the room when the block begins."""
        name = f"{self.namespace}-{identity}"
        arguments = ("--size", "640x360", "--bitrate", "800")
        deploy.apply(
            manifests.publisher(
                name, images.names().publisher, room=self.room, identity=identity, arguments=arguments
            )
        )
        pod = PublisherPod(name)
        try:
            pod.wait_started()
            yield pod
        finally:
            kubectl(
                "delete", "pod", "--namespace", manifests.LIVEKIT_NAMESPACE, name, "--wait=false", timeout=30
            )

    def stored(self) -> list[str]:
        """The media files in the claim, relative to it."""
        node = deploy.cluster.worker()
        found = deploy.cluster.docker("exec", node, "find", self.volume, "-name", "*.mp4")
        return sorted(line.removeprefix(f"{self.volume}/") for line in found.splitlines())

    def left(self) -> list[str]:
        """What of recordings is still in the namespace; the garbage collector gets half a minute."""
        deadline = time.monotonic() + 30
        while True:
            items = deploy.get("egress,jobs,pods,secrets", "--namespace", self.namespace)["items"]
            if not items or time.monotonic() > deadline:
                return [f"{item['kind']}/{item['metadata']['name']}" for item in items]
            time.sleep(0.5)

    def operator_errors(self) -> list[str]:
        """Lines of level error in the log of the operator, since it started."""
        text = kubectl(
            "logs", "--namespace", manifests.OPERATOR_NAMESPACE, f"deployment/{manifests.OPERATOR}"
        )
        return [line for line in text.splitlines() if '"level": "error"' in line]

    def operator_restarts(self) -> int:
        """Restarts of the operator's container."""
        pods = deploy.get(
            "pods", "--namespace", manifests.OPERATOR_NAMESPACE, "--selector", f"app.kubernetes.io/name={manifests.OPERATOR}",
        )["items"]  # fmt: skip
        return sum(state["restartCount"] for pod in pods for state in pod["status"]["containerStatuses"])
