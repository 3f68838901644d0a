"""Owns what the chart's tests share: rendered objects by kind and name, the operator's environment, refusals."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import pytest

from devstack import charts

FULL_NAME = "egress-livekit-egress-operator"


class Rendered:
    """The objects of one rendering."""

    def __init__(self, documents: list[charts.Document]) -> None:
        self.documents = documents

    def of(self, kind: str, namespace: str | None = None) -> list[charts.Document]:
        """Return the objects of a kind, in one namespace if it is given ("" for cluster-wide ones)."""
        return [
            document
            for document in self.documents
            if document["kind"] == kind and namespace in {None, document["metadata"].get("namespace", "")}
        ]

    def one(self, kind: str, name: str = "") -> charts.Document:
        """Return the only object of a kind (and name)."""
        found = [document for document in self.of(kind) if name in {"", document["metadata"]["name"]}]
        assert len(found) == 1, f"{kind} {name}: {[document['metadata'] for document in found]}"
        return found[0]

    @property
    def pod(self) -> dict[str, Any]:
        """The spec of the operator's pod."""
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        """The operator's container."""
        (container,) = self.pod["containers"]
        assert container["name"] == "operator"
        return dict(container)

    @property
    def environment(self) -> dict[str, str]:
        """The operator's variables; one from a Secret reads `SECRET/KEY`."""
        return {entry["name"]: _value(entry) for entry in self.container["env"]}


def _value(entry: Mapping[str, Any]) -> str:
    if "value" in entry:
        return str(entry["value"])
    reference = entry["valueFrom"]["secretKeyRef"]
    return f"{reference['name']}/{reference['key']}"


def render(release: str = charts.RELEASE, arguments: tuple[str, ...] = (), /, **values: Any) -> Rendered:
    """Render the chart with these values. Raises ChartError."""
    return Rendered(_render(release, arguments, json.dumps(values)))


@functools.lru_cache(maxsize=64)
def _render(release: str, arguments: tuple[str, ...], values: str) -> list[charts.Document]:
    return charts.template(values=json.loads(values), arguments=arguments, release=release)


@functools.cache
def combinations() -> dict[str, Rendered]:
    """Return what the chart renders for the defaults ("") and for each file of its ci/ directory."""
    files = {path.name.removesuffix("-values.yaml"): path for path in charts.values_files()}
    return {"": render()} | {name: Rendered(charts.template(path)) for name, path in files.items()}


def refusal(**values: Any) -> str:
    """Return what Helm says when it refuses these values."""
    with pytest.raises(charts.ChartError) as refused:
        charts.template(values=values)
    return str(refused.value)
