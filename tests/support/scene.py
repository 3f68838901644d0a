"""Owns the handling of recordings in whole-path tests: apply, wait, fetch, decode."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devstack.mediacheck import MediaReport, check
from devstack.publisher import PublisherProcess
from devstack.stack import CLAIM, CREDENTIALS_SECRET, Stack

PLURALS = {"ParticipantEgress": "participantegresses", "TrackCompositeEgress": "trackcompositeegresses"}
TERMINAL = {"Complete", "Failed", "Aborted", "LimitReached"}
ORDER = ["Pending", "Starting", "Active", "Ending"]


@dataclass
class Recording:
    """One custom resource under test. `phases` holds every phase that was seen, in order, without repetitions."""

    stack: Stack
    namespace: str
    kind: str
    name: str
    phases: list[str] = field(default_factory=list)

    @property
    def plural(self) -> str:
        """Of its kind."""
        return PLURALS[self.kind]

    def get(self) -> dict[str, Any] | None:
        """The object now; None when it is gone."""
        item = self.stack.api.find(self.plural, self.namespace, self.name)
        phase = ((item or {}).get("status") or {}).get("phase")
        if phase and (not self.phases or self.phases[-1] != phase):
            self.phases.append(phase)
        return item

    def status(self) -> dict[str, Any]:
        """The status now."""
        return (self.get() or {}).get("status") or {}

    def until(
        self, accept: Callable[[dict[str, Any]], bool], timeout: float, what: str = ""
    ) -> dict[str, Any]:
        """Wait until the status is as wanted. Fails with the whole status otherwise."""
        deadline = time.monotonic() + timeout
        while True:
            status = self.status()
            if accept(status):
                return status
            assert time.monotonic() < deadline, (
                f"{self.name}: no {what} within {timeout} s, phases {self.phases}: {status}"
            )
            time.sleep(0.1)

    def until_phase(self, *phases: str, timeout: float = 40.0) -> dict[str, Any]:
        """Wait for one of the phases; a terminal one that was not wanted fails at once."""

        def accept(status: dict[str, Any]) -> bool:
            phase = status.get("phase")
            assert phase in phases or phase not in TERMINAL, (
                f"{self.name} is {phase}, wanted {phases}: {status}"
            )
            return phase in phases

        return self.until(accept, timeout, "/".join(phases))

    def until_reason(self, reason: str, timeout: float = 30.0) -> dict[str, Any]:
        """Wait until a condition has a reason."""
        return self.until(
            lambda status: any(c["reason"] == reason for c in status.get("conditions", [])), timeout, reason
        )

    def until_recording(self, timeout: float = 40.0) -> dict[str, Any]:
        """Wait until the condition Recording is True."""
        return self.until(
            lambda s: any(
                c["type"] == "Recording" and c["status"] == "True" for c in s.get("conditions", [])
            ),
            timeout,
            "Recording=True",
        )

    def until_next_pod(self, *earlier: str, timeout: float = 60.0) -> str:
        """Wait until status names a pod that is none of the earlier ones, and that one records."""
        self.until(lambda s: s.get("podName") not in {None, "", *earlier}, timeout, "next pod")
        self.until_recording()
        return self.running_pod()

    def condition(self, kind: str) -> dict[str, Any]:
        """One condition."""
        found: dict[str, Any] = next(c for c in self.status()["conditions"] if c["type"] == kind)
        return found

    def patch(self, spec: dict[str, Any]) -> None:
        """Change the spec."""
        self.stack.api.patch(self.plural, self.namespace, self.name, {"spec": spec})

    def stop(self) -> None:
        """Ask for the end."""
        self.patch({"desiredState": "Stopped"})

    def pods(self) -> list[dict[str, Any]]:
        """Pods of this recording, oldest first."""
        uid = (self.get() or {})["metadata"]["uid"]
        owned = [
            pod
            for pod in self.stack.api.list("pods", self.namespace)
            if uid in (pod["metadata"].get("labels") or {}).values()
        ]
        return sorted(
            owned, key=lambda pod: str(pod["metadata"]["creationTimestamp"] + pod["metadata"]["name"])
        )

    def running_pod(self) -> str:
        """Name of the newest pod."""
        return str(self.pods()[-1]["metadata"]["name"])

    def fetch(self, location: str, filename: str, directory: Path) -> Path:
        """Copy one part out of the bucket or the volume."""
        target = directory / Path(filename).name
        if location.startswith("http"):
            key = urlsplit(location).path.removeprefix(f"/{self.stack.s3.bucket}/")
            return self.stack.s3.download(key, target)
        shutil.copyfile(self.stack.runner.claim_directory(self.namespace, CLAIM) / filename, target)
        return target

    def files(self, directory: Path) -> list[MediaReport]:
        """Fetch and decode every part that has a location."""
        return [
            check(self.fetch(part["location"], part["filename"], directory))
            for part in self.status()["parts"]
            if part.get("location")
        ]


@dataclass
class Scene:
    """A namespace and a room of one test."""

    stack: Stack
    namespace: str
    room: str

    def s3_output(self, name: str = "{room_name}-{time}", **changes: Any) -> dict[str, Any]:
        """A file output into the stack's bucket, below a prefix of this test."""
        s3 = {
            "bucket": self.stack.s3.bucket,
            "endpoint": self.stack.s3.endpoint,
            "region": self.stack.s3.region,
            "forcePathStyle": True,
            "credentialsSecretRef": {"name": CREDENTIALS_SECRET},
        }
        return {"filepath": f"{self.namespace}/{name}", "s3": {**s3, **changes}}

    def pvc_output(self, name: str = "{room_name}-{publisher_identity}") -> dict[str, Any]:
        """A file output into the namespace's claim."""
        return {"filepath": f"recordings/{name}", "pvc": {"claimName": CLAIM}}

    def apply(self, kind: str, name: str, **spec: Any) -> Recording:
        """Create a resource; to the claim when no output is named. A field that is None is absent."""
        whole = {"roomName": self.room, "fileOutputs": [self.pvc_output()], **spec}
        document = {
            "apiVersion": "egress.livekit.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": {field: value for field, value in whole.items() if value is not None},
        }
        self.stack.api.create(PLURALS[kind], self.namespace, document)
        return Recording(self.stack, self.namespace, kind, name)

    def participant(self, name: str = "alice", **spec: Any) -> Recording:
        """A ParticipantEgress of alice."""
        return self.apply("ParticipantEgress", name, **{"identity": "alice", **spec})

    def composite(self, name: str = "tracks", **spec: Any) -> Recording:
        """A TrackCompositeEgress."""
        return self.apply("TrackCompositeEgress", name, **spec)

    def publisher(self, *arguments: str, identity: str = "alice") -> AbstractContextManager[PublisherProcess]:
        """A participant with flash, beep and counter; 640x360 to spare the machine."""
        livekit = self.stack.livekit
        return PublisherProcess(
            livekit.url,
            livekit.api_key,
            livekit.api_secret,
            self.room,
            identity,
            ("--size", "640x360", "--bitrate", "800", *arguments),
        )
