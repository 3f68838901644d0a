"""Owns an S3 server (versitygw over a directory) on loopback; it verifies signatures, so wrong keys are refused."""

from __future__ import annotations

import os
import secrets
import urllib.request
from collections.abc import Callable
from pathlib import Path

import boto3
from botocore.config import Config
from mypy_boto3_s3 import S3Client

from devstack import build
from devstack.process import LOOPBACK, ServerProcess, free_port, say

REGION = "us-east-1"
DOMAIN = "s3.test"
"""Also answered as `BUCKET.s3.test`, by whoever lets such names mean loopback (RFC 6761 keeps `test` out of DNS)."""
_HEALTH = "/devstack-health"


class S3Server:
    """An S3 endpoint with one bucket; more by ``client().create_bucket``."""

    def __init__(
        self,
        directory: Path,
        *,
        bucket: str = "recordings",
        progress: Callable[[str], None] = say,
        access_log: Path | None = None,
    ) -> None:
        """`access_log`: gets a line per request when it is answered, in the format of S3's server access log."""
        self.directory = directory
        self.access_log = access_log
        self.bucket = bucket
        self.region = REGION
        self.endpoint = f"http://{LOOPBACK}:{free_port()}"
        self.access_key = f"AK{secrets.token_hex(9).upper()}"
        self.secret_key = secrets.token_hex(20)
        self._progress = progress
        self._process: ServerProcess | None = None

    @property
    def servers(self) -> list[ServerProcess]:
        """The process, once started."""
        return [] if self._process is None else [self._process]

    @property
    def named_endpoint(self) -> str:
        """The endpoint by a name, below which each bucket has a host name of its own."""
        return self.endpoint.replace(LOOPBACK, DOMAIN)

    def start(self) -> None:
        """Start, create the bucket, return when it answers. Raises ProcessError."""
        binary = build.ensure("versitygw", say=self._progress)["versitygw"]
        data, metadata = self.directory / "data", self.directory / "metadata"
        for path in (data, metadata):
            path.mkdir(parents=True, exist_ok=True)
        if self._process is None:
            command: list[str | Path] = [
                binary,
                "--port",
                self.endpoint.removeprefix("http://"),
                "--region",
                REGION,
            ]
            if self.access_log is not None:
                command += ["--access-log", self.access_log]
            command += ["--virtual-domain", DOMAIN, "--health", _HEALTH, "posix"]
            # Metadata as files: extended attributes are missing on some temporary file systems.
            command += ["--sidecar", str(metadata), str(data)]
            keys = {"ROOT_ACCESS_KEY_ID": self.access_key, "ROOT_SECRET_ACCESS_KEY": self.secret_key}
            self._process = ServerProcess(
                "versitygw", command, log=self.directory / "versitygw.log", env={**os.environ, **keys}
            )
        self._process.start()
        self._process.wait_ready(self._is_healthy, timeout=60)
        if not (data / self.bucket).exists():
            self.client().create_bucket(Bucket=self.bucket)
        self._progress(f"S3 server ready ({self.endpoint}, bucket {self.bucket})")

    def stop(self) -> None:
        """End the server; the objects stay."""
        if self._process is not None:
            self._process.stop(grace=2)

    def kill(self) -> None:
        """Kill the server as a crash would; `start` brings it back on the same port with the same objects."""
        if self._process is not None:
            self._process.kill()

    def client(self) -> S3Client:
        """Return a boto3 client with the right keys."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
        )

    def keys(self, prefix: str = "", *, bucket: str = "") -> list[str]:
        """Return the keys of all objects below a prefix, sorted."""
        pages = (
            self.client()
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket or self.bucket, Prefix=prefix)
        )
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def read(self, key: str, *, bucket: str = "") -> bytes:
        """Return the content of one object."""
        return self.client().get_object(Bucket=bucket or self.bucket, Key=key)["Body"].read()

    def download(self, key: str, target: Path, *, bucket: str = "") -> Path:
        """Save one object as a file and return its path."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self.client().download_file(bucket or self.bucket, key, str(target))
        return target

    def _is_healthy(self) -> bool:
        # No proxy of the environment may stand between us and loopback.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.endpoint}{_HEALTH}", timeout=1) as response:
            return bool(response.status == 200)
