"""Owns every request to the API server except kopf's watches: plain dicts in and out, calls counted.

A thin layer over `kubernetes.aio`'s dynamic client. Its paths are given here, so there is no discovery and no cache
file. Not found, conflict and already-exists are values (`Outcome`); everything else is `ApiError`. Requests that may
be repeated (GET, PATCH, DELETE) are, up to three times, after 429, 5xx and lost connections; a POST never is.
"""

from __future__ import annotations

import asyncio
import enum
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Self

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client.rest import ApiException
from kubernetes.aio.dynamic import DynamicClient

from egress_operator import names
from egress_operator.errors import ApiError, SettingsError, redact
from egress_operator.metrics import Metrics
from egress_operator.model import Document
from egress_operator.settings import Settings

_TRIES = 3
_TIMEOUT = 30
_PAGE = 500
_MESSAGE_LIMIT = 500


class Outcome(enum.Enum):
    """What a request came to when it did nothing, and that is fine."""

    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    EXISTS = "already exists"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object by its path."""

    prefix: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the request path."""
        scope = f"/namespaces/{namespace}" if namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"/{self.prefix}{scope}/{self.plural}{tail}"


SECRETS: Final = Resource("api/v1", "secrets")
PODS: Final = Resource("api/v1", "pods")
EVENTS: Final = Resource("api/v1", "events")
JOBS: Final = Resource("apis/batch/v1", "jobs")
RECORDINGS: Final = {
    kind: Resource(f"apis/{names.GROUP}/{names.VERSION}", plural) for kind, plural in names.PLURALS.items()
}


class Kube:
    """The client. `async with` opens and closes its connections. `last_success` is monotonic seconds."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._client: Any = None
        self.last_success = monotonic()

    async def __aenter__(self) -> Self:
        configuration = type.__call__(kubernetes_client.Configuration)
        try:
            if self._settings.kubeconfig:
                await kubernetes_config.load_kube_config(
                    config_file=self._settings.kubeconfig, client_configuration=configuration
                )
            else:
                kubernetes_config.load_incluster_config(client_configuration=configuration)
        except (kubernetes_config.ConfigException, OSError) as error:
            raise SettingsError(f"no access to a cluster: {error}; set KUBECONFIG or run in a pod") from None
        configuration.connection_pool_maxsize = 40
        # As kopf's watches do: no proxy and no netrc, which would be looked up in two threads for each request.
        configuration.client_session_kwargs = {"trust_env": False}
        client = kubernetes_client.ApiClient(configuration)
        # Plain JSON goes in: the client need not walk through every body to make it so.
        client.sanitize_for_serialization = lambda value: value
        self._client = DynamicClient(client)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.client.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Document | None:
        """Return the object, None when there is none."""
        answer = await self._call("get", resource, resource.path(namespace, name))
        return None if isinstance(answer, Outcome) else answer

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Document]:
        """Yield the objects page by page."""
        query = {"labelSelector": labels, "fieldSelector": fields, "limit": str(_PAGE), "continue": ""}
        while True:
            parameters = [(key, value) for key, value in query.items() if value]
            answer = await self._call("list", resource, resource.path(namespace), query_params=parameters)
            if isinstance(answer, Outcome):
                raise ApiError(404, "NotFound", f"the API server does not know {resource.plural}")
            for item in answer.get("items") or ():
                yield item
            query["continue"] = (answer.get("metadata") or {}).get("continue") or ""
            if not query["continue"]:
                return

    async def create(self, resource: Resource, body: Document) -> Document | Outcome:
        """Create an object; EXISTS when there is one of that name."""
        path = resource.path(body["metadata"]["namespace"])
        answer = await self._call("create", resource, path, body=body)
        return Outcome.EXISTS if answer is Outcome.CONFLICT else answer

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Document, *, subresource: str = ""
    ) -> Document | Outcome:
        """Send a JSON merge patch; with metadata.resourceVersion in it CONFLICT says that it was outdated."""
        return await self._call(
            "patch",
            resource,
            resource.path(namespace, name, subresource),
            body=body,
            content_type="application/merge-patch+json",
        )

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str = ""
    ) -> Document | Outcome:
        """Delete an object and, in the background, what it owns. CONFLICT: it is another one than that `uid`."""
        path = resource.path(namespace, name)
        body: Document = {"propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        return await self._call("delete", resource, path, body=body)

    async def _call(self, verb: str, resource: Resource, path: str, **parameters: Any) -> Document | Outcome:
        tries = 1 if verb == "create" else _TRIES
        for attempt in range(tries):
            try:
                answer = await self._once(verb, resource, path, **parameters)
            except ApiError as error:
                if attempt + 1 == tries or not _is_transient(error.status):
                    raise
                await asyncio.sleep((0.2 * 3**attempt) * (1 + random.random()))
            else:
                self.last_success = monotonic()
                return answer
        raise AssertionError("unreachable")

    async def _once(self, verb: str, resource: Resource, path: str, **parameters: Any) -> Document | Outcome:
        method = {"list": "get", "create": "post"}.get(verb, verb)
        status = 0
        try:
            response = await self._client.request(
                method, path, serialize=False, _request_timeout=_TIMEOUT, **parameters
            )
            status = response.status
            document: Document = await response.json()
        except ApiException as error:
            status = error.status or 0
            if status in _VALUES:
                return _VALUES[status]
            raise _api_error(error, hide=resource is SECRETS) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(
                0, "Unreachable", f"the API server does not answer: {type(error).__name__}"
            ) from None
        else:
            return document
        finally:
            self._metrics.api_calls.labels(verb, resource.plural, str(status)).inc()


_VALUES: Final = {404: Outcome.NOT_FOUND, 409: Outcome.CONFLICT}


def _is_transient(status: int) -> bool:
    return status in {0, 429} or status >= 500


def _api_error(error: ApiException, *, hide: bool) -> ApiError:
    """The server's sentence, except about Secrets: it might quote what was sent. A quota's holds counts only."""
    reason, message = str(error.reason or ""), ""
    try:
        body = json.loads(error.body or "{}")
        reason = body.get("reason") or reason
        message = body.get("message") or ""
    except (ValueError, AttributeError):
        message = ""
    if hide and "exceeded quota" not in message:
        message = ""
    return ApiError(
        error.status or 0, reason, redact(message)[:_MESSAGE_LIMIT] or "the API server refused the request"
    )
