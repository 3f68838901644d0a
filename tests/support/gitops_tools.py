"""Owns how tests ask the GitOps tools' own engines for their verdict, and how they read the pages in docs/gitops."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "gitops"
PROGRAMS = ROOT / "tests" / "gitops"
ARGOCD_CM = PAGES / "argocd-cm.yaml"
ANY_OTHER = "any other"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tool says of one object."""

    status: str
    message: str


def ask(program: Path, bodies: Sequence[dict[str, Any]], *arguments: str) -> list[Verdict]:
    """Return the program's verdict on each object. Raises AssertionError with its words when it gives up."""
    lines = "".join(json.dumps(body) + "\n" for body in bodies)
    done = subprocess.run(
        [str(program), *arguments], input=lines, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    verdicts = [Verdict(**json.loads(line)) for line in done.stdout.splitlines()]
    assert len(verdicts) == len(bodies)
    return verdicts


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table of states in docs/gitops/README.md."""

    phase: str
    reason: str
    flux: str
    argo: str


def state_table() -> dict[tuple[str, str], Row]:
    """Return the documented verdicts by (phase, reason)."""
    text = (PAGES / "README.md").read_text()
    block = text.partition("<!-- states -->")[2].partition("<!-- end of states -->")[0]
    rows = [_cells(line) for line in block.strip().splitlines()[2:]]
    table = {(row.phase, row.reason): row for row in rows}
    assert len(table) == len(rows), "docs/gitops/README.md names a state twice"
    return table


def row_of(table: dict[tuple[str, str], Row], key: tuple[str, str]) -> Row:
    """Return the row of a state: its own, or the one of its phase for any other reason."""
    phase, reason = key
    row = table.get(key) or table.get((phase, ANY_OTHER))
    assert row is not None, f"docs/gitops/README.md says nothing of {phase} with reason {reason}"
    return row


def _cells(line: str) -> Row:
    cells = [cell.strip().replace("`", "").removeprefix("-") for cell in line.strip().strip("|").split("|")]
    phase, reason, _meaning, flux, argo = cells
    return Row(phase, reason, flux, argo)


def fenced(page: str, language: str) -> Iterator[dict[str, Any]]:
    """Yield every YAML document of a page's fenced blocks."""
    pattern = rf"^```{language}\n(.*?)^```"
    for block in re.findall(pattern, (PAGES / page).read_text(), re.DOTALL | re.MULTILINE):
        yield from (document for document in yaml.safe_load_all(block) if isinstance(document, dict))


def health_check_expressions() -> list[dict[str, str]]:
    """Return spec.healthCheckExprs of the Kustomization in docs/gitops/flux.md."""
    found = [
        document["spec"]["healthCheckExprs"]
        for document in fenced("flux.md", "yaml")
        if document.get("kind") == "Kustomization" and "healthCheckExprs" in document.get("spec", {})
    ]
    assert len(found) == 1, "docs/gitops/flux.md must show healthCheckExprs in exactly one Kustomization"
    expressions: list[dict[str, str]] = found[0]
    return expressions
