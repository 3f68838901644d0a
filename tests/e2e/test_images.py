"""The images under a pod's conditions: nobody's rights, read-only root, only what is needed, and papers that tell the truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devstack.e2e import images, machine, startup
from egress_recorder.contract import CONTRACT_VERSION

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
LIMITS_MB = {"operator": 250, "recorder": 400}
PRODUCTS = pytest.mark.parametrize("product", images.PRODUCTS)
UNIT_TESTS = {
    "operator": ["tests/unit/operator"],
    # The quick ones of those that use the libraries.
    "recorder": [
        "tests/unit/recorder_media/test_file.py",
        "tests/unit/recorder_media/test_session.py",
        "tests/unit/recorder_shell/test_parts_of_the_shell.py",
        "tests/unit/recorder_shell/test_upload.py",
    ],
}

# Run in our own environment: lists every module that the entry points and the unit tests load, ours and the libraries'.
LIST_MODULES = """
import importlib, json, pytest, sys
target, entries, tests = sys.argv[1], *map(json.loads, sys.argv[2:])
for name in entries:
    importlib.import_module(name)
pytest.main(["-q", "-p", "no:cacheprovider", *tests])
names = sorted(name for name in sys.modules if name.partition(".")[0] not in sys.stdlib_module_names)
open(target, "w").write("\\n".join(names))
"""
# Run in the image: imports those whose package the image is meant to have, prints their number and what is missing.
IMPORT_MODULES = """
import importlib, importlib.util, sys
def is_here(package):
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # __main__ and the like
        return False
wanted = [name for name in sys.argv[1].split() if is_here(name.partition(".")[0])]
print(len(wanted))
for name in wanted:
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(name, error)
"""
# Run in the image: prints each loaded module that has no bytecode beside it.
LIST_UNCOMPILED = """
import importlib, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for name, module in sorted(sys.modules.items()):
    cached = getattr(module, "__cached__", None)
    if cached and not os.path.exists(cached):
        print(name)
