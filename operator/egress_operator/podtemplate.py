"""Owns how the operator's defaults of a recorder's pod and a resource's own `template` become one. Pure.

The resource's own wins: maps are merged by key, lists whose entries have a key (env, volumes, volumeMounts) by that
key, other lists are replaced; imagePullSecrets and tolerations of both apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from egress_operator.api_template import Template
from egress_operator.model import Document

_MERGED_BY: Final = {
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}
_CONCATENATED: Final = frozenset({"tolerations"})


def merged(defaults: Template | None, own: Template | None) -> Document:
    """Return one template as plain values in a pod's spelling; {} when there is neither."""
    return _maps(_plain(defaults), _plain(own))


def _plain(template: Template | None) -> Document:
    return template.model_dump(mode="json", by_alias=True, exclude_none=True) if template else {}


def _maps(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> Document:
    result = dict(defaults)
    for key, value in own.items():
        result[key] = _value(key, defaults.get(key), value)
    return result


def _value(key: str, default: Any, own: Any) -> Any:
    if key == "affinity":
        # A term of one side with a term of the other would be a third meaning that nobody wrote.
        return own
    if isinstance(default, dict) and isinstance(own, dict):
        return _maps(default, own)
    if isinstance(default, list) and isinstance(own, list):
        if key in _MERGED_BY:
            name = _MERGED_BY[key]
            return list({item[name]: item for item in (*default, *own)}.values())
        if key in _CONCATENATED:
            return default + [item for item in own if item not in default]
    return own
