"""The documents stay true: links lead somewhere, commands exist, the field tables are those of the CRDs."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from egress_recorder.contract import TOKENS
from support.documents import PAGES, ROOT

pytestmark = pytest.mark.unit

MAKE_TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())

    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]

    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_command_exists(page: Path) -> None:
    named = set(
        re.findall(r"(?:^|`|\s)make ([a-z][a-z0-9-]+)(?=`|\s*#|\s*$)", page.read_text(), re.MULTILINE)
    )

    assert named <= MAKE_TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_manifest_in_a_page_is_yaml_of_a_known_kind(page: Path) -> None:
    kinds = {crd["spec"]["names"]["kind"] for crd in map(_load, (ROOT / "crds").glob("*.yaml"))}
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for document in yaml.safe_load_all(block):
            if isinstance(document, dict) and str(document.get("apiVersion", "")).startswith("egress."):
                assert document["kind"] in kinds


def test_the_reference_page_names_every_field_of_the_spec_and_the_status() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()

    missing = {
        field
        for crd in map(_load, (ROOT / "crds").glob("*.yaml"))
        for part in ("spec", "status")
        for field in crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]["properties"]
        if f"`{field}`" not in reference and f"`{field}[]`" not in reference
    }

    assert not missing


def test_no_document_or_source_names_a_machine_or_a_home_directory() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    files = [ROOT / name for name in listed.stdout.split("\0") if name and name != "tests/docs/test_docs.py"]

    found = [
        str(path.relative_to(ROOT))
        for path in files
        if path.is_file()
        and path.suffix in {".md", ".py", ".yaml", ""}
        and "/work/" in path.read_text(errors="ignore")
    ]

    assert not found


def _load(path: Path) -> dict:  # type: ignore[type-arg]
    return yaml.safe_load(path.read_text())


def test_the_page_on_names_explains_every_token() -> None:
    page = (ROOT / "docs" / "names.md").read_text()

    assert not [token for token in TOKENS if f"`{{{token}}}`" not in page]
