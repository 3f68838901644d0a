"""Owns docs/reference.md: the field tables, made from crds/. `--check` fails when the page is not up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference.md"
MUTABLE = (
    "desiredState",
    "streamOutputs[].urls",
    "streamOutputs[].destinations",
    "template",
    "ttlSecondsAfterFinished",
)

INTRODUCTION = """\
# API reference

Made from `crds/` by `python docs/generate_reference.py`; do not edit. `kubectl explain participantegress.spec` shows the same.

Group `egress.livekit.io`, version `v1alpha1`, namespaced; `kubectl get egress` lists both kinds. Field names are LiveKit's. Mutable while
recording: {mutable}; everything else is fixed once the resource exists. A field that is not listed is refused, not ignored.
"""


def kind_section(crd: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one kind."""
    names = crd["spec"]["names"]
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    yield f"## {names['kind']} (`{', '.join(names['shortNames'])}`)"
    yield ""
    yield schema.get("description", "")
    for part in ("spec", "status"):
        yield from ("", f"### {names['kind']} {part}", "", "| field | type | meaning |", "|---|---|---|")
        section = schema["properties"][part]
        yield from rows(section, prefix="", required=section.get("required", []))
        rules = [rule["message"] for rule in section.get("x-kubernetes-validations", [])]
        if rules:
            yield from ("", "Rules:", "", *(f"- {message}" for message in rules))


def rows(schema: dict[str, Any], *, prefix: str, required: list[str]) -> Iterator[str]:
    """Yield a table row per field, depth first."""
    for name, field in schema.get("properties", {}).items():
        many = field.get("type") == "array"
        path = f"{prefix}{name}" + ("[]" if many else "")
        inner = field["items"] if many else field
        yield f"| `{path}` | {type_name(field)} | {meaning(field, required=name in required)} |"
        yield from rows(inner, prefix=f"{path}.", required=inner.get("required", []))


def type_name(field: dict[str, Any]) -> str:
    """Return the type for people."""
    if field.get("x-kubernetes-int-or-string"):
        return "quantity"
    if field.get("type") == "array":
        return "list"
    return str(field.get("format") or field.get("type", ""))


def meaning(field: dict[str, Any], *, required: bool) -> str:
    """Return description, choices and bounds in one cell."""
    text = [field.get("description", "")]
    if required:
        text.insert(0, "**Required.**")
    if field.get("enum"):
        text.append("One of " + ", ".join(f"`{value}`" for value in field["enum"]) + ".")
    if "minimum" in field and "maximum" in field:
        text.append(f"{field['minimum']} to {field['maximum']}.")
    text += [f"*{rule['message']}*" for rule in field.get("x-kubernetes-validations", [])]
    return " ".join(filter(None, text)).replace("|", "\\|").replace("\n", " ")


def page() -> str:
    """Return the whole page."""
    crds = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    mutable = ", ".join(f"`{name}`" for name in MUTABLE)
    sections = ["\n".join(kind_section(crd)) for crd in crds]
    return "\n".join([INTRODUCTION.format(mutable=mutable), *("\n\n".join(sections).splitlines())]) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        if PAGE.read_text() != page():
            sys.exit("docs/reference.md is not up to date: run `make crds`")
    else:
        PAGE.write_text(page())
