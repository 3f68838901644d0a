"""Owns Azurite, Microsoft's emulator of Azure Blob Storage, on loopback: it verifies signatures, SAS and tokens' claims.

Over HTTPS it also takes OAuth tokens: their issuer, audience and times are checked, their signature is not.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import shutil
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlencode

from devstack import npm
from devstack.certificates import Certificate
from devstack.process import LOOPBACK, ServerProcess, free_port

API_VERSION = "2021-12-02"


class AzureServer:
    """A blob service with one account and one container."""

    def __init__(
        self, directory: Path, *, certificate: Certificate | None = None, container: str = "recordings"
    ) -> None:
        self.directory = directory
        self.certificate = certificate
        self.container = container
        self.account = "media"
        self.key = base64.b64encode(secrets.token_bytes(48)).decode()
        self.origin = f"{'https' if certificate else 'http'}://{LOOPBACK}:{free_port()}"
        self._process: ServerProcess | None = None

    @property
    def endpoint(self) -> str:
        """Address of the account."""
        return f"{self.origin}/{self.account}"

    def start(self) -> None:
        """Start, make the container. Raises ProcessError, NpmError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        command: list[str | Path] = [shutil.which("node") or "node", npm.azurite(), "--blobHost", LOOPBACK]
        command += ["--blobPort", self.origin.rpartition(":")[2], "--location", self.directory / "data"]
        command += ["--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        if self.certificate:
            command += [
                "--cert",
                self.certificate.certificate,
                "--key",
                self.certificate.key,
                "--oauth",
                "basic",
            ]
        environment = {**os.environ, "AZURITE_ACCOUNTS": f"{self.account}:{self.key}"}
        self._process = ServerProcess("azurite", command, log=self.directory / "azurite.log", env=environment)
        self._process.start()
        self._process.wait_ready(self._has_container, timeout=60)

    def stop(self) -> None:
        """End the server."""
        if self._process is not None:
            self._process.stop(grace=2)

    def sas(self, permissions: str = "rcw", *, lifetime: timedelta = timedelta(hours=1)) -> str:
        """Return a service SAS for the container's blobs (version 2020-12-06 and later)."""
        until = (datetime.now(UTC) + lifetime).strftime("%Y-%m-%dT%H:%M:%SZ")
        resource = f"/blob/{self.account}/{self.container}"
        fields = [permissions, "", until, resource, "", "", "", API_VERSION, "c", "", "", "", "", "", "", ""]
        query = {"sv": API_VERSION, "sr": "c", "sp": permissions, "se": until}
        return urlencode({**query, "sig": self._sign("\n".join(fields))})

    def _sign(self, text: str) -> str:
        key = base64.b64decode(self.key)
        return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()

    def _has_container(self) -> bool:
        date = formatdate(usegmt=True)
        own = f"x-ms-date:{date}\nx-ms-version:{API_VERSION}"
        resource = f"/{self.account}/{self.account}/{self.container}\nrestype:container"
        signature = self._sign("\n".join(["PUT", *[""] * 11, own, resource]))
        headers = {
            "x-ms-date": date,
            "x-ms-version": API_VERSION,
            "Authorization": f"SharedKey {self.account}:{signature}",
        }
        url = f"{self.endpoint}/{self.container}?restype=container"
        request = urllib.request.Request(url, method="PUT", headers=headers, data=None)
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.certificate:
            handlers.append(urllib.request.HTTPSHandler(context=self.certificate.client_context()))
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=2) as answer:
                return bool(answer.status == 201)
        except urllib.error.HTTPError as error:
            return error.code == 409
