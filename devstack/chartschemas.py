"""Owns the JSON schemas that kubeconform checks with: made from the Kubernetes module and crds/, kept in the cache.

The Go module k8s.io/kubernetes carries the API's OpenAPI document, and the Prometheus operator's module its CRDs: no
schema is downloaded from anywhere else, and every object with known properties refuses unknown ones.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from devstack import build

FILE_PATTERN: Final = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""kubeconform's name of a schema file, for example deployment-apps-v1.json and service-v1.json."""

_FORMAT: Final = "2"
_CRDS: Final = Path(__file__).resolve().parents[1] / "crds"
_KUBERNETES: Final = f"k8s.io/kubernetes@v{build.KUBERNETES}"
_MONITORING: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_MONITORING_CRDS: Final = "example/prometheus-operator-crd"
_MONITORING_PLURALS: Final = ("podmonitors", "prometheusrules", "servicemonitors")
_ANY_SCALAR: Final = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "number"}]}

Schema = dict[str, Any]


def ensure() -> Path:
    """Return the directory with the schemas, made when a source has changed. Raises BuildError."""
    crds = sorted(_CRDS.glob("*.yaml"))
    parts = [_FORMAT, _KUBERNETES, _MONITORING, *(path.read_text() for path in crds)]
    target = build.cache_directory() / "schemas" / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    if target.exists():
        return target
    unfinished = target.with_suffix(".making")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    swagger = _module(_KUBERNETES) / "api" / "openapi-spec" / "swagger.json"
    schemas = dict(_builtin(json.loads(swagger.read_text())["definitions"]))
    for path in (*crds, *monitoring_crds()):
        schemas.update(_custom(yaml.safe_load(path.read_text())))
    for name, schema in schemas.items():
        (unfinished / name).write_text(json.dumps(schema))
    unfinished.replace(target)
    return target


def monitoring_crds() -> list[Path]:
    """Return the files of the Prometheus operator's CRDs that the chart may use. Raises BuildError."""
    folder = _module(_MONITORING) / _MONITORING_CRDS
    return [folder / f"monitoring.coreos.com_{plural}.yaml" for plural in _MONITORING_PLURALS]


def _module(module: str) -> Path:
    done = subprocess.run(
        [build.go_command(), "mod", "download", "-json", module], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise build.BuildError(
            f"go mod download {module} failed: {(done.stderr or done.stdout).strip()[-500:]}"
        )
    return Path(json.loads(done.stdout)["Dir"])


def _file_name(group: str, version: str, kind: str) -> str:
    first = group.split(".", maxsplit=1)[0]
    return "-".join(filter(None, [kind.lower(), first, version])) + ".json"


def _builtin(definitions: dict[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """Yield file name and schema of every kind of the API server's document."""
    strict = {name: _strict(definition) for name, definition in definitions.items()}
    for name in strict:
        if name.endswith((".IntOrString", ".Quantity")):
            strict[name] = dict(_ANY_SCALAR)
    for name, definition in definitions.items():
        for identity in definition.get("x-kubernetes-group-version-kind", ()):
            used: dict[str, Schema] = {}
            _collect(strict[name], strict, used)
            file_name = _file_name(identity["group"], identity["version"], identity["kind"])
            yield file_name, {**strict[name], "definitions": used}


def _collect(schema: Any, definitions: dict[str, Schema], used: dict[str, Schema]) -> None:
    """Gather what a schema refers to, so that each file stands alone."""
    if isinstance(schema, list):
        for item in schema:
            _collect(item, definitions, used)
    elif isinstance(schema, dict):
        # JSONSchemaProps has a property of this name.
        reference = schema.get("$ref")
        name = reference.rpartition("/")[2] if isinstance(reference, str) else ""
        if name and name not in used:
            used[name] = definitions[name]
            _collect(definitions[name], definitions, used)
        for item in schema.values():
            _collect(item, definitions, used)


def _custom(crd: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield file name and schema of each version of a CustomResourceDefinition."""
    names, group = crd["spec"]["names"], crd["spec"]["group"]
    for version in crd["spec"]["versions"]:
        schema = _strict(version["schema"]["openAPIV3Schema"])
        # The API server itself knows these three; CRDs say no more than their type.
        schema["properties"]["metadata"] = {"type": "object"}
        yield _file_name(group, version["name"], names["kind"]), schema


def _strict(schema: Any) -> Any:
    """Return a schema that refuses unknown properties, as `kubectl apply` with strict validation does."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return dict(_ANY_SCALAR)
    result = {
        key: {name: _strict(item) for name, item in value.items()} if key == "properties" else _strict(value)
        for key, value in schema.items()
        # `format` holds OpenAPI's own words (int32, byte), which JSON Schema does not know.
        if key not in {"format", "description", "x-kubernetes-group-version-kind"}
    }
    if "properties" in result and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    return result
