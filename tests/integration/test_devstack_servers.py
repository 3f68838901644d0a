"""The devstack's servers: they start, refuse what must be refused, and come back on the same port."""

from __future__ import annotations

import secrets
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from devstack.controlplane import ControlPlane
from devstack.kubeapi import ApiError, ApiUnavailableError, KubeApi
from devstack.livekit import LiveKitServer
from devstack.s3 import S3Server

pytestmark = pytest.mark.integration


def test_a_service_account_has_its_rules_and_nothing_more(control_plane: ControlPlane) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    kubeconfig = control_plane.service_account("default", "reader", rules)
    reader = KubeApi.from_kubeconfig(kubeconfig)

    assert isinstance(reader.list("pods"), list)
    with pytest.raises(ApiError) as refused:
        reader.list("secrets")
    assert refused.value.status == 403
    assert kubeconfig.stat().st_mode & 0o077 == 0


def test_a_stopped_api_server_comes_back_with_its_objects(
    control_plane: ControlPlane, namespace: str
) -> None:
    control_plane.api.create_secret(namespace, "kept", {"key": "value"})
    control_plane.stop_api_server()
    try:
        with pytest.raises(ApiUnavailableError):
            control_plane.api.list("pods")
    finally:
        control_plane.start_api_server()
    assert control_plane.api.find("secrets", namespace, "kept") is not None


def test_the_s3_server_refuses_a_wrong_secret(s3_server: S3Server) -> None:
    key = f"{secrets.token_hex(4)}/a.bin"
    s3_server.client().put_object(Bucket=s3_server.bucket, Key=key, Body=b"content")
    wrong = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint,
        region_name=s3_server.region,
        aws_access_key_id=s3_server.access_key,
        aws_secret_access_key="wrong",
    )

    assert s3_server.read(key) == b"content"
    assert s3_server.keys(key.partition("/")[0]) == [key]
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.put_object(Bucket=s3_server.bucket, Key=key, Body=b"other")


def test_the_s3_server_keeps_its_objects_over_a_crash(tmp_path: Path) -> None:
    server = S3Server(tmp_path)
    try:
        server.start()
        server.client().put_object(Bucket=server.bucket, Key="kept/a", Body=b"content")
        server.kill()
        with pytest.raises(EndpointConnectionError):
            server.keys()
        server.start()
        assert server.read("kept/a") == b"content"
    finally:
        server.stop()


def test_a_livekit_server_comes_back_on_the_same_port(tmp_path: Path) -> None:
    server = LiveKitServer(tmp_path)
    try:
        server.start()
        server.restart()
        with urllib.request.urlopen(server.http_url, timeout=2) as response:
            assert response.read() == b"OK"
    finally:
        server.stop()
