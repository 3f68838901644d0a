"""What a reader copies from the pages is right: manifests fit the CRDs, values fit the chart, commands exist."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from egress_operator.api import parse_spec
from support.documents import (
    PAGES,
    ROOT,
    anchors,
    blocks,
    codes,
    documents,
    misfits,
    prose,
    recordings,
    spec_schemas,
)

pytestmark = pytest.mark.unit

VALUES: dict[str, Any] = yaml.safe_load((ROOT / "helm/livekit-egress-operator/values.yaml").read_text())
OPEN = {
    "template",
    "resources",
    "s3",
    "gcp",
    "azure",
    "aliOSS",
    "http",
    "pvc",
    "annotations",
    "labels",
    "podAnnotations",
    "podLabels",
}
"""Values whose keys are the user's."""


def by_page(page: Path) -> str:
    """The name of a page in a test's id."""
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=by_page)


@every_page
def test_every_manifest_of_our_kinds_fits_the_definitions(page: Path) -> None:
    schemas = spec_schemas()

    for document in recordings(page):
        assert misfits(schemas[document["kind"]], document) == []
        parse_spec(document["kind"], document["spec"])


def test_a_manifest_with_an_unknown_or_a_missing_field_does_not_fit() -> None:
    schema = spec_schemas()["ParticipantEgress"]
    spec = {"roomName": "a", "identity": "b", "fileOutputs": [{"pvc": {"claimName": "c"}}]}

    assert misfits(schema, {"spec": spec}) == []
    assert misfits(schema, {"spec": {**spec, "mute": True}}) == [".spec.mute is not in the schema"]
    assert misfits(schema, {"spec": {**spec, "roomName": 3}}) == [".spec.roomName is no string"]
    assert misfits(schema, {"spec": {**spec, "fileOutputs": [{"pvc": {}}]}}) == [
        ".spec.fileOutputs[].pvc.claimName is missing"
    ]


def test_a_value_that_the_chart_has_not_is_found() -> None:
    assert unknown_values(VALUES, {"recorder": {"ttl": 1, "template": {"anything": 1}}}) == ["recorder.ttl"]
    assert is_value("recorder.jobTTLSeconds")
    assert is_value("recorder.template.imagePullSecrets")
    assert not is_value("recorder.ttl")


@every_page
def test_every_values_block_names_values_of_the_chart(page: Path) -> None:
    for document in documents(page):
        if isinstance(document, dict) and document.keys() <= VALUES.keys():
            assert unknown_values(VALUES, document) == []


def unknown_values(known: Mapping[str, Any], given: Mapping[str, Any], place: str = "") -> list[str]:
    """Return the paths in `given` that the chart does not know."""
    found = []
    for name, value in given.items():
        if name not in known:
            found.append(f"{place}{name}")
        elif isinstance(value, Mapping) and isinstance(known[name], Mapping) and name not in OPEN:
            found += unknown_values(known[name], value, f"{place}{name}.")
    return found


@every_page
def test_every_value_of_the_chart_that_is_named_in_the_text_exists(page: Path) -> None:
    commands = re.findall(r"--set ([\w.]+)=", page.read_text())
    # `recorder.jobTTLSeconds`, `crds.keep: true`; resources' own fields begin with other words.
    words = {
        match.group(1)
        for code in codes(prose(page))
        if (match := re.fullmatch(r"((?:\w+\.)+\w+)(?:: .*)?", code))
    }
    sections = {name for name, value in VALUES.items() if isinstance(value, dict)} - {"livekit", "resources"}
    named = {word for word in words if word.split(".")[0] in sections} | set(commands)

    assert sorted(path for path in named if not is_value(path)) == []


def is_value(path: str) -> bool:
    """Say whether a dotted path leads to a value of the chart, or into one whose keys are the user's."""
    here: Any = VALUES
    for step in path.split("."):
        if not isinstance(here, Mapping) or step not in here:
            return False
        if step in OPEN:
            return True
        here = here[step]
    return True


@every_page
def test_every_link_with_an_anchor_leads_to_a_heading(page: Path) -> None:
    broken = []
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text()):
        other = (page.parent / target).resolve() if target else page
        if "://" not in target and other.suffix == ".md" and anchor not in anchors(other):
            broken.append(f"{target}#{anchor}")

    assert broken == []


@every_page
def test_every_shell_block_is_valid_shell(page: Path) -> None:
    for block in blocks(page):
        if block.language in {"sh", "bash"}:
            checked = subprocess.run(
                ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
            )
            assert checked.returncode == 0, f"{block.text}\n{checked.stderr}"


@every_page
def test_every_variable_of_a_command_that_is_run_is_explained_or_assigned(page: Path) -> None:
    """`sh e2e` blocks run under `set -u`: what has no default must stand in the table of variables."""
    run = [block.text for block in blocks(page) if block.info == "sh e2e"]
    explained = set(codes(prose(ROOT / "docs/install.md"))) | set(codes(prose(page)))
    for text in run:
        used = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]*+)(?!:-)", text))
        assigned = set(re.findall(r"^\s*(?:export )?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE))
        assert sorted(used - assigned - explained) == []


@every_page
def test_every_file_of_the_repository_that_a_command_names_exists(page: Path) -> None:
    named = {
        word
        for block in blocks(page)
        if block.language in {"sh", "bash"}
        for word in re.findall(r"(?<![\w/$.{-])((?:crds|examples|helm|docs|benchmarks)/[\w./-]*)", block.text)
    } | {
        code
        for code in codes(prose(page))
        if re.fullmatch(
            r"(crds|examples|helm|docs|benchmarks|devstack|operator|recorder|tests)/[\w./-]*", code
        )
    }

    assert sorted(name for name in named if not (ROOT / name).exists()) == []
