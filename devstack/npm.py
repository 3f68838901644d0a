"""Owns JavaScript libraries for the test pages: installed by npm once, cached beside the built servers, never a CDN."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from devstack import build

LIVEKIT_CLIENT = ("livekit-client", "2.23.0", "dist/livekit-client.umd.js")


AZURITE = ("azurite", "3.35.0", "dist/src/blob/main.js")
"""Microsoft's emulator of Azure Storage; from 3.36 on it wants Node 21."""


HLS_JS = ("hls.js", "1.7.4", "dist/hls.min.js")
"""The player of HLS in browsers that have none of their own."""


class NpmError(RuntimeError):
    """npm is missing or could not install a package."""


def available() -> bool:
    """True when npm is installed."""
    return shutil.which("npm") is not None


def library(name: str, version: str, file: str) -> Path:
    """Return the path of a file of a package, installing it when it is not cached. Raises NpmError."""
    directory = build.cache_directory() / "npm" / f"{name}-{version}"
    path = directory / "node_modules" / name / file
    if not path.is_file():
        _install(name, version, directory)
    if not path.is_file():
        raise NpmError(f"{name} {version} has no {file}")
    return path


def livekit_client() -> Path:
    """Return LiveKit's browser SDK as one script. Raises NpmError."""
    return library(*LIVEKIT_CLIENT)


def hls_js() -> Path:
    """Return hls.js as one script. Raises NpmError."""
    return library(*HLS_JS)


def azurite() -> Path:
    """Return the blob service of Azurite as a script for node (186 MB on disk). Raises NpmError."""
    return library(*AZURITE)


def _install(name: str, version: str, directory: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NpmError("npm is not installed: apt-get install npm")
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Complete or absent: installed beside and renamed, so that two processes may do it at once.
    with tempfile.TemporaryDirectory(dir=directory.parent, ignore_cleanup_errors=True) as scratch:
        target = Path(scratch) / "package"
        target.mkdir()
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"]
        try:
            subprocess.run(
                [*command, "--prefix", str(target), f"{name}@{version}"],
                check=True,
                capture_output=True,
                text=True,
                timeout=120,
                env={**os.environ, "npm_config_update_notifier": "false"},
            )
        except subprocess.CalledProcessError as error:
            raise NpmError(f"npm could not install {name} {version}: {error.stderr[-500:]}") from None
        except subprocess.TimeoutExpired:
            raise NpmError(f"npm did not install {name} {version} within 120 s") from None
        try:
            target.rename(directory)
        except OSError:
            if not directory.is_dir():
                raise
