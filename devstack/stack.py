"""Owns the whole devstack: control plane, livekit-server, S3 server, pod runner, operator; starts and ends them together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack import build
from devstack.controlplane import ControlPlane
from devstack.kubeapi import KubeApi
from devstack.livekit import LiveKitServer
from devstack.operatorprocess import REPOSITORY, OperatorProcess
from devstack.podrunner import PodRunner
from devstack.process import say
from devstack.s3 import S3Server

CRDS = REPOSITORY / "crds"
CREDENTIALS_SECRET = "s3-credentials"
CLAIM = "recordings"


class Stack:
    """Everything, on free ports of loopback, in one directory. A context manager, also an asynchronous one.

    Parts that the caller started already are used and not ended.
    """

    def __init__(
        self,
        directory: Path,
        *,
        livekit: LiveKitServer | None = None,
        s3: S3Server | None = None,
        operator_settings: Mapping[str, str] | None = None,
        with_operator: bool = True,
        progress: Callable[[str], None] = say,
    ) -> None:
        self.directory = directory
        self.plane = ControlPlane(directory / "control-plane", crds=CRDS, progress=progress)
        self._own_livekit, self._own_s3 = livekit is None, s3 is None
        self.livekit = livekit or LiveKitServer(directory / "livekit", progress=progress)
        self.s3 = s3 or S3Server(directory / "s3", progress=progress)
        self._runner: PodRunner | None = None
        self.operator = OperatorProcess(
            self.plane, self.livekit, directory, settings=operator_settings, progress=progress
        )
        self._with_operator, self._progress = with_operator, progress

    @property
    def api(self) -> KubeApi:
        """The cluster administrator's client."""
        return self.plane.api

    @property
    def runner(self) -> PodRunner:
        """The pod runner; only after `start`."""
        assert self._runner is not None
        return self._runner

    # -- life --

    def start(self) -> None:
        """Start everything; what was started is ended again when something fails. Raises ProcessError, BuildError."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        build.ensure(say=self._progress)
        starts = [self.plane.start]
        starts += [self.livekit.start] if self._own_livekit else []
        starts += [self.s3.start] if self._own_s3 else []
        with ThreadPoolExecutor(len(starts), thread_name_prefix="devstack-start") as pool:
            for future in [pool.submit(start) for start in starts]:
                future.result()
        self._runner = PodRunner(self.api, self.directory)
        self._runner.start()
        self._link_kubectl()
        self._progress("pod runner ready")
        if self._with_operator:
            self.operator.start()

    def stop(self) -> None:
        """End everything in the reverse order; data and logs stay in the directory."""
        self.operator.stop()
        if self._runner is not None:
            self._runner.stop()
        self.plane.stop()
        if self._own_livekit:
            self.livekit.stop()
        if self._own_s3:
            self.s3.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    # -- for users and tests --

    def ended(self) -> list[tuple[str, str]]:
        """Return name and end of the log of every server that ended by itself."""
        servers = [*self.plane.servers, *self.livekit.servers, *self.s3.servers, *self.operator.servers]
        return [(server.name, server.log_tail()) for server in servers if not server.running]

    def prepare_namespace(self, name: str) -> str:
        """Create a namespace with the Secret ``s3-credentials`` and the claim ``recordings``; return its name."""
        self.plane.create_namespace(name)
        self.api.create_secret(
            name, CREDENTIALS_SECRET, {"access_key": self.s3.access_key, "secret": self.s3.secret_key}
        )
        claim = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}},
        }
        self.api.apply("persistentvolumeclaims", name, claim)
        return name

    def exports(self) -> dict[str, str]:
        """Return the variables with which kubectl and LiveKit clients reach this stack (without PATH)."""
        return {
            "KUBECONFIG": str(self.plane.kubeconfig),
            "LIVEKIT_URL": self.livekit.url,
            "LIVEKIT_API_KEY": self.livekit.api_key,
            "LIVEKIT_API_SECRET": self.livekit.api_secret,
            "S3_ENDPOINT": self.s3.endpoint,
            "S3_BUCKET": self.s3.bucket,
            "AWS_ACCESS_KEY_ID": self.s3.access_key,
            "AWS_SECRET_ACCESS_KEY": self.s3.secret_key,
            "AWS_REGION": self.s3.region,
        }

    @property
    def tools(self) -> Path:
        """Directory for PATH with ``kubectl``."""
        return self.directory / "bin"

    def _link_kubectl(self) -> None:
        self.tools.mkdir(parents=True, exist_ok=True)
        link = self.tools / "kubectl"
        link.unlink(missing_ok=True)
        link.symlink_to(build.binary("kubectl"))
