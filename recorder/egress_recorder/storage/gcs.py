"""Owns objects in Google Cloud Storage: multipart uploads by its XML API, whose parts can be replaced and taken up.

`x-goog-if-generation-match: 0` makes a PUT fail when the object exists. The completion of a multipart upload knows no
condition ("Preconditions are not supported", Google's page on XML API multipart uploads): a HEAD right before it is all
there is, so a foreign object that appears within these milliseconds would be replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from egress_recorder.contract import Destination, GcpDestination
from egress_recorder.errors import AuthorizationError, RecorderError
from egress_recorder.storage.base import StorageContext
from egress_recorder.storage.gcs_auth import GcsAuth
from egress_recorder.storage.rest import HttpClient, checked_url
from egress_recorder.storage.secretfiles import SecretFiles
from egress_recorder.storage.xml_multipart import XmlMultipartStorage, path_of, query_of

_PUBLIC = "https://storage.googleapis.com"
_REFUSED = {
    "AuthenticationRequired": "the token is not accepted",
    "InvalidSecurity": "the token is not accepted",
    "UserProjectAccountProblem": "the project's account is not in order",
}


class GcsStorage(XmlMultipartStorage):
    """A bucket and what is in it."""

    META = "x-goog-meta-"
    NOT_OVER_PUT: ClassVar[Mapping[str, str]] = {"x-goog-if-generation-match": "0"}
    NOT_OVER_COMPLETE: ClassVar[Mapping[str, str]] = {}

    def __init__(self, destination: Destination, context: StorageContext) -> None:
        assert isinstance(destination, GcpDestination)
        where = f"{context.where}.gcp"
        root, name = context.credentials_root, destination.credentials
        client = HttpClient(where=where, proxy=destination.proxy, credentials_root=root)
        super().__init__(context, client, where=where, bucket=destination.bucket)
        self._own = checked_url(destination.endpoint, f"{where}.endpoint") if destination.endpoint else ""
        files = SecretFiles(root, name, where=where) if name else None
        self._auth = GcsAuth(files, client, where=where)

    def location(self, key: str) -> str:
        """Return the object's URL, as LiveKit writes it where a certificate covers the bucket's name."""
        if self._own or "." in self._bucket:
            return f"{self._own or _PUBLIC}/{self._bucket}/{path_of(key)}"
        return f"https://{self._bucket}.storage.googleapis.com/{path_of(key)}"

    def _signed(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[str, dict[str, str]]:
        del method  # the token is for all of them
        url = f"{self._own or _PUBLIC}/{self._bucket}/{path_of(key)}{query_of(query)}"
        return url, {**headers, "Authorization": f"Bearer {self._auth.bearer()}"}

    def _refusal(self, code: str) -> RecorderError | None:
        if code in _REFUSED:
            return AuthorizationError(f"{self._where}: {_REFUSED[code]} ({code})")
        return None
