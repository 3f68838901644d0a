"""The shortened form of the conformance suite: one test per case, its id is the case's name (`make conformance` runs all)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devstack.conformance.case import Case
from devstack.conformance.cases import all_cases
from devstack.conformance.runner import Suite

pytestmark = pytest.mark.integration
SHORT = [case for case in all_cases().values() if case.short]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with Suite(tmp_path_factory.mktemp("conformance")) as running:
        yield running


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_what_was_recorded_is_what_was_planned(suite: Suite, case: Case) -> None:
    (outcome,) = suite.run([case], attempts=3)
    if outcome.skipped:
        pytest.skip(outcome.skipped)

    assert outcome.problems == []
    assert outcome.passed
