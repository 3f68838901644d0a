"""Owns the reading of the documentation for its tests: fenced blocks, the manifests in them, headings, tables."""

from __future__ import annotations

import re
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("helm/**/*.md")])
_FENCE = re.compile(r"^( *)```(\S[^\n]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_HEREDOC = re.compile(r"<<'?EOF'?\n(.*?)^EOF$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """One fenced block; `info` is what stands behind the fence."""

    page: Path
    info: str
    text: str

    @property
    def language(self) -> str:
        """The first word of the info string."""
        return self.info.split()[0]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, without the indentation of a list around them."""
    for match in _FENCE.finditer(page.read_text()):
        yield Block(page, match.group(2).strip(), textwrap.dedent(match.group(3)))


def documents(page: Path) -> Iterator[Any]:
    """Yield the YAML documents of a page: of its yaml blocks, and what its commands pipe into kubectl."""
    for block in blocks(page):
        if block.language in {"yaml", "yml"}:
            yield from yaml.safe_load_all(block.text)
        elif block.language in {"sh", "bash"}:
            for heredoc in _HEREDOC.findall(block.text):
                yield from yaml.safe_load_all(_expanded(heredoc))


def _expanded(heredoc: str) -> str:
    """What bash makes of it when only the defaults of the page are set."""
    script = f"cat <<EOF\n{heredoc}EOF\n"
    done = subprocess.run(
        ["bash", "-c", script], env={"PATH": "/usr/bin:/bin"}, check=True, capture_output=True, text=True
    )
    return done.stdout


def recordings(page: Path) -> Iterator[dict[str, Any]]:
    """Yield the documents of our kinds."""
    for document in documents(page):
        if isinstance(document, dict) and str(document.get("apiVersion", "")).startswith("egress."):
            yield document


def spec_schemas() -> dict[str, dict[str, Any]]:
    """Return kind -> schema of the whole object, from crds/."""
    found = {}
    for path in (ROOT / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        found[crd["spec"]["names"]["kind"]] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def misfits(schema: Mapping[str, Any], value: Any, place: str = "") -> list[str]:
    """Return where a value has a field the schema lacks, lacks one it demands, or is of another type or choice."""
    if schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string"):
        return []
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    wanted = kinds.get(str(schema.get("type")))
    if wanted is not None and not isinstance(value, wanted):
        return [f"{place} is no {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{place} is none of {schema['enum']}"]
    if isinstance(value, list):
        return [one for item in value for one in misfits(schema.get("items", {}), item, f"{place}[]")]
    if not isinstance(value, dict):
        return []
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    found = [f"{place}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, item in value.items():
        if name in properties:
            found += misfits(properties[name], item, f"{place}.{name}")
        elif isinstance(others, dict):
            found += misfits(others, item, f"{place}.{name}")
        elif place not in {"", ".metadata"}:  # these two are the API server's
            found.append(f"{place}.{name} is not in the schema")
    return found


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings make."""
    titles = re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the tables below a heading, up to the next heading of the same or a higher level."""
    lines = page.read_text().splitlines()
    start = lines.index(heading)
    level = len(heading) - len(heading.lstrip("#"))
    found = []
    for line in lines[start + 1 :]:
        if re.match(rf"#{{1,{level}}} ", line):
            break
        if line.startswith("|") and not line.startswith("|---"):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def codes(text: str) -> list[str]:
    """Return what stands in backquotes."""
    return _CODE.findall(text)
