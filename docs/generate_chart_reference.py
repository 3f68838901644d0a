"""Owns what the chart repeats of the project: the README's table of values, and `recorder.template` in its schema.

The table is made from values.yaml, where a comment that begins with `# --` belongs to the key below it; types come from
values.schema.json. There the definition `recorderTemplate` is made from crds/, so that Helm refuses what the operator
would refuse at its start. `--check` fails when one of them is not up to date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "livekit-egress-operator"
PAGE = CHART / "README.md"
SCHEMA = CHART / "values.schema.json"
CRD = ROOT / "crds" / "participantegresses.yaml"
WIDTH = 118
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]\w*):")


def documented(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (path, comment) of every documented key of a values file, in its order."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("# ") and comment:
            comment.append(stripped.removeprefix("# "))
        elif found := _KEY.match(line):
            path = [*path[: len(found["indent"]) // 2], found["key"]]
            if comment:
                yield tuple(path), " ".join(comment)
            comment = []
        else:
            comment = []


def lookup(values: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path. Raises KeyError."""
    for key in path:
        values = values[key]
    return values


def type_name(schema: dict[str, Any], path: tuple[str, ...]) -> str:
    """Return the type of a value for people. Raises KeyError when the schema does not know it."""
    node = schema
    for key in path:
        node = _resolved(schema, node["properties"][key])
    if "enum" in node:
        return "string" if isinstance(node["enum"][0], str) else "integer"
    return {"array": "list"}.get(node.get("type", "string"), node.get("type", "string"))


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref", "")
    return schema["definitions"][reference.rpartition("/")[2]] if reference else node


def table() -> str:
    """Return the table in Markdown."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    schema = json.loads(SCHEMA.read_text())
    rows = ["| value | type | default | meaning |", "|---|---|---|---|"]
    for path, comment in documented(text):
        default = json.dumps(lookup(values, path), ensure_ascii=False)
        cells = [f"`{'.'.join(path)}`", type_name(schema, path), f"`{default}`", comment.replace("|", "\\|")]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def page(text: str) -> str:
    """Return the page with the table in its place. Raises ValueError when the marks are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has lost its marks {BEGIN} and {END}: put them around the table")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def schema(text: str) -> str:
    """Return the schema of values with the definition of `recorder.template` as it is in the CRDs."""
    document = json.loads(text)
    crd = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    template = crd["properties"]["spec"]["properties"]["template"]
    document["definitions"]["recorderTemplate"] = _strict(template)
    return _pretty(document) + "\n"


def _strict(node: Any) -> Any:
    """Drop what only the API server understands, and refuse unknown properties as it does."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    result = {
        key: {name: _strict(item) for name, item in value.items()} if key == "properties" else _strict(value)
        for key, value in node.items()
        if key != "description" and not key.startswith("x-kubernetes-")
    }
    if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
    return result


def _pretty(node: Any, indent: int = 0, lead: int = 0) -> str:
    """Return JSON whose short objects stand on one line. `lead` is the width of what comes before on the line."""
    line = json.dumps(node, ensure_ascii=False)
    if not node or not isinstance(node, dict | list) or indent + lead + len(line) < WIDTH:
        return line
    inner, pad = indent + 2, " " * (indent + 2)
    if isinstance(node, dict):
        names = {key: f"{json.dumps(key)}: " for key in node}
        items = [f"{pad}{names[key]}{_pretty(item, inner, len(names[key]))}" for key, item in node.items()]
    else:
        items = [f"{pad}{_pretty(item, inner)}" for item in node]
    begin, end = "{}" if isinstance(node, dict) else "[]"
    return f"{begin}\n" + ",\n".join(items) + f"\n{' ' * indent}{end}"


def main() -> None:
    """Write both files anew, or with --check exit with what is not up to date."""
    for path, made in ((SCHEMA, schema), (PAGE, page)):
        current = path.read_text()
        if "--check" not in sys.argv:
            path.write_text(made(current))
        elif current != made(current):
            sys.exit(f"{path.relative_to(ROOT)} is not up to date: run `make crds`")


if __name__ == "__main__":
    main()
