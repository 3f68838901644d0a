"""Owns the S3 server of the cluster: its objects as plain documents, and a client of this machine that looks into it.

The server is versitygw over an emptyDir: it verifies signatures, and nothing outlives its pod.
"""

from __future__ import annotations

import base64
import secrets
import time
from pathlib import Path
from typing import Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from mypy_boto3_s3 import S3Client

from devstack.e2e import cluster, manifests
from devstack.e2e.manifests import Document
from devstack.e2e.shell import E2EError

NAMESPACE: Final = "s3"
NAME: Final = "s3"
PORT: Final = 7070
NODE_PORT: Final = 30900
BUCKET: Final = "recordings"
REGION: Final = "us-east-1"
ENDPOINT: Final = f"http://{NAME}.{NAMESPACE}.svc:{PORT}"
"""As a recorder's pod reaches it."""
CREDENTIALS: Final = "s3-credentials"
"""The Secret in every namespace of a test; in the server's own namespace it holds the server's root keys."""

_DATA: Final = "/data"
_METADATA: Final = "/metadata"
_HEALTH: Final = "/e2e-health"


def new_keys() -> dict[str, str]:
    """Return a pair of keys as a storage Secret holds them."""
    return {"access_key": f"AK{secrets.token_hex(9).upper()}", "secret": secrets.token_hex(20)}


def credentials(where: str, keys: dict[str, str], *, name: str = CREDENTIALS) -> Document:
    """Return the Secret that an output's credentialsSecretRef names."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": where},
        "stringData": keys,
    }


def server(image: str, image_id: str) -> list[Document]:
    """Return the server's Deployment and its Service."""
    command = ["--port", f":{PORT}", "--region", REGION, "--health", _HEALTH]
    # Metadata as files: extended attributes are missing on some temporary file systems.
    command += ["posix", "--sidecar", _METADATA, _DATA]
    keys = {"ROOT_ACCESS_KEY_ID": "access_key", "ROOT_SECRET_ACCESS_KEY": "secret"}
    container = {
        "name": "s3",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": command,
        "env": [
            {"name": variable, "valueFrom": {"secretKeyRef": {"name": CREDENTIALS, "key": key}}}
            for variable, key in keys.items()
        ],
        "ports": [{"name": "http", "containerPort": PORT}],
        "readinessProbe": manifests.http_probe(_HEALTH, PORT),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        "securityContext": manifests.CONTAINER_SECURITY,
        "volumeMounts": [
            {"name": "data", "mountPath": _DATA},
            {"name": "metadata", "mountPath": _METADATA},
        ],
    }
    pod = {
        **manifests.ON_CONTROL_PLANE,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": name, "emptyDir": {}} for name in ("data", "metadata")],
    }
    service = manifests.node_port_service(NAME, NAMESPACE, port=PORT, node_port=NODE_PORT)
    return [manifests.deployment(NAME, NAMESPACE, pod, image_id=image_id), service]


def output(filepath: str, *, secret: str = CREDENTIALS) -> Document:
    """Return a file output of a recording that goes to the bucket."""
    return {
        "filepath": filepath,
        "s3": {
            "bucket": BUCKET,
            "region": REGION,
            "endpoint": ENDPOINT,
            "forcePathStyle": True,
            "credentialsSecretRef": {"name": secret},
        },
    }


def decode_keys(secret: Document) -> dict[str, str]:
    """Return the keys of a Secret as the API server answers it."""
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


class ObjectStore:
    """The bucket, seen from this machine through the NodePort that kind maps to 127.0.0.1."""

    def __init__(self, keys: dict[str, str]) -> None:
        self.keys = keys
        self._client: S3Client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{cluster.host_port(NODE_PORT)}",
            region_name=REGION,
            aws_access_key_id=keys["access_key"],
            aws_secret_access_key=keys["secret"],
            # No proxy of the environment may stand between us and loopback.
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}, proxies={}),
        )

    def make_bucket(self, timeout: float = 30) -> None:
        """Make the bucket unless it exists; a Service may refuse for a moment after a rollout. Raises E2EError."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if BUCKET not in [bucket["Name"] for bucket in self._client.list_buckets()["Buckets"]]:
                    self._client.create_bucket(Bucket=BUCKET)
            except (BotoCoreError, ClientError) as error:
                if time.monotonic() > deadline:
                    raise E2EError(f"the S3 server does not answer: {error}") from None
                time.sleep(0.5)
            else:
                return

    def names(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects below a prefix, sorted."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def read(self, key: str) -> bytes:
        """Return the content of one object."""
        return self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def fetch(self, key: str, target: Path) -> Path:
        """Save one object as a file and return its path."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._client.download_file(BUCKET, key, str(target))
        return target

    def remove(self, prefix: str) -> None:
        """Remove all objects below a prefix."""
        for key in self.names(prefix):
            self._client.delete_object(Bucket=BUCKET, Key=key)
