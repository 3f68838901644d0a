"""Owns the settings that are JSON: storages, defaults of recorders' pods, resources per preset, webhooks. Pure.

They have the spelling of a resource's spec and are refused like one, at start, with a sentence that names the variable
and the key; a value is never repeated, for it might be a secret that was pasted there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from egress_operator.api_storage import INLINE_SECRETS, KINDS, Storage
from egress_operator.api_template import Resources, Template
from egress_operator.api_volumes import OWN_ENVIRONMENT, OWN_PATHS, OWN_VOLUME_PREFIXES, OWN_VOLUMES
from egress_operator.api_webhooks import WebhookConfig
from egress_operator.destinations import secret_names
from egress_operator.errors import SettingsError
from egress_operator.names import GROUP
from egress_operator.schema import ApiModel
from egress_operator.units import exact_quantity
from egress_recorder.contract import PRESETS

STORAGE: Final = "EGRESS_DEFAULT_STORAGE"
BACKUP: Final = "EGRESS_BACKUP_STORAGE"
TEMPLATE: Final = "EGRESS_RECORDER_TEMPLATE"
RESOURCES: Final = "EGRESS_RECORDER_RESOURCES"
WEBHOOKS: Final = "EGRESS_WEBHOOKS"
_WEBHOOKS_LIMIT = 20

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_ENDPOINT = re.compile(r"https?://[^@\s]+")

_Model = TypeVar("_Model", bound=ApiModel)


def storage(environment: Mapping[str, str], variable: str = STORAGE) -> Storage | None:
    """Return the default (or backup) storage, None when there is none. Raises SettingsError."""
    document = _document(environment, variable)
    if document is None:
        return None
    for path, way_out in _inline(document):
        raise SettingsError(f"{variable}: {path} must not stand there: {way_out}")
    made = _parse(Storage, variable, document)
    if len(made.destinations) != 1:
        raise SettingsError(f"{variable} needs exactly one destination: set one of {', '.join(KINDS)}")
    for path, url in _urls(made):
        if not _ENDPOINT.fullmatch(url):
            raise SettingsError(
                f"{variable}: {path} must be an http:// or https:// URL without user and password"
            )
    for key, name in _names(made):
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{variable}: {key} must be the name of an object")
    return made


def template(environment: Mapping[str, str]) -> Template | None:
    """Return the defaults of every recorder's pod, None when there are none. Raises SettingsError."""
    document = _document(environment, TEMPLATE)
    if document is None:
        return None
    made = _parse(Template, TEMPLATE, document)
    for key in _ours(made):
        raise SettingsError(f"{TEMPLATE}: {key} is the recorder's own: choose another name or path")
    _check_quantities(made.resources, f"{TEMPLATE}: resources")
    if made.scratch_size is not None:
        _check_quantity(made.scratch_size, f"{TEMPLATE}: scratchSize")
    return made


def resources(environment: Mapping[str, str]) -> dict[str, Resources]:
    """Return requests and limits by preset's name. Raises SettingsError."""
    document = _document(environment, RESOURCES) or {}
    unknown = sorted(document.keys() - PRESETS.keys())
    if unknown:
        raise SettingsError(f"{RESOURCES}: {unknown[0]} is no preset: use {', '.join(PRESETS)}")
    made = {name: _parse(Resources, RESOURCES, value, below=f"{name}.") for name, value in document.items()}
    for name, value in made.items():
        _check_quantities(value, f"{RESOURCES}: {name}")
    return made


