"""Owns the destinations of a spec that are neither S3 nor a volume: an HTTP server. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from egress_operator.api_s3 import ProxyConfig, SecretRef, http_url
from egress_operator.schema import ApiModel, rule

_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "x-api-key")
_OWN_HEADERS = ("content-length", "content-type", "host", "if-none-match", "transfer-encoding", "connection")


class Http(ApiModel):
    """A server that takes PUT: each object at the URL and its name."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [http_url("http.url", "https://media.example.com/in", optional=False)]
        }
    )

    url: str = Field(
        min_length=1,
        max_length=2048,
        description="Base URL that the object's name is appended to, or one with {filepath} in its path; a query stays.",
    )
    headers: dict[str, Annotated[str, Field(max_length=2048)]] | None = Field(
        default=None,
        max_length=20,
        description="Headers of every request that are no secret.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "self.all(name, name.matches('^[-_a-zA-Z0-9]+$')"
                    f" && !(name.lowerAscii() in {list(_OWN_HEADERS)}))",
                    f"http.headers: names are letters, digits, '-' and '_', and none of {', '.join(_OWN_HEADERS)}",
                ),
                rule(
                    f"self.all(name, !(name.lowerAscii() in {list(_SECRET_HEADERS)}))",
                    "http.headers must hold no secret: put Authorization and the like into a Secret of this namespace,"
                    " one key per header, and name it in http.credentialsSecretRef.name",
                ),
            ]
        },
    )
    credentials_secret_ref: SecretRef | None = Field(
        default=None, description="Secret whose keys are headers of every request, for example Authorization."
    )
    proxy: ProxyConfig | None = Field(default=None, description="HTTP proxy; absent: HTTPS_PROXY of the pod.")
