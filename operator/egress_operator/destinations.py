"""Owns the way from a destination in a spec to what a recorder is given: the contract's form, Secrets, claims. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from egress_operator.api_s3 import S3, ProxyConfig, SecretKeyRef
from egress_operator.api_storage import Place, SecretRef, VolumeClaim
from egress_operator.api_vendors import AliOss, Azure, Gcp, Http
from egress_recorder import contract

_SecretName = SecretRef | SecretKeyRef


def secret_names(model: BaseModel) -> Iterator[tuple[str, str]]:
    """Yield (path of the reference, name of the Secret) of all Secrets that a part of a spec names."""
    for field, described in type(model).model_fields.items():
        value = getattr(model, field)
        name = described.alias or field
        if isinstance(value, _SecretName):
            yield name, value.name
        elif isinstance(value, BaseModel):
            yield from ((f"{name}.{inner}", secret) for inner, secret in secret_names(value))


_WITH_SECRETS: Mapping[type[object], Callable[..., contract.Destination]] = {
    S3: contract.S3Destination,
    Gcp: contract.GcpDestination,
    AliOss: contract.AliOssDestination,
    Azure: contract.AzureDestination,
    Http: contract.HttpDestination,
}
"""The contract's form of what takes credentials and a proxy: the other fields have the same names on both sides."""


def credential_secrets(places: Sequence[Place]) -> list[str]:
    """Return the storage Secrets, each once; the index is the directory's name below the credentials root."""
    return list(dict.fromkeys(name for place in places for _, name in secret_names(place)))


def claims(places: Sequence[Place]) -> list[str]:
    """Return the claims, each once; the index is the directory's name below the volumes root."""
    return list(dict.fromkeys(place.pvc.claim_name for place in places if place.pvc))


def destination(places: Sequence[Place], place: Place) -> contract.Destination:
    """Return the contract's form of one of the places. The order of all places gives the directories' names."""
    (made,) = place.destinations.values()
    if isinstance(made, VolumeClaim):
        volume = str(claims(places).index(made.claim_name))
        return contract.VolumeDestination(volume=volume, claim_name=made.claim_name)
    if not isinstance(made, S3 | Gcp | AliOss | Azure | Http):
        raise TypeError(f"{type(made).__name__} has no form in the contract")
    directories = _Directories(credential_secrets(places))
    return _WITH_SECRETS[type(made)](
        **_plain(made, "credentials_secret_ref", "proxy"),
        credentials=directories.of(made.credentials_secret_ref),
        proxy=directories.proxy(made.proxy),
    )


class _Directories:
    """Where Secrets are mounted, by their order."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = secrets

    def of(self, reference: _SecretName | None) -> str:
        return "" if reference is None else str(self._secrets.index(reference.name))

    def proxy(self, given: ProxyConfig | None) -> contract.Proxy | None:
        if given is None:
            return None
        reference = given.password_secret_ref
        return contract.Proxy(
            url=given.url,
            username=given.username or "",
            credentials=self.of(reference),
            password_key=(reference and reference.key) or "password",
        )


def _plain(made: BaseModel, *without: str) -> dict[str, Any]:
    """Return the fields that are set, under their names, which spec and contract share."""
    return made.model_dump(exclude_none=True, exclude=set(without))
