"""Builds our own small Go programs (GitOps tools' verdicts on an object) into the cache; knows nothing of what they do.

A program is a directory with go.mod, go.sum and its sources. The binary lies at ``bin/<name>-<hash of these files>``
of `devstack.build`'s cache: an unchanged program is never compiled again, a changed one never taken for the old one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from devstack.build import BuildError, build_lock, cache_directory, compile_binary, go_command

_SOURCES = ("go.mod", "go.sum", "*.go")


def program(directory: Path) -> Path:
    """Return the cached path of the program in ``directory``, whether it is built or not. Raises BuildError."""
    return cache_directory() / "bin" / f"{directory.name}-{_content(directory)}"


def ensure(directory: Path, *, say: Callable[[str], None] = lambda text: print(text, flush=True)) -> Path:
    """Build the program in ``directory`` if it is not built yet and return its path.

    Raises BuildError when the directory holds no Go program, there is no Go toolchain, or the build fails.
    """
    target = program(directory)
    if target.exists():
        return target
    with build_lock(say):
        if not target.exists():
            _build(directory, target, say)
    return target


def _content(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in _sources(directory):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _sources(directory: Path) -> list[Path]:
    found = sorted(path for pattern in _SOURCES for path in directory.glob(pattern))
    if not {"go.mod", "main.go"} <= {path.name for path in found}:
        message = f"{directory} holds no Go program: go.mod and main.go are needed"
        raise BuildError(message)
    return found


def _build(directory: Path, target: Path, say: Callable[[str], None]) -> None:
    say(f"building {directory.name} (once for this version of it)")
    # A copy, so that the compiler never writes into the working tree.
    scratch = cache_directory() / "src" / target.name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for path in _sources(directory):
        shutil.copy(path, scratch)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".building")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    flags = ["-v", "-trimpath", "-ldflags=-s -w"]
    command = [go_command(), "build", *flags, "-o", str(unfinished), "."]
    compile_binary(command, scratch, environment, directory.name, say)
    unfinished.replace(target)


if __name__ == "__main__":
    try:
        for argument in sys.argv[1:]:
            ensure(Path(argument))
    except BuildError as error:
        sys.exit(str(error))
