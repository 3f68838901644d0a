"""docs/behaviour.md names every case of the conformance suite, and no case that does not exist."""

import re

import pytest

from devstack.conformance.cases import all_cases
from support.documents import ROOT

pytestmark = pytest.mark.unit

ROWS = re.findall(
    r"^\| (.+?) \| `([a-z0-9.-]+)` \|", (ROOT / "docs" / "behaviour.md").read_text(), re.MULTILINE
)


def test_every_case_is_named_once_with_what_it_proves() -> None:
    assert [(proves, name) for proves, name in ROWS] == [
        (case.proves, case.name) for case in all_cases().values()
    ]


def test_a_behaviour_is_one_sentence_of_one_line() -> None:
    for case in all_cases().values():
        assert case.proves.endswith("."), case.name
        assert "\n" not in case.proves
        assert "|" not in case.proves


def test_the_shortened_form_is_a_handful_that_takes_at_most_two_and_a_half_minutes() -> None:
    short = [case for case in all_cases().values() if case.short]

    assert 5 <= len(short) <= 12
    # Starting, ending and judging take about 3 s of each.
    assert sum(case.seconds + 3 for case in short) <= 150
