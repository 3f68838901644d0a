"""Owns the fixtures that are real servers. All are started on first use, so unit tests start nothing.

`control_plane` has no pod runner: a Job gets its Pod object, and the test plays kubelet. `cluster` has one: pods are
host processes. `stack` is everything, with the operator running under its own ServiceAccount's token.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from devstack import npm
from devstack.azure import AzureServer
from devstack.certificates import Certificate
from devstack.controlplane import ControlPlane
from devstack.livekit import LiveKitServer
from devstack.putserver import PutServer
from devstack.s3 import S3Server
from devstack.stack import CRDS, Stack
from devstack.xmlgateway import GcsGateway, OssGateway

# Hypothesis' limit per example (200 ms of wall clock) measures what else the machine does; CPU time has its benchmarks.
hypothesis.settings.register_profile("shared machine", deadline=None)
hypothesis.settings.load_profile("shared machine")


@pytest.fixture(scope="session")
def servers_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and logs of all servers of this test run."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def livekit_server(servers_directory: Path) -> Iterator[LiveKitServer]:
    """A livekit-server; rooms must be unique per test."""
    server = LiveKitServer(servers_directory / "livekit")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_server(servers_directory: Path) -> Iterator[S3Server]:
    """An S3 server with a bucket; keys must be unique per test."""
    server = S3Server(servers_directory / "s3")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def certificate(servers_directory: Path) -> Certificate:
    """A certificate of loopback servers; `SSL_CERT_FILE` makes a process trust it."""
    return Certificate(servers_directory / "certificate")


@pytest.fixture(scope="session")
def azure_server(servers_directory: Path) -> Iterator[AzureServer]:
    """An Azure blob service with a container; names must be unique per test."""
    if not npm.available():
        pytest.skip("npm is not installed")
    server = AzureServer(servers_directory / "azure")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def gcs_server(s3_server: S3Server) -> Iterator[GcsGateway]:
    """What stands for Google Cloud Storage, over the bucket of `s3_server`."""
    with GcsGateway(s3_server) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def oss_server(s3_server: S3Server) -> Iterator[OssGateway]:
    """What stands for Alibaba Cloud OSS, over the bucket of `s3_server`."""
    with OssGateway(s3_server) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def put_server(certificate: Certificate) -> Iterator[PutServer]:
    """An HTTPS server that takes PUT; paths must be unique per test."""
    with PutServer(certificate.server_context()) as server:
        yield server


@pytest.fixture(scope="session")
def control_plane(servers_directory: Path) -> Iterator[ControlPlane]:
    """A Kubernetes control plane without nodes, with our CRDs."""
    plane = ControlPlane(servers_directory / "control-plane", crds=CRDS)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A fresh namespace of `control_plane`, deleted (without waiting) after the test."""
    name = control_plane.create_namespace(f"test-{secrets.token_hex(4)}")
    yield name
    control_plane.api.delete("namespaces", "", name)


@pytest.fixture(scope="session")
def cluster(servers_directory: Path, livekit_server: LiveKitServer, s3_server: S3Server) -> Iterator[Stack]:
    """A control plane of its own with CRDs and pod runner, and no operator until `stack` starts it."""
    stack = Stack(servers_directory / "stack", livekit=livekit_server, s3=s3_server, with_operator=False)
    with stack:
        yield stack


@pytest.fixture
def stack(cluster: Stack) -> Stack:
    """The whole stack, with the operator running (again, if the test before ended it)."""
    if not cluster.operator.running:
        cluster.operator.start()
    return cluster


@pytest.fixture
def cluster_namespace(cluster: Stack) -> Iterator[str]:
    """A fresh namespace of `cluster` and `stack` with the Secret `s3-credentials` and the claim `recordings`."""
    name = cluster.prepare_namespace(f"test-{secrets.token_hex(4)}")
    yield name
    cluster.api.delete("namespaces", "", name)
