"""Owns the images: operator and recorder for everyone; livekit-server and the test publisher for the cluster only."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devstack import build
from devstack.e2e import cluster
from devstack.e2e.shell import E2EError, run
from devstack.operatorprocess import REPOSITORY
from devstack.process import say

_CONTEXT = REPOSITORY / "dist" / "images"
_PUBLISHER_MODULES = ("__init__.py", "publisher.py", "camera.py", "testpattern.py")


def _version() -> str:
    return str(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"])


@dataclass(frozen=True, slots=True)
class Images:
    """The names with their tags; never `latest`, which Kubernetes would pull."""

    operator: str
    recorder: str
    livekit: str
    publisher: str


def names() -> Images:
    """Return the images' names."""
    version = _version()
    return Images(
        operator=f"livekit-egress-operator:{version}",
        recorder=f"livekit-egress-recorder:{version}",
        livekit=f"livekit-egress-e2e-livekit:{build.LIVEKIT}",
        publisher=f"livekit-egress-e2e-publisher:{version}",
    )


def write_requirements() -> None:
    """Write what uv.lock pins for each image, and the builder's CA bundle where it needs one. Raises E2EError."""
    _CONTEXT.mkdir(parents=True, exist_ok=True)
    uv = shutil.which("uv") or str(build.cache_directory() / "uv" / "bin" / "uv")
    for extra in ("operator", "recorder"):
        text = run(
            uv,
            "export",
            "--quiet",
            "--frozen",
            "--no-dev",
            "--no-header",
            "--no-annotate",
            "--no-emit-project",
            "--extra",
            extra,
            cwd=REPOSITORY,
        )
        _write(_CONTEXT / f"requirements-{extra}.txt", text.encode())
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if bundle:
        _write(_CONTEXT / "ca.pem", Path(bundle).read_bytes())
    else:
        (_CONTEXT / "ca.pem").unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    # Docker's cache looks at the content only; an unchanged file is left alone all the same.
    if not path.exists() or path.read_bytes() != content:
        path.write_bytes(content)


def build_product(say: Callable[[str], None] = say) -> None:
    """Build the operator's and the recorder's image and print their sizes. Raises E2EError."""
    write_requirements()
    base = cluster.base_image()
    arguments = ["--build-arg", f"BASE_IMAGE={base}"] if base else []
    if "PIP_INDEX_URL" in os.environ:
        arguments += ["--build-arg", "PIP_INDEX_URL"]
    for image, directory in ((names().operator, "operator"), (names().recorder, "recorder")):
        started = time.monotonic()
        dockerfile = REPOSITORY / directory / "Dockerfile"
        cluster.docker("build", "--quiet", "--tag", image, "--file", dockerfile, *arguments, REPOSITORY)
        say(f"image {image}: {size_mb(image):.0f} MB, built in {time.monotonic() - started:.0f} s")


def build_test_images() -> None:
    """Build the images that only the cluster's tests need. Raises E2EError."""
    here = Path(__file__).parent
    server = build.ensure("livekit-server")["livekit-server"]
    with tempfile.TemporaryDirectory(prefix="egress-e2e-") as directory:
        shutil.copy(server, Path(directory) / "livekit-server")
        shutil.copy(here / "livekit.Dockerfile", Path(directory) / "Dockerfile")
        cluster.docker("build", "--quiet", "--tag", names().livekit, directory)
    with tempfile.TemporaryDirectory(prefix="egress-e2e-") as directory:
        for module in _PUBLISHER_MODULES:
            shutil.copy(here.parent / module, Path(directory) / module)
        shutil.copy(here / "publisher.Dockerfile", Path(directory) / "Dockerfile")
        recorder = f"RECORDER_IMAGE={names().recorder}"
        cluster.docker("build", "--quiet", "--tag", names().publisher, "--build-arg", recorder, directory)


def size_mb(image: str) -> float:
    """Return an image's size in MB (10⁶ bytes), unpacked."""
    return int(cluster.docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def identity(image: str) -> str:
    """Return an image's id: an object that carries it changes with the image, though the tag does not."""
    answer = cluster.docker("image", "inspect", "--format", "{{.Id}}", image).strip()
    if not answer:
        raise E2EError(f"docker has no image {image}")
    return answer
