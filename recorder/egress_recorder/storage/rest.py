"""Owns plain HTTP requests of storages without an SDK: urllib3, which botocore brings anyway, and its faults.

The vendors' SDKs would add 17 to 33 MB to the image and 31 to 46 MB to a recorder's memory; a dozen requests do not
need them. Certificates are verified against the system's (`SSL_CERT_FILE` names others). A request is repeated twice
at once for what may pass (no answer, 408, 429, 5xx); longer outages are `upload.py`'s.
"""

from __future__ import annotations

import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, ProxyError, SSLError

from egress_recorder.destinations import Proxy
from egress_recorder.errors import AuthorizationError, ConfigurationError, RecorderError, UnreachableError
from egress_recorder.storage.secretfiles import proxy_password

_ATTEMPTS = 3
_FIRST_PAUSE = 0.2
_BLOCK = 64 * 1024
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that another try may change."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a server."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def ok(self) -> bool:
        """True for 2xx."""
        return 200 <= self.status < 300


def origin(url: str) -> str:
    """Return `scheme://host:port` of a URL: what may be said of it in a message."""
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}"


def checked_url(url: str, where: str) -> str:
    """Return an endpoint without its final slash. Raises ConfigurationError for what is no address of a server."""
    try:
        split = urlsplit(url)
        valid = split.scheme in {"http", "https"} and bool(split.hostname)
        _ = split.port
    except ValueError:
        valid = False
    if not valid or "@" in split.netloc or split.query or split.fragment:
        raise ConfigurationError(
            f"{where} is no URL of a server: write it as https://host[:port], without user or query"
        )
    return url.rstrip("/")


class HttpClient:
    """Sends requests of one destination. `where` is its name in messages, `fileOutputs[0].azure`; `direct`: never by a proxy."""

    def __init__(
        self,
        *,
        where: str,
        proxy: Proxy | None = None,
        credentials_root: Path | None = None,
        direct: bool = False,
    ) -> None:
        self._where = where
        self._proxy = proxy
        self._root = credentials_root
        self._direct = direct
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | BinaryIO = b"",
        *,
        answer_timeout: float = 60.0,
    ) -> Answer:
        """Send and return the answer, whatever its status; redirects are not followed.

        Raises UnreachableError when there is none, ConfigurationError for an address or certificate that is wrong.
        """
        size = len(body) if isinstance(body, bytes) else body.seek(0, 2)
        sent = (
            {**headers, "Content-Length": str(size)} if size or method in {"PUT", "POST"} else dict(headers)
        )
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            if not isinstance(body, bytes):
                body.seek(0)
            try:
                answer = self._once(method, url, sent, body, answer_timeout)
            except UnreachableError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                if answer.status not in PASSING or attempt == _ATTEMPTS:
                    return answer
            time.sleep(pause)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _once(
        self, method: str, url: str, headers: dict[str, str], body: bytes | BinaryIO, answer_timeout: float
    ) -> Answer:
        pool, by_proxy = self._pool(url)
        server = origin(url)
        try:
            answer = pool.urlopen(
                method,
                url,
                body=body or None if isinstance(body, bytes) else body,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=5, read=answer_timeout),
            )
        except SSLError as error:
            raise ConfigurationError(
                f"{self._where}: {server} has a certificate that is not trusted, or speaks no TLS: correct the address, "
                "or let SSL_CERT_FILE name the authority's certificate"
            ) from error
        except LocationParseError as error:
            raise ConfigurationError(f"{self._where}: the address is no valid URL") from error
        except ProxyError as error:
            raise self._proxy_fault(error) from error
        except (HTTPError, OSError) as error:
            who = f"{self._where}.proxy: the proxy" if by_proxy else f"{self._where}: {server}"
            raise UnreachableError(f"{who} does not answer ({_name(error)}): check the address") from error
        if answer.status == 407:
            raise self._proxy_fault(None)
        return Answer(
            answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data
        )

    def _proxy_fault(self, error: ProxyError | None) -> RecorderError:
        if error is None or "407" in str(error.original_error):
            return AuthorizationError(
                f"{self._where}.proxy: the proxy refuses user and password: check username and passwordSecretRef"
            )
        if isinstance(error.original_error, SSLError):
            return ConfigurationError(
                f"{self._where}: the server behind the proxy has a certificate that is not trusted"
            )
        return UnreachableError(
            f"{self._where}.proxy: the proxy does not let the request through: check url and password"
        )

    def _pool(self, url: str) -> tuple[urllib3.PoolManager, bool]:
        """Return the pool for a URL, and whether it leads through the destination's own proxy."""
        address, user = self._way(url)
        if (address, user) not in self._pools:
            headers = urllib3.make_headers(proxy_basic_auth=user) if user else None
            # Any: its stubs have no ssl_context. The blocks of 16 kB that urllib3 sends by itself are small for media.
            shared: Any = {"blocksize": _BLOCK, "ssl_context": ssl.create_default_context(), "maxsize": 4}
            self._pools[address, user] = (
                urllib3.ProxyManager(address, proxy_headers=headers, **shared)
                if address
                else urllib3.PoolManager(**shared)
            )
        return self._pools[address, user], bool(address and self._proxy)

    def _way(self, url: str) -> tuple[str, str]:
        """Return the proxy's address and `user:password`; the environment's own (HTTPS_PROXY) where none is set."""
        if self._proxy is not None:
            password = proxy_password(self._proxy, self._root, where=self._where)
            user = f"{self._proxy.username}:{password}" if self._proxy.username else ""
            return self._proxy.url, user
        if self._direct:
            return "", ""
        split = urlsplit(url)
        proxies = urllib.request.getproxies()
        if split.scheme not in proxies or urllib.request.proxy_bypass(split.netloc):
            return "", ""
        proxy = urlsplit(proxies[split.scheme])
        user, _, server = proxy.netloc.rpartition("@")
        return proxy._replace(netloc=server).geturl(), user


def _name(error: BaseException) -> str:
    """Return the kind of a fault; its text may hold the whole URL."""
    reason = getattr(error, "reason", None)
    return type(reason if isinstance(reason, BaseException) else error).__name__
