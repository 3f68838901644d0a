"""Owns the images: operator and recorder for everyone; livekit-server, S3 server and publisher for the cluster only.

Also the variants that the tests of upgrades need: `build_next` (the next contract version) and `retag`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from devstack import build
from devstack.e2e import machine
from devstack.e2e.shell import E2EError
from devstack.operatorprocess import REPOSITORY
from devstack.process import say
from egress_recorder.contract import CONTRACT_VERSION

Product = Literal["operator", "recorder"]

PRODUCTS: tuple[Product, ...] = ("operator", "recorder")
BILLS = REPOSITORY / "dist" / "sbom"
"""Where `build_product` puts each image's bill of materials (CycloneDX, JSON)."""
_CA_BUNDLE = REPOSITORY / "dist" / "images" / "ca.pem"
PUBLISHER_MODULES = (
    "__init__.py",
    "camera.py",
    "conformance/__init__.py",
    "conformance/actor.py",
    "publisher.py",
    "publisher_options.py",
    "publishing.py",
    "testpattern.py",
)
"""Of devstack: all that the publisher's image needs (tests/unit/devstack/test_e2e_manifests.py starts it with these)."""
_HERE = Path(__file__).parent


def version() -> str:
    """Return the version of the work tree, which is also the images' tag."""
    return str(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"])


@dataclass(frozen=True, slots=True)
class Images:
    """The names with their tags; never `latest`, which Kubernetes would pull."""

    operator: str
    recorder: str
    livekit: str
    publisher: str
    s3: str


def names() -> Images:
    """Return the images' names."""
    tag = version()
    return Images(
        operator=f"livekit-egress-operator:{tag}",
        recorder=f"livekit-egress-recorder:{tag}",
        livekit=f"livekit-egress-e2e-livekit:{build.LIVEKIT}",
        publisher=f"livekit-egress-e2e-publisher:{tag}",
        s3=f"livekit-egress-e2e-s3:{build.VERSITYGW}",
    )


def name_of(product: Product) -> str:
    """Return the operator's or the recorder's image."""
    return names().operator if product == "operator" else names().recorder


def build_product(say: Callable[[str], None] = say) -> None:
    """Build the operator's and the recorder's image, print their sizes, save their bills. Raises E2EError."""
    _provide_ca_bundle()
    for product in PRODUCTS:
        started = time.monotonic()
        image = name_of(product)
        dockerfile = REPOSITORY / product / "Dockerfile"
        machine.docker("build", "--quiet", "--tag", image, "--file", dockerfile, *_arguments(), REPOSITORY)
        _save_bill(image)
        say(f"image {image}: {size_mb(image):.0f} MB, built in {time.monotonic() - started:.0f} s")


def _provide_ca_bundle() -> None:
    """Put the CA bundle that this machine's pip is told to use where the Dockerfiles look for one."""
    bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if not bundle:
        _CA_BUNDLE.unlink(missing_ok=True)
        return
    content = Path(bundle).read_bytes()
    # Docker's cache looks at the content only; an unchanged file is left alone all the same.
    if not _CA_BUNDLE.exists() or _CA_BUNDLE.read_bytes() != content:
        _CA_BUNDLE.parent.mkdir(parents=True, exist_ok=True)
        _CA_BUNDLE.write_bytes(content)


def _arguments() -> list[str]:
    arguments = _build_arguments(
        {
            "BASE_IMAGE": machine.base_image(),
            "VERSION": version(),
            "REVISION": _git("describe", "--always", "--abbrev=40", "--exclude", "*", "--dirty"),
            "CREATED": _git("show", "--no-patch", "--format=%cI", "HEAD"),
            "SOURCE": _git("remote", "get-url", "origin"),
        }
    )
    # Without a value: docker takes it from the environment, and a password in it stays out of the process list.
    return arguments + (["--build-arg", "PIP_INDEX_URL"] if "PIP_INDEX_URL" in os.environ else [])


def _build_arguments(values: Mapping[str, str]) -> list[str]:
    return [word for name, value in values.items() if value for word in ("--build-arg", f"{name}={value}")]


def _git(*arguments: str) -> str:
    """Return what git answers, "" where there is no repository or no such thing in it."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return "" if done.returncode else done.stdout.strip()


def _save_bill(image: str) -> None:
    name = image.partition(":")[0]
    BILLS.mkdir(parents=True, exist_ok=True)
    container = machine.docker("create", image).strip()
    try:
        inside = f"{container}:/usr/share/doc/{name}/sbom.cdx.json"
        machine.docker("cp", inside, BILLS / f"{name}-{version()}.cdx.json")
    finally:
        machine.docker("rm", container)


def build_test_images() -> None:
    """Build the images that only the cluster's tests need. Raises E2EError."""
    binaries = build.ensure("livekit-server", "versitygw")
    _build("livekit.Dockerfile", names().livekit, files=[binaries["livekit-server"]])
    _build("s3.Dockerfile", names().s3, files=[binaries["versitygw"]])
    modules = [_HERE.parent / module for module in PUBLISHER_MODULES]
    _build("publisher.Dockerfile", names().publisher, {"RECORDER_IMAGE": names().recorder}, files=modules)


def build_next(product: Product) -> str:
    """Build the operator or recorder of the next contract version from the built image; return its name.

    It differs in `CONTRACT_VERSION` and nothing else. Raises E2EError.
    """
    image = f"{name_of(product)}-next"
    versions = {"FROM_VERSION": str(CONTRACT_VERSION), "TO_VERSION": str(CONTRACT_VERSION + 1)}
    _build("next.Dockerfile", image, {"IMAGE": name_of(product), **versions})
    return image


def retag(image: str, tag: str) -> str:
    """Give an image a second tag and return the new name: for Kubernetes a changed image. Raises E2EError."""
    other = f"{image.rpartition(':')[0]}:{tag}"
    machine.docker("tag", image, other)
    return other


def _build(
    dockerfile: str, image: str, values: Mapping[str, str] | None = None, *, files: list[Path] | None = None
) -> None:
    """Build one of our small Dockerfiles; modules keep their place, a server loses the version of its name in the cache."""
    with tempfile.TemporaryDirectory(prefix="egress-e2e-") as directory:
        shutil.copy(_HERE / dockerfile, Path(directory) / "Dockerfile")
        for file in files or ():
            target = Path(directory) / _place(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
        machine.docker("build", "--quiet", "--tag", image, *_build_arguments(values or {}), directory)


def _place(file: Path) -> Path:
    servers = (Path(name) for name in build.SERVERS if file == build.binary(name))
    return next(servers, None) or file.relative_to(REPOSITORY)


def size_mb(image: str) -> float:
    """Return an image's size in MB (10⁶ bytes), unpacked."""
    return int(machine.docker("image", "inspect", "--format", "{{.Size}}", image)) / 1e6


def identity(image: str) -> str:
    """Return an image's id: an object that carries it changes with the image, though the tag does not."""
    answer = machine.docker("image", "inspect", "--format", "{{.Id}}", image).strip()
    if not answer:
        raise E2EError(f"docker has no image {image}")
    return answer
