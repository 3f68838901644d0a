"""Owns the way from a pydantic model to a structural schema: references inlined, only what the API server knows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

_KEPT = (
    "description",
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "pattern",
)


def camel(name: str) -> str:
    """Return the protobuf-JSON spelling of a field name."""
    return re.sub(r"_(.)", lambda match: match.group(1).upper(), name)


class ApiModel(BaseModel):
    """Base of everything a user writes: camelCase on the wire; the API server has refused unknown fields before."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, alias_generator=camel)


def rule(expression: str, message: str, **extra: str) -> dict[str, Any]:
    """Return one `x-kubernetes-validations` entry; the message names the field and the way out."""
    return {"rule": " ".join(expression.split()), "message": message, **extra}


def dns_name(field: str) -> dict[str, Any]:
    """Return the CEL rule of a field that names an object."""
    return {
        "x-kubernetes-validations": [
            rule(
                "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
                f"{field} must be the name of an object: lower case letters, digits, '-' and '.'",
            )
        ]
    }


def structural(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI v3 structural schema of a model, by alias."""
    document = model.model_json_schema(by_alias=True)
    return _convert(document, document.get("$defs", {}))


BRIEF = "x-brief"
"""Of a field whose inner fields are described elsewhere: their descriptions are left out, a CRD has to stay small."""


def _convert(
    node: Mapping[str, Any], definitions: Mapping[str, Any], *, brief: bool = False
) -> dict[str, Any]:
    merged = _inline(node, definitions)
    result: dict[str, Any] = {}
    if brief:
        merged.pop("description", None)
    brief = brief or bool(merged.get(BRIEF))
    if "const" in merged:
        result["enum"] = [merged["const"]]
    if "type" in merged:
        result["type"] = merged["type"]
    result |= {key: merged[key] for key in _KEPT if key in merged}
    result |= {key: value for key, value in merged.items() if key.startswith("x-kubernetes-")}
    if "anyOf" in merged:  # int-or-string, the only union that is left
        result["anyOf"] = [{"type": option["type"]} for option in merged["anyOf"]]
        result["x-kubernetes-int-or-string"] = True
    if "properties" in merged:
        result["properties"] = {
            name: _convert(child, definitions, brief=brief) for name, child in merged["properties"].items()
        }
    if merged.get("required"):
        result["required"] = sorted(merged["required"])
    if "items" in merged:
        result["items"] = _convert(merged["items"], definitions, brief=brief)
    if isinstance(merged.get("additionalProperties"), dict):
        result["additionalProperties"] = _convert(merged["additionalProperties"], definitions, brief=brief)
    return result


def _inline(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Resolve `$ref`, and `X | None` to X: an absent field is absent, never null."""
    merged = dict(node)
    options = [option for option in merged.get("anyOf", ()) if option.get("type") != "null"]
    if "anyOf" in merged and len(options) == 1:
        del merged["anyOf"]
        merged = {**options[0], **merged}
    elif "anyOf" in merged:
        merged["anyOf"] = options
    while "$ref" in merged:
        target = definitions[merged.pop("$ref").rpartition("/")[2]]
        merged = {**target, **merged}
    return merged
