"""Owns a small synchronous Kubernetes client for the devstack and the tests: plain dicts, plain paths, no models.

It is synchronous and has one connection per thread, so that it works from any thread beside any event loop. The
product does not use it (`egress_operator.kube` is the product's).
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import yaml

Object = dict[str, Any]

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

_CORE = {
    "namespaces": False,
    "nodes": False,
    "pods": True,
    "secrets": True,
    "configmaps": True,
    "events": True,
    "serviceaccounts": True,
    "persistentvolumeclaims": True,
    "resourcequotas": True,
}
_GROUPS = {
    "jobs": ("batch/v1", True),
    "deployments": ("apps/v1", True),
    "clusterroles": ("rbac.authorization.k8s.io/v1", False),
    "clusterrolebindings": ("rbac.authorization.k8s.io/v1", False),
    "customresourcedefinitions": ("apiextensions.k8s.io/v1", False),
    "participantegresses": ("egress.livekit.io/v1alpha1", True),
    "trackcompositeegresses": ("egress.livekit.io/v1alpha1", True),
}


_CLOSED_MEANWHILE = (
    http.client.RemoteDisconnected,
    ssl.SSLEOFError,
    BrokenPipeError,
    ConnectionResetError,
)
"""What a kept connection says when the server has closed it (a restarted one) before it read the request."""


class ApiError(Exception):
    """The API server answered with an error; ``status`` is HTTP's, ``reason`` Kubernetes' (NotFound, Conflict …)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class ApiUnavailableError(OSError):
    """The API server cannot be reached (OSError, so that waiting code may treat it like a refused connection)."""


def path(plural: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the URL path of a resource, for example ``path("pods", "default", "a", "status")``."""
    if plural in _CORE:
        base, namespaced = "/api/v1", _CORE[plural]
    else:
        group, namespaced = _GROUPS[plural]
        base = f"/apis/{group}"
    parts = [base]
    if namespaced and namespace:
        parts += ["namespaces", quote(namespace)]
    parts.append(plural)
    parts += [quote(part, safe="") for part in (name, subresource) if part]
    return "/".join(parts)


class KubeApi:
    """A connection to one API server with one bearer token."""

    def __init__(self, server: str, *, ca: str, token: str) -> None:
        parts = urlsplit(server)
        self.server = server
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._tls = ssl.create_default_context(cadata=ca)
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._local = threading.local()

    @classmethod
    def from_kubeconfig(cls, kubeconfig: Path) -> KubeApi:
        """Read the current context of a kubeconfig that `write_kubeconfig` wrote."""
        document = yaml.safe_load(kubeconfig.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        ca = Path(cluster["certificate-authority"]).read_text()
        return cls(cluster["server"], ca=ca, token=user["token"])

    # -- plain calls --

    def request(
        self,
        method: str,
        url: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> Object:
        """Send one request and return the JSON answer. Raises ApiError and ApiUnavailableError."""
        if query:
            url = f"{url}?{urlencode(query)}"
        payload = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": content_type, "Accept": accept}
        # A kept connection may have been closed by the server meanwhile: once more on a new one.
        for fresh in (False, True):
            connection = self._connection(fresh=fresh)
            try:
                connection.request(method, url, payload, headers)
                response = connection.getresponse()
                text = response.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._local.connection = None
                # A request that was sent may have been executed: only reading is repeated blindly.
                if fresh or not (method == "GET" or isinstance(error, _CLOSED_MEANWHILE)):
                    raise ApiUnavailableError(f"{self.server} does not answer: {error}") from error
                continue
            return _answer(response.status, text)
        raise AssertionError("unreachable")

    def _connection(self, *, fresh: bool) -> http.client.HTTPSConnection:
        kept: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if kept is None or fresh:
            kept = self._local.connection = self._connect(timeout=30)
        return kept

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)

    # -- by resource --

    def get(self, plural: str, namespace: str = "", name: str = "", subresource: str = "") -> Object:
        """Return one object. Raises ApiError (404 when there is none)."""
        return self.request("GET", path(plural, namespace, name, subresource))

    def find(self, plural: str, namespace: str = "", name: str = "") -> Object | None:
        """Return one object, None when there is none."""
        try:
            return self.get(plural, namespace, name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, plural: str, namespace: str = "", *, labels: str = "", fields: str = "") -> list[Object]:
        """Return the items of a list, filtered by a label and a field selector."""
        answer = self.request("GET", path(plural, namespace), query=_selectors(labels, fields))
        items: list[Object] = answer["items"]
        return items

    def create(
        self, plural: str, namespace: str, body: Object, *, name: str = "", subresource: str = ""
    ) -> Object:
        """Create an object (or post to a subresource of one) and return it."""
        return self.request("POST", path(plural, namespace, name, subresource), body)

    def patch(
        self,
        plural: str,
        namespace: str,
        name: str,
        body: Any,
        *,
        subresource: str = "",
        content_type: str = MERGE,
    ) -> Object:
        """Patch an object and return it; a merge patch unless ``content_type`` says otherwise."""
        return self.request(
            "PATCH", path(plural, namespace, name, subresource), body, content_type=content_type
        )

    def apply(self, plural: str, namespace: str, body: Object) -> Object:
        """Apply an object on the server's side (create or update), as ``kubectl apply --server-side --force``."""
        return self.request(
            "PATCH",
            path(plural, namespace, body["metadata"]["name"]),
            body,
            content_type=APPLY,
            query={"fieldManager": "devstack", "force": "true"},
        )

    def delete(self, plural: str, namespace: str, name: str, options: Object | None = None) -> bool:
        """Delete an object; False when there was none."""
        try:
            self.request("DELETE", path(plural, namespace, name), options)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def create_secret(self, namespace: str, name: str, values: Mapping[str, str]) -> Object:
        """Create or replace an opaque Secret from plain text values."""
        data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "type": "Opaque",
            "data": data,
        }
        return self.apply("secrets", namespace, body)

    def watch(
        self, plural: str, resource_version: str, *, timeout: int = 300
    ) -> Iterator[tuple[str, Object]]:
        """Yield (ADDED | MODIFIED | DELETED | ERROR, object) of all namespaces until the server ends the watch."""
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout),
            "allowWatchBookmarks": "true",
        }
        connection = self._connect(timeout=timeout + 30)
        try:
            connection.request("GET", f"{path(plural)}?{urlencode(query)}", headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                _answer(response.status, response.read())
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            raise ApiUnavailableError(f"{self.server} ended the watch: {error}") from error
        finally:
            connection.close()


def _selectors(labels: str, fields: str) -> dict[str, str]:
    selectors = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in selectors.items() if value}


def _answer(status: int, text: bytes) -> Object:
    try:
        document = json.loads(text)
    except ValueError:
        document = {
            "message": text.decode(errors="replace")[:300]
        }  # /readyz and the like answer in plain text
    if status >= 400:
        raise ApiError(status, str(document.get("reason") or ""), str(document.get("message") or ""))
    answer: Object = document
    return answer
