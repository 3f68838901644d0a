"""The sizing page states what the operator requests, and what its scratch volume holds at the presets' bitrates."""

from __future__ import annotations

import re

import pytest

from egress_operator.api import parse_spec
from egress_operator.names import PARTICIPANT_KIND
from egress_operator.podspec import SCRATCH_SIZE
from egress_operator.resources import of_recorder
from egress_operator.settings import Settings
from egress_operator.units import exact_quantity, parse_quantity
from egress_recorder.contract import PRESETS
from support.documents import ROOT, codes, rows

pytestmark = pytest.mark.unit

PAGE = ROOT / "docs/sizing.md"
LANDSCAPE = [name for name in PRESETS if not name.startswith("PORTRAIT_")]


def asked(preset: str) -> tuple[float, float, float]:
    """Return cores, MiB and the limit in MiB that the operator gives a recorder of this preset."""
    spec = {"roomName": "a", "identity": "b", "preset": preset, "fileOutputs": [{"pvc": {"claimName": "c"}}]}
    resources = of_recorder(parse_spec(PARTICIPANT_KIND, spec), Settings(), {})
    memory, limit = (parse_quantity(resources[kind]["memory"]) / 2**20 for kind in ("requests", "limits"))
    return float(exact_quantity(resources["requests"]["cpu"])), memory, limit


def stated() -> dict[str, list[str]]:
    """Return preset -> cells of the page's table."""
    table = rows(PAGE, "## CPU and memory per preset")
    return {codes(cells[0])[0]: cells for cells in table if codes(cells[0])}


@pytest.mark.parametrize("preset", LANDSCAPE)
def test_the_table_states_the_requests_and_the_limit_of_the_operator(preset: str) -> None:
    cpu, memory, limit = re.fullmatch(
        r"([\d.]+), (\d+ MiB) \(([\d.]+ [MG]iB)\)", stated()[preset][5]
    ).groups()  # type: ignore[union-attr] # the row is ours

    assert (float(cpu), _mib(memory), _mib(limit)) == asked(preset)


@pytest.mark.parametrize("preset", LANDSCAPE)
def test_what_was_measured_fits_into_the_requests(preset: str) -> None:
    cells = stated()[preset]
    used = max(float(number) for number in re.findall(r"\d+\.\d+", cells[2]))
    cpu, memory, _ = asked(preset)

    assert used <= cpu
    assert _mib(cells[4]) <= memory


@pytest.mark.parametrize("preset", LANDSCAPE)
def test_a_portrait_preset_gets_what_its_landscape_one_gets(preset: str) -> None:
    assert asked(f"PORTRAIT_{preset}") == asked(preset)


def test_the_hours_that_fit_into_the_scratch_volume_follow_from_the_bitrates() -> None:
    table = rows(PAGE, "## Scratch space and the upload")[1:]
    bitrates = {encoding.video_bitrate + encoding.audio_bitrate for encoding in PRESETS.values()}

    assert {sum(map(int, cells[1].split(" + "))) for cells in table} == bitrates
    for cells in table:
        bytes_per_hour = sum(map(int, cells[1].split(" + "))) * 1000 / 8 * 3600
        assert float(cells[2].removesuffix(" GB")) == round(bytes_per_hour / 1e9, 1)
        assert float(cells[3].removesuffix(" h")) == round(parse_quantity(SCRATCH_SIZE) / bytes_per_hour, 1)


def _mib(text: str) -> float:
    number, unit = text.split()
    return float(number) * (1024 if unit == "GiB" else 1)
