"""Owns how S3 requests get their rights and their way: an assumed role (STS), an HTTP proxy.

Which credentials a role is assumed with is the same as without one: those of the Secret, else the SDK's default chain
(IRSA, EKS pod identity, the instance's role). `AWS_ENDPOINT_URL_STS` leads to another STS.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.credentials import Credentials as KeyPair
from botocore.exceptions import NoCredentialsError

from egress_recorder.contract import S3Destination
from egress_recorder.storage.s3_names import DEFAULT_REGION
from egress_recorder.storage.s3_session import new_session
from egress_recorder.storage.secretfiles import proxy_password

SESSION_NAME = "livekit-egress"
"""How the role's use is named in the account's log; at most 64 characters."""


class _Role(CredentialProvider):
    """Gives the role's credentials, renewed before they expire."""

    METHOD = "assume-role"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, self.METHOD)


def assumed(
    session: botocore.session.Session,
    destination: S3Destination,
    static: tuple[str, str, str] | None,
    *,
    proxies: dict[str, str] | None,
) -> botocore.session.Session:
    """Return a session whose clients act as the destination's role. Raises NoCredentialsError without a source."""
    source: Any = (
        KeyPair(static[0], static[1], static[2] or None) if static is not None else session.get_credentials()
    )
    if source is None:
        raise NoCredentialsError
    arguments = {"RoleSessionName": SESSION_NAME}
    if destination.assume_role_external_id:
        arguments["ExternalId"] = destination.assume_role_external_id
    sts = functools.partial(
        session.create_client,
        region_name=destination.region or DEFAULT_REGION,
        config=Config(
            connect_timeout=5,
            read_timeout=20,
            proxies=proxies,
            retries={"mode": "standard", "total_max_attempts": 3},
        ),
    )
    fetcher = AssumeRoleCredentialFetcher(sts, source, destination.assume_role_arn, extra_args=arguments)
    made = new_session()
    # The models that are loaded already (10 MB) serve this session too.
    made.register_component("data_loader", session.get_component("data_loader"))
    made.register_component("credential_provider", CredentialResolver([_Role(fetcher)]))
    return made


def proxy_urls(destination: S3Destination, root: Path | None, *, where: str) -> dict[str, str] | None:
    """Return the proxy per scheme with its user information, None for the environment's own (HTTPS_PROXY)."""
    proxy = destination.proxy
    if proxy is None:
        return None
    url = urlsplit(proxy.url)
    netloc = url.netloc
    if proxy.username:
        password = proxy_password(proxy, root, where=where)
        netloc = f"{quote(proxy.username, safe='')}:{quote(password, safe='')}@{netloc}"
    made = url._replace(netloc=netloc).geturl()
    return {"http": made, "https": made}
