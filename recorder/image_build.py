"""Owns the build stage of both images: /opt/venv with one extra of uv.lock in it, and the papers of what is inside.

operator/Dockerfile and recorder/Dockerfile run it as root in a stage that is thrown away, never anybody else:
`image_build.py dependencies EXTRA` installs what uv.lock pins (its own layer, because code changes more often);
`image_build.py project EXTRA` adds our code, compiles everything, and writes the papers to /build/papers: LICENSE,
NOTICE and `sbom.cdx.json` (CycloneDX). Everything that is downloaded is pinned by hash, the tools too (dependency
group `images`). Standard library only; whatever fails ends the build with its own words.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

BUILD = Path("/build")
VENV = Path("/opt/venv")
TOOLS = BUILD / "tools"
PAPERS = BUILD / "papers"
BASE_PACKAGES = BUILD / "base-packages"

Component = dict[str, Any]

BUNDLED_LICENSES = {"libx264": "GPL-2.0-or-later", "libx265": "GPL-2.0-or-later"}
"""Licences of libraries inside wheels whose metadata does not tell; these two decide the recorder image's terms."""


def dependencies(extra: str) -> None:
    """Install what uv.lock pins for one extra into a new /opt/venv, without pip."""
    # First of all: what python3-venv brings below is not in the image.
    BASE_PACKAGES.write_text(_run("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\n"))
    if importlib.util.find_spec("ensurepip") is None:
        _run("apt-get", "update", "-qq")
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3-venv")
    _run(sys.executable, "-m", "venv", TOOLS)
    bootstrap = BUILD / "uv.txt"
    bootstrap.write_text(uv_requirement((BUILD / "uv.lock").read_text()))
    _run(
        TOOLS / "bin/pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
        "-r",
        bootstrap,
    )
    _install(TOOLS, "--only-group", "images")
    _run(sys.executable, "-m", "venv", "--without-pip", VENV)
    _install(VENV, "--no-default-groups", "--extra", extra)


def uv_requirement(lock: str) -> str:
    """Return the line that makes pip install exactly the uv of the lock file, on any machine type it has a wheel for."""
    package = next(item for item in tomllib.loads(lock)["package"] if item["name"] == "uv")
    hashes = [f"--hash={wheel['hash']}" for wheel in package["wheels"]]
    return " ".join([f"uv=={package['version']}", *hashes]) + "\n"


def _install(environment: Path, *selection: str) -> None:
    listed = environment.with_name(environment.name + ".txt")
    _uv("export", "--frozen", "--no-emit-project", "--no-header", *selection, "--output-file", listed)
    # --no-deps: the list is complete and has the lock file's overrides.
    _uv("pip", "install", "--python", environment, "--no-deps", "--require-hashes", "-r", listed)


def project(extra: str) -> None:
    """Install our packages, remove what belongs to the other image, compile, write the papers."""
    _run(
        TOOLS / "bin/python", "-m", "hatchling", "build", "--target", "wheel", "--directory", BUILD / "wheel"
    )
    _uv("pip", "install", "--python", VENV, "--no-deps", *(BUILD / "wheel").glob("*.whl"))
    packages = next(VENV.glob("lib/python3*/site-packages"))
    if extra == "recorder":
        shutil.rmtree(packages / "egress_operator")
    for script in (VENV / "bin").iterdir():
        # What the libraries bring for a terminal has no place beside ours.
        if not script.name.startswith(("python", f"egress-{extra}")):
            script.unlink()
    # The container's root is read-only: what is not compiled now is compiled again at each start.
    _run(VENV / "bin/python", "-m", "compileall", "-q", "-j", "0", VENV / "lib")
    PAPERS.mkdir(exist_ok=True)
    for name in ("LICENSE", "NOTICE"):
        shutil.copy(BUILD / name, PAPERS / name)
    bill = _bill_of_materials(f"livekit-egress-{extra}", packages)
    (PAPERS / "sbom.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")


