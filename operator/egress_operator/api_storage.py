"""Owns the destinations of a spec: which kinds there are, and that an output or a storage names at most one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ConfigDict, Field

from egress_operator.api_s3 import INLINE_SECRETS as S3_SECRETS
from egress_operator.api_s3 import S3, ProxyConfig, SecretRef
from egress_operator.api_vendors import ALI_OSS_SECRETS, AZURE_SECRETS, GCP_SECRETS, AliOss, Azure, Gcp, Http
from egress_operator.schema import BRIEF, ApiModel, dns_name, rule

__all__ = [
    "INLINE_SECRETS",
    "KINDS",
    "S3",
    "BackupStorage",
    "Http",
    "Place",
    "ProxyConfig",
    "SecretRef",
    "Storage",
    "VolumeClaim",
    "at_most_one",
    "brief_places",
]

KINDS = ("s3", "gcp", "azure", "aliOSS", "http", "pvc")
"""Names of the destinations in a spec, in the order of messages."""
INLINE_SECRETS = {"s3": S3_SECRETS, "gcp": GCP_SECRETS, "azure": AZURE_SECRETS, "aliOSS": ALI_OSS_SECRETS}
"""LiveKit's secret fields of each kind, which a manifest must not hold."""
_WORDS = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"


class VolumeClaim(ApiModel):
    """A PersistentVolumeClaim of the resource's namespace; the file is written below its root."""

    claim_name: str = Field(
        min_length=1,
        max_length=253,
        description="Name of a PersistentVolumeClaim in the same namespace.",
        json_schema_extra=dns_name("pvc.claimName"),
    )


class Place(ApiModel):
    """One destination, or none."""

    s3: S3 | None = Field(default=None, description="Upload to S3.")
    gcp: Gcp | None = Field(default=None, description="Upload to Google Cloud Storage.")
    azure: Azure | None = Field(default=None, description="Upload to Azure Blob Storage.")
    ali_oss: AliOss | None = Field(default=None, alias="aliOSS", description="Upload to Alibaba Cloud OSS.")
    http: Http | None = Field(default=None, description="PUT to an HTTP server, each file after its end.")
    pvc: VolumeClaim | None = Field(default=None, description="Write to a mounted volume.")

    @property
    def destinations(self) -> dict[str, ApiModel]:
        """The destinations that are set, by the name of their field; a valid resource has at most one."""
        fields = {kind: getattr(self, name) for kind, name in _FIELDS.items()}
        return {kind: value for kind, value in fields.items() if value is not None}


_FIELDS = {field.alias or name: name for name, field in Place.model_fields.items()}


def _count() -> str:
    return " + ".join(f"(has(self.{kind}) ? 1 : 0)" for kind in KINDS)


def at_most_one(field: str) -> dict[str, Any]:
    """Return the rule of a list whose entries may name a destination of their own."""
    return rule(
        f"{_count()} <= 1",
        f"each entry of {field} takes at most one destination: set one of {_WORDS}, or none"
        " for that of spec.storage or of the operator",
    )


def brief_places(rules: Sequence[dict[str, Any]], schema: dict[str, Any]) -> None:
    """Add the rules of an output whose destinations are described at fileOutputs."""
    schema["x-kubernetes-validations"] = [*rules]
    for kind in KINDS:
        schema["properties"][kind][BRIEF] = True


def exactly_one(field: str) -> dict[str, Any]:
    """Return the rule of an object that is a destination."""
    places = f"{', '.join(f'{field}.{kind}' for kind in KINDS[:-1])} or {field}.{KINDS[-1]}"
    return rule(f"{_count()} == 1", f"{field} needs exactly one destination: set one of {places}")


class BackupStorage(Place):
    """Where a file goes when its storage has failed for good."""

    model_config = ConfigDict(
        json_schema_extra={"x-kubernetes-validations": [exactly_one("backupStorage")], BRIEF: True}
    )


class Storage(Place):
    """Where files go that name no destination of their own."""

    model_config = ConfigDict(json_schema_extra={"x-kubernetes-validations": [exactly_one("storage")]})
