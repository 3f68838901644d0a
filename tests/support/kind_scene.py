"""Owns the handling of recordings on a real cluster as a user does it: kubectl in, kubectl out.

`KindScene` is a namespace of one test: a room of its name, a claim and an S3 Secret. `scene.apply(…)` gives a
`KindRecording`; its files are looked at where they were delivered (`destination="s3"` or `"pvc"`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.e2e import cluster, deploy, images, manifests, objectstore
from devstack.e2e.deploy import kubectl
from devstack.e2e.objectstore import ObjectStore
from devstack.e2e.shell import E2EError
from devstack.mediacheck import MediaReport, check

SMALL: Mapping[str, Any] = {"width": 640, "height": 360, "framerate": 30, "videoBitrate": 800}
"""What a recording encodes unless a test says otherwise: two cores hold several of them."""
STREAMS = "h264 640x360@30 + aac 2ch"
CHILDREN = "app.kubernetes.io/managed-by=livekit-egress-operator"
"""Selects the Jobs, pods and Secrets of recordings; the chart's objects are managed by Helm."""
FILEPATHS = {
    "ParticipantEgress": "{room_name}/{publisher_identity}-{time}",
    "TrackCompositeEgress": "{room_name}/tracks-{time}",
}


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

    scene: KindScene
    target: str
    destination: str

    def kubectl(self, verb: str, *arguments: str, timeout: float = 150) -> str:
        """Run a verb on this resource. Raises E2EError."""
        return kubectl(verb, "--namespace", self.scene.namespace, self.target, *arguments, timeout=timeout)

    def body(self) -> dict[str, Any]:
        """The whole resource now."""
        return deploy.get("--namespace", self.scene.namespace, self.target)

    def status(self) -> dict[str, Any]:
        """The status now."""
        status: dict[str, Any] = self.body().get("status") or {}
        return status

    def exists(self) -> bool:
        """Whether the resource is still there."""
        return bool(self.kubectl("get", "--ignore-not-found", "--output=name").strip())

    def wide(self) -> str:
        """The line of `kubectl get -o wide`."""
        return self.kubectl("get", "--output=wide", "--no-headers").strip()

    def condition(self, kind: str = "Ready") -> dict[str, Any]:
        """One condition of the status, empty when it is not there."""
        conditions = self.status().get("conditions") or []
        return next((dict(found) for found in conditions if found["type"] == kind), {})

    def wait(self, condition: str, timeout: int = 90) -> dict[str, Any]:
        """`kubectl wait --for=CONDITION`; the status after it, or a failure that shows the status."""
        try:
            self.kubectl("wait", f"--for={condition}", f"--timeout={timeout}s", timeout=timeout + 30)
        except E2EError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status(), indent=1)}") from None
        return self.status()

    def until(
        self, accept: Callable[[dict[str, Any]], bool], what: str, timeout: float = 90
    ) -> dict[str, Any]:
        """Wait for what `kubectl wait` cannot say."""
        deadline = time.monotonic() + timeout
        while not accept(status := self.status()):
            assert time.monotonic() < deadline, (
                f"no {what} within {timeout} s: {json.dumps(status, indent=1)}"
            )
            time.sleep(0.3)
        return status

    def until_reason(self, *reasons: str, phase: str = "Pending", timeout: float = 60) -> dict[str, Any]:
        """Wait until condition Ready has one of the reasons in this phase; return that condition."""
        self.until(
            lambda s: s.get("phase") == phase and _reason(s) in reasons, f"{phase}: {reasons}", timeout
        )
        return self.condition()

    def stop(self) -> None:
        """Ask for the end as the documentation says."""
        self.kubectl("patch", "--type=merge", "--patch", '{"spec":{"desiredState":"Stopped"}}')

    def finish(self, timeout: int = 90) -> dict[str, Any]:
        """Stop and wait for the end; the last status."""
        self.stop()
        return self.wait("condition=Finished", timeout)

    def node(self) -> str:
        """The node of the recorder's pod now; its name is also that of the node's container."""
        pod = self.status()["podName"]
        spec = deploy.get("pod", "--namespace", self.scene.namespace, pod)["spec"]
        return str(spec["nodeName"])

    def stored(self) -> list[str]:
        """The media files at the destination, sorted; all recordings of a test share its room's directory."""
        return self.scene.stored(self.destination)

    def reports(self, filenames: list[str], directory: Path) -> list[MediaReport]:
        """Fetch files from the destination and decode them."""
        return self.scene.reports(self.destination, filenames, directory)


