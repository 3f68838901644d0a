"""Owns objects behind an HTTP server that takes PUT: whole files with headers from a Secret, redirects, never overwriting.

Parts cannot be replaced there, so a file is sent after its end (`WholeStorage`). `If-None-Match: *` (RFC 9110 §13.1.2)
makes servers that know it refuse to overwrite; a HEAD goes before it for the others. What this recorder began to send
under a name is its own: after a lost answer an object of the same size there is a success.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import BinaryIO
from urllib.parse import quote, urljoin, urlsplit

from egress_recorder.contract import Destination, HttpDestination
from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from egress_recorder.redact import remember
from egress_recorder.storage.base import ObjectExistsError, StorageContext, checked_key
from egress_recorder.storage.rest import PASSING, Answer, HttpClient, origin
from egress_recorder.storage.secretfiles import SecretFiles

NAME_TOKEN = "{filepath}"  # noqa: S105 - a place holder
_REDIRECTS = 5
_KEEPS_METHOD = frozenset({307, 308})
_MOVED = frozenset({301, 302, 303, 307, 308})
_NO_SUCH_METHOD = frozenset({400, 405, 501})
"""What servers answer to HEAD or GET that only take PUT."""


class HttpStorage:
    """A base URL; or a URL with `{filepath}` where the name goes."""

    def __init__(self, destination: Destination, context: StorageContext) -> None:
        assert isinstance(destination, HttpDestination)
        self._where = f"{context.where}.http"
        self._filepath = context.where
        self._url = _checked_url(destination.url, self._where)
        self._plain = dict(destination.headers)
        name = destination.credentials
        self._files = SecretFiles(context.credentials_root, name, where=self._where) if name else None
        self._client = HttpClient(
            where=self._where, proxy=destination.proxy, credentials_root=context.credentials_root
        )
        self._begun: set[str] = set()
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes, *, content_type: str, overwrite: bool = False) -> None:
        """PUT a small object."""
        if overwrite:
            self._check(self._send("PUT", key, data, {"Content-Type": content_type}), "PUT")
        else:
            self._once(key, data, len(data), content_type)

    def put_whole(self, key: str, data: BinaryIO, *, content_type: str, overwrite: bool = False) -> None:
        """PUT a whole file from the stream."""
        if overwrite:
            self._check(self._send("PUT", key, data, {"Content-Type": content_type}), "PUT")
            return
        self._once(key, data, data.seek(0, 2), content_type)

    def read(self, key: str) -> bytes | None:
        """GET a small object; None when there is none, or when the server only takes PUT."""
        answer = self._send("GET", key)
        if answer.status in {404, 410} | _NO_SUCH_METHOD:
            return None
        self._check(answer, "GET")
        return answer.body

    def exists(self, key: str) -> bool:
        """HEAD the object. Raises AuthorizationError also where the headers only allow writing."""
        return self._size(key) is not None

    def location(self, key: str) -> str:
        """Return the object's URL without its query, which may be a signature."""
        return self._address(key).partition("?")[0]

    def _once(self, key: str, data: bytes | BinaryIO, size: int, content_type: str) -> None:
        with self._lock:
            ours = key in self._begun
        if not ours:
            with suppress(AuthorizationError):  # only writing is allowed: If-None-Match decides alone
                if self.exists(key):
                    raise ObjectExistsError(f"{self._where}: {key} exists already")
        with self._lock:
            self._begun.add(key)
        answer = self._send("PUT", key, data, {"Content-Type": content_type, "If-None-Match": "*"})
        if answer.status == 412:
            if self._is_of_size(key, size):
                return  # the answer to the first try was lost on the way
            with self._lock:
                self._begun.discard(key)
            raise ObjectExistsError(f"{self._where}: {key} exists already")
        self._check(answer, "PUT")

    def _is_of_size(self, key: str, size: int) -> bool:
        try:
            return self._size(key) == size
        except AuthorizationError:
            return False

    def _size(self, key: str) -> int | None:
        """Return the object's size, -1 when the server does not say, None when there is no object."""
        answer = self._send("HEAD", key)
        if answer.status in {404, 410} | _NO_SUCH_METHOD:
            return None
        self._check(answer, "HEAD")
        length = answer.headers.get("content-length", "")
        return int(length) if length.isdigit() else -1

    def _address(self, key: str) -> str:
        name = quote(checked_key(key, self._filepath), safe="/-_.~")
        if NAME_TOKEN in self._url:
            return self._url.replace(NAME_TOKEN, name)
        base, mark, query = self._url.partition("?")
        return f"{base.rstrip('/')}/{name}{mark}{query}"

    def _send(
        self, method: str, key: str, body: bytes | BinaryIO = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        url = self._address(key)
        secret = self._files.all() if self._files else {}
        for _ in range(_REDIRECTS + 1):
            answer = self._client.send(
                method, url, {**self._plain, **secret, **(headers or {})}, body, answer_timeout=300
            )
            if answer.status not in _MOVED or "location" not in answer.headers:
                return answer
            target = urljoin(url, answer.headers["location"])
            self._check_redirect(method, answer.status, url, target)
            if origin(target) != origin(url):
                secret = {}  # another server must not see what was meant for the first one
            url = target
        raise ConfigurationError(
            f"{self._where}.url: {origin(url)} redirects in a circle: write the final address"
        )

    def _check_redirect(self, method: str, status: int, url: str, target: str) -> None:
        split = urlsplit(target)
        shown = f"{origin(target)}{split.path}"
        if method == "PUT" and status not in _KEEPS_METHOD:
            raise ConfigurationError(
                f"{self._where}.url: the server answers PUT with a redirect ({status}) to {shown}, which turns it into a "
                "GET: write that address into url"
            )
        if split.scheme not in {"http", "https"} or (split.scheme == "http" and url.startswith("https:")):
            raise ConfigurationError(
                f"{self._where}.url: the server redirects from https to {shown}, which is not followed: write "
                "an https address into url"
            )

    def _check(self, answer: Answer, method: str) -> None:
        """Raise what an answer means that is no success. The server's own text is left out: it may repeat the request."""
        if not answer.ok:
            raise self._fault(answer.status, method)

    def _fault(self, status: int, method: str) -> RecorderError:
        if status in {401, 403}:
            return AuthorizationError(
                f"{self._where}: the server refuses {method} ({status}): check the headers in the Secret of "
                "credentialsSecretRef, for example Authorization, and that they allow PUT"
            )
        if status in {404, 405, 409, 410, 501}:
            return ConfigurationError(
                f"{self._where}.url: the server takes no {method} there ({status}): check the path, and that the "
                "server makes directories and allows PUT"
            )
        if status == 413:
            return ConfigurationError(
                f"{self._where}: the file is larger than the server takes (413): raise its limit, or limits.maxSize ends "
                "the recording before"
            )
        if status in PASSING or status >= 500:
            return UnreachableError(f"{self._where}: the server cannot serve the request now ({status})")
        return ConfigurationError(f"{self._where}: the server refuses {method} ({status})")


def _checked_url(url: str, where: str) -> str:
    """Return the URL. Raises ConfigurationError; what stands in its query is masked from now on."""
    try:
        split = urlsplit(url)
        valid = split.scheme in {"http", "https"} and bool(split.hostname)
        _ = split.port
    except ValueError:
        valid = False
    if not valid or "@" in split.netloc or split.fragment:
        raise ConfigurationError(
            f"{where}.url is no URL of an HTTP server: write it as https://host[:port]/path, without user or fragment"
        )
    if NAME_TOKEN in split.query:
        raise ConfigurationError(f"{where}.url: {NAME_TOKEN} goes into the path, not into the query")
    if split.query:
        remember(split.query)
    return url