"""
ENTRY_MODULES = {
    "operator": ["egress_operator.__main__"],
    "recorder": [
        "egress_recorder.supervisor.run",
        "egress_recorder.storage.s3",
        "egress_recorder.session",
        "egress_recorder.sources.livekit",
        "egress_recorder.finalize",
    ],
}


@pytest.fixture(autouse=True, scope="module")
def built_images() -> None:
    for product in images.PRODUCTS:
        if not machine.has_image(images.name_of(product)):
            pytest.fail(f"docker has no {images.name_of(product)}: run `make images` first")


def in_image(product: images.Product, *command: str) -> str:
    """Run a command in an image as a restricted pod would."""
    program, *arguments = command
    image = images.name_of(product)
    options = ("--rm", "--network", "none", *startup.RESTRICTED, "--entrypoint", program)
    return machine.docker("run", *options, image, *arguments)


def inspect(product: images.Product) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(machine.docker("image", "inspect", images.name_of(product)))
    return found[0]


@PRODUCTS
def test_an_image_is_small_runs_as_nobody_and_says_what_it_is(product: images.Product) -> None:
    found = inspect(product)
    labels = found["Config"]["Labels"]

    assert found["Size"] / 1e6 <= LIMITS_MB[product]
    assert found["Config"]["User"] == "65532:65532"
    assert labels["org.opencontainers.image.version"] == images.version()
    assert labels["org.opencontainers.image.title"] == f"livekit-egress-{product}"
    assert ("GPL-3.0-or-later" in labels["org.opencontainers.image.licenses"]) == (product == "recorder")


@PRODUCTS
def test_no_compiler_no_installer_and_no_trace_of_the_build_is_left(product: images.Product) -> None:
    tools = "for tool in gcc cc pip pip3 uv git make; do command -v $tool; done"
    traces = (
        "ls -d /build /root/.cache /var/lib/apt/lists/* /var/cache/apt/* /opt/venv/lib/*/site-packages/pip"
    )
    other = {"operator": "av numpy livekit.rtc botocore", "recorder": "kopf kubernetes egress_operator"}
    find = "import importlib.util as u, sys; print(*[name for name in sys.argv[1:] if u.find_spec(name)])"

    assert in_image(product, "sh", "-c", f"{tools}; {traces} 2>/dev/null; true") == ""
    assert in_image(product, "python3", "-c", find, *other[product].split()).strip() == ""
    scripts = in_image(product, "ls", "/opt/venv/bin").split()
    assert [name for name in scripts if not name.startswith("python")] == [f"egress-{product}"]


@PRODUCTS
def test_everything_that_the_unit_tests_import_is_in_the_image(
    product: images.Product, tmp_path: Path
) -> None:
    listed = tmp_path / "modules"
    what = (json.dumps(ENTRY_MODULES[product]), json.dumps(UNIT_TESTS[product]))
    command = [sys.executable, "-c", LIST_MODULES, str(listed), *what]
    # The tests' own outcome is other runs' concern; here they only show what gets imported on the way.
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    number, *missing = in_image(product, "python3", "-c", IMPORT_MODULES, listed.read_text()).splitlines()

    assert int(number) > 300
    assert not missing


@PRODUCTS
def test_no_module_is_compiled_anew_at_each_start(product: images.Product) -> None:
    assert in_image(product, "python3", "-c", LIST_UNCOMPILED, *ENTRY_MODULES[product]) == ""


@PRODUCTS
def test_the_bill_of_materials_names_every_package_and_notice_and_licence_are_beside_it(
    product: images.Product,
) -> None:
    papers = f"/usr/share/doc/livekit-egress-{product}"
    bill = json.loads(in_image(product, "cat", f"{papers}/sbom.cdx.json"))
    listed = {(item["name"].lower(), item.get("version")) for item in bill["components"]}
    python = "import importlib.metadata as m; print(*(f'{d.name} {d.version}' for d in m.distributions()), sep='\\n')"
    distributions = [line.lower().split() for line in in_image(product, "python3", "-c", python).splitlines()]
    debian = in_image(product, "dpkg-query", "-W", "-f", "${Package} ${Version}\n").splitlines()

    assert {tuple(item) for item in distributions} - listed == {("livekit-egress-operator", images.version())}
    assert {tuple(line.split()) for line in debian} <= listed
    assert bill["metadata"]["component"]["name"] == f"livekit-egress-{product}"
    saved = images.BILLS / f"livekit-egress-{product}-{images.version()}.cdx.json"
    assert json.loads(saved.read_text()) == bill
    assert in_image(product, "cat", f"{papers}/NOTICE") == (ROOT / "NOTICE").read_text()
    assert in_image(product, "cat", f"{papers}/LICENSE") == (ROOT / "LICENSE").read_text()


def test_the_bill_of_the_recorder_names_what_puts_it_under_the_gpl() -> None:
    bill = json.loads(in_image("recorder", "cat", "/usr/share/doc/livekit-egress-recorder/sbom.cdx.json"))

    licensed = {
        item["name"].partition("-")[0]: item["licenses"][0]["license"]["id"]
        for item in bill["components"]
        if item["name"].startswith("av.libs/") and item.get("licenses")
    }

    assert licensed == {"av.libs/libx264": "GPL-2.0-or-later", "av.libs/libx265": "GPL-2.0-or-later"}


def test_the_operator_answers_its_probe_within_five_seconds_of_its_start() -> None:
    assert startup.operator_seconds(images.names().operator) < 5


@PRODUCTS
def test_the_next_image_differs_in_the_contract_version_only(product: images.Product) -> None:
    image = images.build_next(product)
    question = "import egress_recorder.contract as c; print(c.CONTRACT_VERSION)"

    options = ("--rm", "--network", "none", *startup.RESTRICTED, "--entrypoint", "python3", image, "-c")
    assert machine.docker("run", *options, question).strip() == str(CONTRACT_VERSION + 1)
    assert machine.docker("run", *options, LIST_UNCOMPILED, "egress_recorder.contract") == ""
    changed = json.loads(machine.docker("image", "inspect", image))[0]
    original = inspect(product)
    assert changed["Config"]["Entrypoint"] == original["Config"]["Entrypoint"]
    assert changed["Config"]["User"] == original["Config"]["User"]
    assert changed["Size"] - original["Size"] < 200_000


def test_a_second_tag_is_the_same_image_under_another_name() -> None:
    image = images.names().operator
    other = images.retag(image, "0.0.0-retagged")
    try:
        assert other == "livekit-egress-operator:0.0.0-retagged"
        assert images.identity(other) == images.identity(image)
    finally:
        machine.docker("rmi", other)
