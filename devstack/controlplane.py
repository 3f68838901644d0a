"""Owns a Kubernetes control plane without nodes on loopback: etcd, kube-apiserver, kube-controller-manager.

RBAC is on; the operator gets a kubeconfig with the TokenRequest token of a ServiceAccount that has exactly the rights
of the chart (`service_account`). The API server can be stopped and started again on the same port and data.
"""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import yaml

from devstack import build
from devstack.accounts import account_objects, ec_private_key, write_kubeconfig
from devstack.kubeapi import ApiError, ApiUnavailableError, KubeApi, Object
from devstack.process import LOOPBACK, ProcessError, ServerProcess, free_port, say, wait_for

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager")

CONTROLLERS = (
    "job-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
    "namespace-controller",
    "ttl-after-finished-controller",
    "resourcequota-controller",
    # Claims get its finalizer from an admission plugin: without the controller no namespace with one could go.
    "persistentvolumeclaim-protection-controller",
)

_READY_TIMEOUT = 60.0


class ControlPlane:
    """One cluster in one directory. `start` takes about 6 s; `stop` ends all its processes."""

    def __init__(
        self, directory: Path, *, crds: Path | None = None, progress: Callable[[str], None] = say
    ) -> None:
        """``crds`` is a directory of definitions that the controllers shall know from their start."""
        self.directory = directory
        self.kubeconfig = directory / "admin.kubeconfig"
        self.server = f"https://{LOOPBACK}:{free_port()}"
        self._crds, self._progress = crds, progress
        self._tokens = {name: secrets.token_hex(16) for name in ("admin", "controller-manager")}
        self._ca = directory / "certs" / "apiserver.crt"
        self._etcd_url = f"http://{LOOPBACK}:{free_port()}"
        self._processes: dict[str, ServerProcess] = {}
        self._admin: KubeApi | None = None
        self.arguments: dict[str, Sequence[str]] = {}  # further ones by server name, set before `start`

    @property
    def api(self) -> KubeApi:
        """The administrator's client (safe to use from any thread)."""
        if self._admin is None:
            raise ProcessError("the control plane is not started")
        return self._admin

    @property
    def servers(self) -> list[ServerProcess]:
        """The three processes, once started."""
        return list(self._processes.values())

    # -- life --

    def start(self) -> None:
        """Start on a fresh directory and return when Jobs would be worked on. Raises ProcessError."""
        started = time.monotonic()
        binaries = build.ensure(*BINARIES, say=self._progress)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        self._prepare_logins()
        self._processes["etcd"] = self._etcd(binaries["etcd"])
        self._processes["kube-apiserver"] = self._api_server(binaries["kube-apiserver"])
        for server in self._processes.values():
            server.start()  # the API server waits for etcd by itself
        self._connect()
        if self._crds is not None:
            # Before the controllers: the garbage collector looks for new kinds only every 30 s.
            self.apply_crds(self._crds)
        manager = self._controller_manager(binaries["kube-controller-manager"])
        self._processes["kube-controller-manager"] = manager
        manager.start()
        manager.wait_ready(lambda: self._has_account("default"), _READY_TIMEOUT)
        self._progress(f"control plane ready after {time.monotonic() - started:.1f} s ({self.server})")

    def stop(self) -> None:
        """End all processes; the directory with data and logs stays."""
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            if name in self._processes:
                # The API server would finish its watches for up to a minute; the data are not needed afterwards.
                self._processes[name].stop(grace=0.5)

    def stop_api_server(self) -> None:
        """Kill the API server: clients see refused connections until `start_api_server`."""
        self._processes["kube-apiserver"].kill()

    def start_api_server(self) -> None:
        """Start the API server again on the same port and data and wait until it is ready."""
        self._processes["kube-apiserver"].start()
        self._wait_for_api_server()
        # It ends by itself after a long outage; its controllers find everything again from the watches.
        manager = self._processes["kube-controller-manager"]
        if not manager.running:
            manager.start()

    # -- rights and objects --

    def service_account(self, namespace: str, name: str, rules: Sequence[Object]) -> Path:
        """Create a ServiceAccount with exactly these cluster-wide RBAC rules and return a kubeconfig with its token.

        The token is a TokenRequest token, valid for a day. Calling it again replaces the rules.
        """
        for plural, account, body in account_objects(namespace, name, rules):
            self.api.apply(plural, account, body)
        request = {"spec": {"expirationSeconds": 24 * 3600}}
        answer = self.api.create("serviceaccounts", namespace, request, name=name, subresource="token")
        return write_kubeconfig(
            self.directory / f"{name}.kubeconfig",
            server=self.server,
            ca=self._ca,
            user=name,
            token=answer["status"]["token"],
        )

    def apply_crds(self, directory: Path) -> list[str]:
        """Apply every ``*.yaml`` there, wait until all are Established, return their names. Raises TimeoutError."""
        names = []
        for file in sorted(directory.glob("*.yaml")):
            for body in filter(None, yaml.safe_load_all(file.read_text())):
                names.append(body["metadata"]["name"])
                self.api.apply("customresourcedefinitions", "", body)
        for name in names:
            wait_for(f"definition {name} is established", partial(self._is_established, name))
        return names

    def create_namespace(self, name: str) -> str:
        """Create a namespace and wait until pods may be created in it; return its name. Raises TimeoutError."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.api.apply("namespaces", "", body)
        wait_for(f"namespace {name} has a default ServiceAccount", lambda: self._has_account(name))
        return name

    # -- how the three are started --

    def _prepare_logins(self) -> None:
        (self.directory / "service-account.key").write_text(ec_private_key())
        (self.directory / "service-account.key").chmod(0o600)
        lines = [
            f'{self._tokens["admin"]},admin,1,"system:masters"',
            f"{self._tokens['controller-manager']},system:kube-controller-manager,2",
        ]
        (self.directory / "tokens.csv").write_text("\n".join(lines) + "\n")
        (self.directory / "tokens.csv").chmod(0o600)

    def _connect(self) -> None:
        server = self._processes["kube-apiserver"]
        server.wait_ready(lambda: self._ca.exists() and self._ca.stat().st_size > 0, _READY_TIMEOUT)
        for user, token in self._tokens.items():
            write_kubeconfig(
                self.directory / f"{user}.kubeconfig", server=self.server, ca=self._ca, user=user, token=token
            )
        try:
            self._admin = KubeApi(self.server, ca=self._ca.read_text(), token=self._tokens["admin"])
        except ssl.SSLError:  # the certificate was being written
            time.sleep(0.2)
            self._admin = KubeApi(self.server, ca=self._ca.read_text(), token=self._tokens["admin"])
        self._wait_for_api_server()

    def _wait_for_api_server(self) -> None:
        self._processes["kube-apiserver"].wait_ready(self._is_ready, _READY_TIMEOUT)

    def _is_ready(self) -> bool:
        try:
            self.api.request("GET", "/readyz")
        except ApiError:
            return False
        return True

    def _is_established(self, name: str) -> bool:
        status = self.api.get("customresourcedefinitions", "", name).get("status", {})
        return any(
            item["type"] == "Established" and item["status"] == "True"
            for item in status.get("conditions") or []
        )

    def _has_account(self, namespace: str) -> bool:
        try:
            return self.api.find("serviceaccounts", namespace, "default") is not None
        except ApiUnavailableError:
            return False

    def _server(self, name: str, binary: Path, *arguments: str) -> ServerProcess:
        command: list[str | Path] = [binary, *arguments, *self.arguments.get(name, ())]
        return ServerProcess(name, command, log=self.directory / f"{name}.log")

    def _etcd(self, binary: Path) -> ServerProcess:
        peer = f"http://{LOOPBACK}:{free_port()}"
        return self._server(
            "etcd",
            binary,
            "--name=default",
            f"--data-dir={self.directory / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # a test store: speed over safety
            "--log-level=warn",
        )

    def _api_server(self, binary: Path) -> ServerProcess:
        key = self.directory / "service-account.key"
        return self._server(
            "kube-apiserver",
            binary,
            f"--etcd-servers={self._etcd_url}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            f"--secure-port={self.server.rpartition(':')[2]}",
            "--endpoint-reconciler-type=none",
            f"--cert-dir={self.directory / 'certs'}",  # makes a self-signed pair that is its own CA
            f"--token-auth-file={self.directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            f"--service-account-issuer={self.server}",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--profiling=false",
        )

    def _controller_manager(self, binary: Path) -> ServerProcess:
        return self._server(
            "kube-controller-manager",
            binary,
            f"--kubeconfig={self.directory / 'controller-manager.kubeconfig'}",
            "--leader-elect=false",
            # Without it all would be system:kube-controller-manager, which RBAC allows to create no pod.
            "--use-service-account-credentials=true",
            f"--bind-address={LOOPBACK}",
            "--secure-port=0",
            f"--controllers={','.join(CONTROLLERS)}",
            "--namespace-sync-period=10s",
        )
