"""Owns the operator as a process of the devstack, under its own ServiceAccount's token and with the chart's rights."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from devstack.controlplane import ControlPlane
from devstack.livekit import LiveKitServer
from devstack.process import LOOPBACK, ProcessError, ServerProcess, free_port, say

REPOSITORY = Path(__file__).resolve().parents[1]
RULES_FILE = REPOSITORY / "helm" / "livekit-egress-operator" / "files" / "operator-rules.yaml"
NAMESPACE = "egress-system"
ACCOUNT = "egress-operator"

_INHERITED = ("LANG", "LC_ALL", "SSL_CERT_FILE", "SSL_CERT_DIR")


class OperatorProcess:
    """The operator; it can be killed and started again, with other settings if wanted."""

    def __init__(
        self,
        plane: ControlPlane,
        livekit: LiveKitServer,
        directory: Path,
        *,
        settings: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = say,
    ) -> None:
        """``settings`` are further variables of `egress_operator.settings`."""
        self._plane, self._livekit, self._progress = plane, livekit, progress
        self._settings = dict(settings or {})
        self.log = directory / "operator.log"
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._process: ServerProcess | None = None

    @property
    def running(self) -> bool:
        """True while the operator's process lives."""
        return self._process is not None and self._process.running

    @property
    def process(self) -> ServerProcess:
        """The running process. Raises ProcessError when it was never started."""
        if self._process is None:
            raise ProcessError("the operator is not started")
        return self._process

    @property
    def servers(self) -> list[ServerProcess]:
        """The process, once started."""
        return [] if self._process is None else [self._process]

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Start the operator and wait until ``/healthz`` is good; ``settings`` hold for this run only.

        With EGRESS_OPERATOR_CRASH_AT it may die before it is ready: that is not an error then.
        Raises ProcessError.
        """
        rules = yaml.safe_load(RULES_FILE.read_text())
        kubeconfig = self._plane.service_account(NAMESPACE, ACCOUNT, rules)
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment = {
            **inherited,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "HOME": str(self.log.parent),
            "KUBECONFIG": str(kubeconfig),
            "LIVEKIT_URL": self._livekit.url,
            "LIVEKIT_API_KEY": self._livekit.api_key,
            "LIVEKIT_API_SECRET": self._livekit.api_secret,
            "EGRESS_OPERATOR_BIND": LOOPBACK,
            "EGRESS_OPERATOR_PORT": str(self.port),
            **self._settings,
            **(settings or {}),
        }
        command = [sys.executable, "-m", "egress_operator"]
        self._process = ServerProcess("egress-operator", command, log=self.log, env=environment)
        self._process.start()
        try:
            self._process.wait_ready(self._is_healthy, timeout=60)
        except ProcessError:
            if not environment.get("EGRESS_OPERATOR_CRASH_AT"):
                raise
        self._progress(f"operator ready ({self.url})")

    def stop(self) -> None:
        """End the operator as Kubernetes would: SIGTERM first."""
        if self._process is not None:
            self._process.stop(grace=10)

    def kill(self) -> None:
        """Kill the operator as a crash would."""
        if self._process is not None:
            self._process.kill()

    def restart(self, settings: Mapping[str, str] | None = None) -> None:
        """Kill the operator and start it, with further ``settings`` for this run."""
        self.kill()
        self.start(settings)

    def metrics(self) -> str:
        """Return the text of ``/metrics``."""
        return self._get("/metrics").decode()

    def _is_healthy(self) -> bool:
        try:
            self._get("/healthz")
        except urllib.error.HTTPError:
            return False
        return True

    def _get(self, path: str) -> bytes:
        # No proxy of the environment may stand between us and loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}{path}", timeout=2) as response:
            content: bytes = response.read()
        return content
