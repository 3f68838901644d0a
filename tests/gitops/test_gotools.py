"""Our own small Go programs are built once for each state of their sources, and never half."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from devstack import gotools
from devstack.build import BuildError

pytestmark = pytest.mark.integration

SOURCE = 'package main\n\nimport "os"\n\nfunc main() { os.Stdout.WriteString("WORD") }\n'


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EGRESS_DEVSTACK_CACHE", str(tmp_path / "cache"))
    directory = tmp_path / "speaker"
    directory.mkdir()
    (directory / "go.mod").write_text("module speaker\n\ngo 1.22\n")
    (directory / "main.go").write_text(SOURCE)
    return directory


def test_a_program_is_built_once_and_again_when_its_source_changes(module: Path) -> None:
    said: list[str] = []
    first = gotools.ensure(module, say=said.append)
    assert subprocess.check_output([first]) == b"WORD"
    said.clear()
    assert gotools.ensure(module, say=said.append) == first
    assert said == []

    (module / "main.go").write_text(SOURCE.replace("WORD", "another"))
    second = gotools.ensure(module, say=said.append)

    assert second != first
    assert subprocess.check_output([second]) == b"another"


def test_what_does_not_compile_says_why_and_leaves_nothing(module: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { nonsense() }\n")

    with pytest.raises(BuildError, match="undefined: nonsense"):
        gotools.ensure(module, say=lambda _: None)
    assert not gotools.program(module).exists()


def test_a_directory_without_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"go\.mod"):
        gotools.ensure(tmp_path)
