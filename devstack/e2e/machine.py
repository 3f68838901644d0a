"""Owns docker and kind on this machine: found or made, run with their own environment, stopped when made here.

Where `docker info` and `kind` work they are used. Elsewhere the script that E2E_KIND_HERE names (default: kind-here.sh
of the team's shared tools) builds them and starts a dockerd, which `stop_docker` stops again.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack import build
from devstack.e2e.shell import E2EError, run, show, succeeds
from devstack.operatorprocess import REPOSITORY
from devstack.process import say

_KIND_HERE = REPOSITORY.parent / "shared" / "tools" / "kind-here.sh"
_STAGES = ("packages", "binaries", "docker", "base", "images", "node")
_LOCAL_BASE = "local/debian:bookworm"
"""What kind-here.sh leaves as base image where none can be pulled."""


def cluster_name() -> str:
    """Return the name of the kind cluster."""
    return os.environ.get("E2E_CLUSTER") or "egress-e2e"


def state_directory() -> Path:
    """Return where kubeconfig, logs and notes of the cluster are kept."""
    return build.cache_directory() / "e2e" / cluster_name()


def kubeconfig() -> Path:
    """Return the path of the cluster's kubeconfig; nobody's own is touched."""
    return state_directory() / "kubeconfig"


def _kind_here_binaries() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "kind-here" / "bin"


@functools.cache
def environment() -> Mapping[str, str]:
    """Return the environment of docker, kind, kubectl and helm: also what kind-here.sh built is found."""
    env = {**os.environ, "KUBECONFIG": str(kubeconfig())}
    if shutil.which("kind") is None and (_kind_here_binaries() / "kind").exists():
        # /usr/bin first: Debian's docker client fits Debian's daemon.
        env["PATH"] = os.pathsep.join([str(_kind_here_binaries()), "/usr/bin", env.get("PATH", os.defpath)])
    if not succeeds("docker", "buildx", "version", env=env):
        env["DOCKER_BUILDKIT"] = "0"
    return env


def docker(*arguments: str | Path, timeout: float | None = None) -> str:
    """Run docker. Raises E2EError. Seconds."""
    return run(_tool("docker"), *arguments, env=environment(), timeout=timeout)


def kind(*arguments: str | Path) -> str:
    """Run kind. Raises E2EError."""
    return run(_tool("kind"), *arguments, env=environment())


def _tool(name: str) -> str:
    found = shutil.which(name, path=environment()["PATH"])
    if found is None:
        raise E2EError(f"{name} is not installed")
    return found


def works() -> bool:
    """Return whether docker and kind can be used as they are."""
    return succeeds("docker", "info", env=environment()) and succeeds("kind", "version", env=environment())


def ensure_docker(say: Callable[[str], None] = say) -> None:
    """Make docker and kind work. Raises E2EError with what is missing."""
    if works():
        return
    script = Path(os.environ.get("E2E_KIND_HERE") or _KIND_HERE)
    if not script.exists():
        raise E2EError(
            "`docker info` and `kind version` do not both work: install docker and kind, or name a script that"
            " brings them in E2E_KIND_HERE"
        )
    had_docker = succeeds("docker", "info", env=environment())
    for stage in _STAGES:
        say(f"{script.name} {stage}")
        if stage == "docker" and not had_docker:
            state_directory().mkdir(parents=True, exist_ok=True)
            _docker_note().write_text(str(script))
        show("bash", script, stage)
    environment.cache_clear()
    if not works():
        raise E2EError(f"{script} ended well, but `docker info` and `kind version` still do not both work")


def stop_docker(say: Callable[[str], None] = say) -> None:
    """Stop the dockerd that `ensure_docker` started; one that was found is left alone."""
    note = _docker_note()
    if note.exists():
        show("bash", note.read_text(), "stop", env={**os.environ, "CLUSTER": cluster_name()})
        note.unlink()
        say("dockerd is stopped")


def _docker_note() -> Path:
    return state_directory() / "started-dockerd"


def has_image(name: str) -> bool:
    """Return whether docker has an image of this name."""
    return succeeds("docker", "image", "inspect", name, env=environment())


def base_image() -> str:
    """Return the base of our images: E2E_BASE_IMAGE, what kind-here.sh made, or the Dockerfiles' default (empty)."""
    return os.environ.get("E2E_BASE_IMAGE") or (_LOCAL_BASE if has_image(_LOCAL_BASE) else "")