def _bill_of_materials(image: str, packages: Path) -> dict[str, Any]:
    """Return the Python packages as cyclonedx-py sees them, and what is beside and inside them."""
    target = BUILD / "python.cdx.json"
    _run(
        TOOLS / "bin/cyclonedx-py",
        "environment",
        "--output-reproducible",
        "--pyproject",
        BUILD / "pyproject.toml",
        "--output-format",
        "JSON",
        "--output-file",
        target,
        VENV / "bin/python",
    )
    bill: dict[str, Any] = json.loads(target.read_text())
    bill["metadata"]["component"] |= {"type": "container", "name": image}
    system = platform.freedesktop_os_release()
    embedded = [json.loads(path.read_text()) for path in sorted(packages.glob("*.dist-info/sboms/*.json"))]
    libraries = [path for path in sorted(packages.rglob("*.so*")) if path.is_file()]
    add_components(bill, [operating_system(system), interpreter()])
    add_components(bill, debian_packages(BASE_PACKAGES.read_text(), system))
    add_components(bill, (item for document in embedded for item in document.get("components", ())))
    add_components(bill, (library(path.relative_to(packages), path.read_bytes()) for path in libraries))
    return bill


def add_components(bill: dict[str, Any], components: Iterable[Component]) -> None:
    """Add what is not there yet: a package counts as known by its name in the ecosystem (purl, without qualifiers)."""
    known = {_identity(item) for item in bill["components"]}
    for component in components:
        if _identity(component) not in known:
            known.add(_identity(component))
            bill["components"].append(component)


def _identity(component: Component) -> str:
    purl = str(component.get("purl", ""))
    return purl.partition("?")[0] or str(component["bom-ref"])


def operating_system(system: Mapping[str, str]) -> Component:
    """Return the base image's distribution, from its os-release."""
    name, version = system["ID"], system.get("VERSION_ID", "")
    return {"type": "operating-system", "bom-ref": f"os:{name}", "name": name, "version": version}


def interpreter() -> Component:
    """Return the Python that runs the image: official images' own is no Debian package."""
    version = platform.python_version()
    purl = f"pkg:generic/python@{version}"
    return {"type": "platform", "bom-ref": purl, "name": "python", "version": version, "purl": purl}


def debian_packages(listed: str, system: Mapping[str, str]) -> list[Component]:
    """Return the base's packages from lines of name, version and architecture, separated by tabs."""
    distribution = f"{system['ID']}-{system.get('VERSION_ID', '')}"
    found = []
    for line in listed.splitlines():
        name, version, architecture = line.split("\t")
        # An epoch's colon and a plus sign must be escaped in a purl.
        where = f"pkg:deb/{system['ID']}/{quote(name, safe='')}@{quote(version, safe='')}"
        purl = f"{where}?arch={architecture}&distro={distribution}"
        found.append({"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl})
    return found


def library(path: Path, content: bytes) -> Component:
    """Return one compiled file of a wheel, with its licence where we know better than the wheel says."""
    component: Component = {
        "type": "file",
        "bom-ref": f"file:{path}",
        "name": str(path),
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}],
    }
    license_id = BUNDLED_LICENSES.get(path.name.partition("-")[0])
    if license_id:
        component["licenses"] = [{"license": {"id": license_id}}]
    return component


def _uv(*arguments: str | Path) -> None:
    _run(TOOLS / "bin/uv", "--quiet", *arguments)


def _run(*command: str | Path) -> str:
    environment = {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "UV_NO_CACHE": "1",
        "PIP_NO_CACHE_DIR": "1",
    }
    environment |= {
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_LINK_MODE": "copy",
        "UV_PROJECT_ENVIRONMENT": str(VENV),
    }
    if "PIP_INDEX_URL" in environment:
        environment["UV_DEFAULT_INDEX"] = environment["PIP_INDEX_URL"]
    if (BUILD / "ca.pem").exists():
        environment |= {"PIP_CERT": str(BUILD / "ca.pem"), "SSL_CERT_FILE": str(BUILD / "ca.pem")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=BUILD,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\n{command[0]} ended with {done.returncode}")
    return done.stdout


def main(arguments: Sequence[str]) -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(prog="image_build.py", description=__doc__)
    parser.add_argument("step", choices=("dependencies", "project"))
    parser.add_argument("extra", choices=("operator", "recorder"))
    options = parser.parse_args(arguments)
    {"dependencies": dependencies, "project": project}[options.step](options.extra)


if __name__ == "__main__":
    main(sys.argv[1:])