def _reason(status: Mapping[str, Any]) -> str:
    ready = [c["reason"] for c in status.get("conditions") or () if c["type"] == "Ready"]
    return str(ready[0]) if ready else ""


@dataclass(frozen=True)
class KindScene:
    """A namespace with a claim and an S3 Secret, and a room of that name."""

    namespace: str
    volume: str
    store: ObjectStore

    @property
    def room(self) -> str:
        """The room of this test."""
        return self.namespace

    def output(self, kind: str, destination: str) -> dict[str, Any]:
        """A file output of a spec that goes to `s3` or to the claim (`pvc`)."""
        if destination == "s3":
            return objectstore.output(FILEPATHS[kind])
        return {"filepath": FILEPATHS[kind], "pvc": {"claimName": manifests.CLAIM}}

    def apply(
        self,
        kind: str,
        name: str,
        *,
        destination: str = "s3",
        labels: Mapping[str, str] | None = None,
        **spec: Any,
    ) -> KindRecording:
        """Apply a recording of this test's room; keys of `spec` win over what is filled in here."""
        whole = {
            "roomName": self.room,
            "advanced": dict(SMALL),
            "fileOutputs": [self.output(kind, destination)],
            **spec,
        }
        document = manifests.recording(kind, name, self.namespace, whole)
        document["metadata"] |= {"labels": dict(labels)} if labels else {}
        deploy.apply(document)
        return KindRecording(self, f"{kind.lower()}/{name}", destination)

    @contextmanager
    def publisher(self, identity: str = "alice", *, screen: bool = False) -> Iterator[PublisherPod]:
        """A publisher pod of 640x360, on the control plane; it is in the room when the block begins."""
        with self.publishers(identity, screen=screen) as [pod]:
            yield pod

    @contextmanager
    def publishers(self, *identities: str, screen: bool = False) -> Iterator[list[PublisherPod]]:
        """Several publishers of the room, started at the same moment."""
        arguments = ["--size", "640x360", "--bitrate", "800", *(["--source", "screen"] if screen else [])]
        pods = [PublisherPod(f"{self.namespace}-{identity}") for identity in identities]
        with ExitStack() as stack:
            for identity, pod in zip(identities, pods, strict=True):
                image = images.names().publisher
                deploy.apply(
                    manifests.publisher(
                        pod.name, image, room=self.room, identity=identity, arguments=arguments
                    )
                )
                stack.callback(_delete_publisher, pod.name)
            for pod in pods:
                pod.wait_started()
            yield pods

    def stored(self, destination: str = "s3") -> list[str]:
        """The media files of this test, relative to bucket or claim."""
        if destination == "s3":
            found = self.store.names(f"{self.room}/")
        else:
            lines = cluster.docker("exec", cluster.worker(), "find", self.volume, "-type", "f").splitlines()
            found = sorted(line.removeprefix(f"{self.volume}/") for line in lines)
        return [name for name in found if name.endswith(".mp4")]

    def reports(self, destination: str, filenames: list[str], directory: Path) -> list[MediaReport]:
        """Fetch files from bucket or claim and decode them."""
        return [check(self._fetch(destination, name, directory / Path(name).name)) for name in filenames]

    def _fetch(self, destination: str, filename: str, target: Path) -> Path:
        if destination == "s3":
            return self.store.fetch(filename, target)
        return deploy.fetch(f"{self.volume}/{filename}", target)

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        """The items of `kubectl get` in this namespace."""
        items: list[dict[str, Any]] = deploy.get(*arguments, "--namespace", self.namespace)["items"]
        return items


def _delete_publisher(name: str) -> None:
    kubectl("delete", "pod", "--namespace", manifests.LIVEKIT_NAMESPACE, name, "--wait=false", timeout=30)
