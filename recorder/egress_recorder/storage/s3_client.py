"""Owns the connection to one S3 server: credentials from files, the botocore client, its time-outs and its faults.

botocore, boto3's core, is used alone: boto3 would add 13 MB of memory and nothing that is needed.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from egress_recorder.contract import S3Destination
from egress_recorder.errors import AuthorizationError
from egress_recorder.storage.s3_errors import client_fault, library_fault
from egress_recorder.storage.s3_names import DEFAULT_REGION, path_style
from egress_recorder.storage.s3_roles import assumed, proxy_urls
from egress_recorder.storage.s3_session import new_session
from egress_recorder.storage.secretfiles import SecretFiles

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_CREDENTIAL_FILES = {
    "access_key": ("access_key", "AWS_ACCESS_KEY_ID"),
    "secret": ("secret", "AWS_SECRET_ACCESS_KEY"),
    "session_token": ("session_token", "AWS_SESSION_TOKEN"),
}
Credentials = tuple[str, str, str] | None
"""Access key, secret and session token (may be empty); None: the SDK's default chain."""

_making = threading.Lock()
"""A session makes one client at a time; clients themselves may be used by several threads."""


@functools.cache
def _shared_session() -> botocore.session.Session:
    """Return the process's session: it keeps S3's model (10 MB), which each session of its own would load again."""
    return new_session()


class S3Connection:
    """Gives a client that is made again whenever the credential files have changed, so that rotation works."""

    def __init__(
        self, destination: S3Destination, endpoint: str, *, credentials_root: Path | None, where: str
    ) -> None:
        self._destination = destination
        self._endpoint = endpoint
        self._where = where
        self._root = credentials_root
        name = destination.credentials
        self._files = SecretFiles(credentials_root, name, where=where) if name else None
        self._cached: tuple[object, S3Client] | None = None

    @contextmanager
    def faults(self, key: str = "") -> Iterator[S3Client]:
        """Give the client for one operation; turn what botocore raises into our errors."""
        try:
            yield self._current()
        except ClientError as error:
            raise client_fault(error, where=self._where, bucket=self._destination.bucket, key=key) from error
        except BotoCoreError as error:
            raise library_fault(error, where=self._where, endpoint=self._endpoint) from error

    def _current(self) -> S3Client:
        credentials = self._read_credentials()
        proxies = proxy_urls(self._destination, self._root, where=self._where)
        if self._cached is None or self._cached[0] != (credentials, proxies):
            self._cached = ((credentials, proxies), self._new_client(credentials, proxies))
        return self._cached[1]

    def _new_client(self, credentials: Credentials, proxies: dict[str, str] | None) -> S3Client:
        # AWS gets SDK's default checksums; other servers often refuse the trailing checksum that they bring.
        checksums: Any = "when_required" if self._endpoint else "when_supported"
        config = Config(
            connect_timeout=5,
            read_timeout=60,
            proxies=proxies,
            # botocore would presign with version 2 in old regions: AWS refuses that for SSE-KMS.
            signature_version="s3v4",
            retries={"mode": "standard", "total_max_attempts": 3},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
            s3={"addressing_style": "path" if path_style(self._destination, self._endpoint) else "virtual"},
        )
        access_key, secret, session_token = credentials or (None, None, None)
        with _making:
            session = _shared_session()
            if self._destination.assume_role_arn:
                session = assumed(session, self._destination, credentials, proxies=proxies)
                access_key = secret = session_token = None
            # Any: botocore's stubs know no S3; boto3's do.
            client: Any = session.create_client(
                "s3",
                region_name=self._destination.region or (DEFAULT_REGION if self._endpoint else None),
                endpoint_url=self._endpoint or None,
                aws_access_key_id=access_key,
                aws_secret_access_key=secret,
                aws_session_token=session_token or None,
                config=config,
            )
        return client  # type: ignore[no-any-return]

    def _read_credentials(self) -> Credentials:
        if self._files is None:
            return None
        values = self._files.values(_CREDENTIAL_FILES)
        for field in ("access_key", "secret"):
            if not values.get(field):
                first, second = _CREDENTIAL_FILES[field]
                raise AuthorizationError(
                    f"{self._where}: the credentials Secret has no key {first!r} (or {second!r}): add it, or "
                    "leave credentialsSecretRef out to use the pod's workload identity"
                )
        return values["access_key"], values["secret"], values.get("session_token", "")
