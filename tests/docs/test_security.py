"""The security page tells the whole truth: every right of the operator, every file of a recording's Secret."""

from __future__ import annotations

import itertools

import pytest
import yaml

from egress_recorder import contract
from support.documents import ROOT, codes, rows

pytestmark = pytest.mark.unit

PAGE = ROOT / "docs/security.md"
RULES = ROOT / "helm/livekit-egress-operator/files/operator-rules.yaml"


def granted() -> set[tuple[str, str]]:
    """Return (resource.group, verb) of the rules file."""
    return {
        (_qualified(resource, group), verb)
        for rule in yaml.safe_load(RULES.read_text())
        for group, resource, verb in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


def _qualified(resource: str, group: str) -> str:
    kind, slash, subresource = resource.partition("/")
    return f"{kind}.{group}{slash}{subresource}" if group else resource


def test_the_page_names_every_right_of_the_operator_and_no_other() -> None:
    explained = {
        (codes(cells[0])[0], verb)
        for cells in rows(PAGE, "## The operator's rights")[1:]
        for verb in cells[1].split(", ")
    }

    assert explained == granted()


def test_the_page_names_every_file_of_a_recordings_secret() -> None:
    files = {
        value for name, value in vars(contract).items() if name.endswith("_FILE") and isinstance(value, str)
    }
    named = {code for cells in rows(PAGE, "## What is where") for code in codes(" ".join(cells))}

    assert files
    assert files <= named
