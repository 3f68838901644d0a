"""The bill of materials: every package once, names that scanners understand, the licences that matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import image_build

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
DEBIAN = {"ID": "debian", "VERSION_ID": "12"}


def test_a_debian_version_with_an_epoch_and_a_plus_is_escaped_in_its_purl() -> None:
    (package,) = image_build.debian_packages("libstdc++6\t1:12.2.0-14+deb12u1\tamd64\n", DEBIAN)

    assert package["name"] == "libstdc++6"
    assert package["version"] == "1:12.2.0-14+deb12u1"
    assert package["purl"] == (
        "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12"
    )


def test_a_component_that_two_sources_name_is_listed_once() -> None:
    bill: dict[str, Any] = {
        "components": [{"name": "av", "bom-ref": "av==18.1.0", "purl": "pkg:pypi/av@18.1.0"}]
    }
    embedded = [
        {"name": "av", "bom-ref": "x", "purl": "pkg:pypi/av@18.1.0?file_name=av.whl"},
        {"name": "libxcb", "bom-ref": "y#1", "purl": "pkg:rpm/almalinux/libxcb@1.13"},
        {"name": "libxcb", "bom-ref": "y#2", "purl": "pkg:rpm/almalinux/libxcb@1.13"},
    ]

    image_build.add_components(bill, embedded)

    assert [item["name"] for item in bill["components"]] == ["av", "libxcb"]


def test_the_encoders_inside_a_wheel_carry_their_licence_and_others_only_their_hash() -> None:
    encoder = image_build.library(Path("av.libs/libx264-d6533a8d.so.165"), b"")
    other = image_build.library(Path("av.libs/libopus-114e2b1a.so.0.11.1"), b"")

    assert encoder["licenses"] == [{"license": {"id": "GPL-2.0-or-later"}}]
    assert "licenses" not in other
    assert other["hashes"][0]["content"].startswith("e3b0c44298fc1c14")


def test_uv_is_installed_from_the_lock_file_by_hash() -> None:
    line = image_build.uv_requirement((ROOT / "uv.lock").read_text())

    assert line.startswith("uv==")
    assert line.count(" --hash=sha256:") >= 2


@pytest.mark.parametrize("product", ["operator", "recorder"])
def test_a_dockerfile_copies_only_what_the_build_context_has(product: str) -> None:
    lines = (ROOT / product / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert {source.rstrip("*") for sources in copied for source in sources} <= allowed


def test_both_dockerfiles_have_the_same_base_and_the_same_beginning() -> None:
    """A Dockerfile cannot include another: what is said twice must at least be the same."""
    texts = [(ROOT / product / "Dockerfile").read_text() for product in ("operator", "recorder")]

    beginnings = {text[text.index("ARG BASE_IMAGE") : text.index("RUN python3 /build")] for text in texts}

    assert len(beginnings) == 1