def webhooks(environment: Mapping[str, str], *, api_key: str) -> tuple[WebhookConfig, ...]:
    """Return the operator-wide receivers. `api_key`: the operator's own, which signs. Raises SettingsError."""
    text = environment.get(WEBHOOKS, "").strip()
    try:
        given = json.loads(text or "[]")
    except ValueError as error:
        raise SettingsError(f"{WEBHOOKS} is not JSON: {error}") from None
    if not isinstance(given, list) or len(given) > _WEBHOOKS_LIMIT:
        raise SettingsError(f"{WEBHOOKS} must be a JSON list of at most {_WEBHOOKS_LIMIT} receivers")
    made = tuple(_parse(WebhookConfig, WEBHOOKS, one, below=f"{index}.") for index, one in enumerate(given))
    for index, receiver in enumerate(made):
        if not _ENDPOINT.fullmatch(receiver.url):
            raise SettingsError(
                f"{WEBHOOKS}: {index}.url must be an http:// or https:// URL without user and password"
            )
        if receiver.signing_key not in {None, api_key}:
            raise SettingsError(
                f"{WEBHOOKS}: {index}.signingKey must be the name in LIVEKIT_API_KEY, the only key that the"
                " operator has: correct or remove it"
            )
    if made and not api_key:
        raise SettingsError(
            f"{WEBHOOKS} needs a key that signs: set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        )
    if len({receiver.url for receiver in made}) < len(made):
        raise SettingsError(f"{WEBHOOKS} names a url twice: remove one of them")
    return made


def _document(environment: Mapping[str, str], variable: str) -> dict[str, Any] | None:
    text = environment.get(variable, "").strip()
    if not text:
        return None
    try:
        document = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{variable} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise SettingsError(f"{variable} must be a JSON object")
    return document or None


def _parse(model: type[_Model], variable: str, document: object, *, below: str = "") -> _Model:
    try:
        made = model.model_validate(document)
    except ValidationError as error:
        item = error.errors(include_input=False, include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in item["loc"]) or "the object"
        raise SettingsError(f"{variable}: {below}{key}: {item['msg']}") from None
    kept = made.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for key in _unknown(document, kept):
        raise SettingsError(f"{variable}: {below}{key} is not known: correct or remove it")
    return made


def _unknown(given: object, kept: object, path: str = "") -> Iterator[str]:
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from _unknown(value, kept[key], f"{path}{key}.")
            else:
                yield f"{path}{key}"
    elif isinstance(given, list) and isinstance(kept, list):
        for index, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from _unknown(one, other, f"{path}{index}.")


def _inline(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield LiveKit's inline secrets that stand in a destination, and where they belong."""
    for kind in KINDS:
        given = document.get(kind)
        if not isinstance(given, Mapping):
            continue
        for name in INLINE_SECRETS.get(kind, ()):
            if name in given:
                reference = f"{kind}.credentialsSecretRef.name, which each namespace that records must have"
                yield f"{kind}.{name}", f"name a Secret in {reference}"
        proxy = given.get("proxy")
        if isinstance(proxy, Mapping) and "password" in proxy:
            yield f"{kind}.proxy.password", "name a Secret in proxy.passwordSecretRef"


def _urls(made: Storage) -> Iterator[tuple[str, str]]:
    for kind, place in made.destinations.items():
        for name in ("endpoint", "url"):
            if (url := getattr(place, name, None)) is not None:
                yield f"{kind}.{name}", url
        if (proxy := getattr(place, "proxy", None)) is not None:
            yield f"{kind}.proxy.url", proxy.url


def _names(made: Storage) -> Iterator[tuple[str, str]]:
    yield from ((f"{path}.name", name) for path, name in secret_names(made))
    if made.pvc is not None:
        yield "pvc.claimName", made.pvc.claim_name


def _ours(made: Template) -> Iterator[str]:
    """Yield the keys that would take something of the recorder's own."""
    for variable in made.env or ():
        if variable.name in OWN_ENVIRONMENT:
            yield f"env {variable.name}"
    for volume in made.volumes or ():
        if volume.name in OWN_VOLUMES or volume.name.startswith(OWN_VOLUME_PREFIXES):
            yield f"volumes {volume.name}"
    for mount in made.volume_mounts or ():
        path = mount.mount_path.rstrip("/") + "/"
        if any(path.startswith(f"{own}/") or f"{own}/".startswith(path) for own in OWN_PATHS):
            yield f"volumeMounts {mount.mount_path}"
    for name, keys in (("labels", made.labels), ("annotations", made.annotations)):
        yield from (f"{name} {key}" for key in keys or () if key.startswith(f"{GROUP}/"))


def _check_quantities(given: Resources | None, where: str) -> None:
    for name in ("requests", "limits"):
        for key, value in (getattr(given, name, None) or {}).items():
            _check_quantity(value, f"{where}.{name}.{key}")


def _check_quantity(value: int | str, where: str) -> None:
    try:
        exact_quantity(value)
    except ValueError as error:
        raise SettingsError(f"{where}: {error}") from None
