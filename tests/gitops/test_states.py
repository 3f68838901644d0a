"""Every state of a recording as Flux and Argo CD see it, by their own code; docs/gitops/README.md says the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devstack import gotools
from egress_operator import names
from egress_operator.reasons import REASONS
from support.gitops_states import State, all_states
from support.gitops_tools import (
    ARGOCD_CM,
    PROGRAMS,
    Verdict,
    ask,
    health_check_expressions,
    row_of,
    state_table,
)

# The first run builds the programs when `make test` has not done it before.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

STATES = all_states()
PHASES = {"Pending", "Starting", "Active", "Ending", "Complete", "Failed", "Aborted", "LimitReached"}
WAITS_FOR_OTHERS = {("Pending", "WaitingForRoom"), ("Pending", "Queued")}
Verdicts = dict[str, Verdict]


def judge(program: Path, *arguments: str) -> Verdicts:
    answers = ask(program, [state.body for state in STATES], *arguments)
    return {state.id: answer for state, answer in zip(STATES, answers, strict=True)}


@pytest.fixture(scope="module")
def kstatus() -> Verdicts:
    """What Flux's kstatus says."""
    return judge(gotools.ensure(PROGRAMS / "kstatus"))


@pytest.fixture(scope="module")
def by_expressions(tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """What Flux says with the healthCheckExprs of docs/gitops/flux.md."""
    path = tmp_path_factory.mktemp("flux") / "expressions.json"
    path.write_text(json.dumps(health_check_expressions()))
    return judge(gotools.ensure(PROGRAMS / "kstatus"), "-expressions", str(path))


@pytest.fixture(scope="module")
def argo() -> Verdicts:
    """What Argo CD says with the health checks of docs/gitops/argocd-cm.yaml."""
    return judge(gotools.ensure(PROGRAMS / "argohealth"), str(ARGOCD_CM))


def test_the_states_are_all_there_are() -> None:
    assert len({state.id for state in STATES}) == len(STATES)
    for kind in names.PLURALS:
        assert {state.key[0] for state in STATES if state.body["kind"] == kind} == {"", *PHASES}


def test_every_reason_of_the_operator_is_among_them() -> None:
    of_other_conditions = {
        "AlreadyStopped",
        "InProgress",
        "EncoderBehind",
        "EncoderWasBehind",
        "ScratchFilling",
        "ScratchFreed",
        "ProbeFailed",
        "StorageFailed",
        "NoStorageTakesIt",
        "WritingFailed",
        "NothingHeld",
        "ImagesWait",
        "ImagesStored",
        "ImagesLeftOut",
    }

    assert {state.key[1] for state in STATES} >= set(REASONS) - of_other_conditions


def test_every_row_of_the_page_is_a_state_that_was_asked_for() -> None:
    table = state_table()

    asked = {(row.phase, row.reason) for row in (row_of(table, state.key) for state in STATES)}

    assert asked == set(table)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.id)
def test_flux_sees_the_state_as_the_page_says(state: State, kstatus: Verdicts) -> None:
    assert kstatus[state.id].status == row_of(state_table(), state.key).flux


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.id)
def test_argo_sees_the_state_as_the_page_says(state: State, argo: Verdicts) -> None:
    assert argo[state.id].status == row_of(state_table(), state.key).argo


# Flux asks for the health of what it has applied, never of what it has deleted.
APPLIED = [state for state in STATES if state.key[1] != "<deleted>"]


@pytest.mark.parametrize("state", APPLIED, ids=lambda state: state.id)
def test_flux_with_the_expressions_of_the_page_only_stops_waiting_for_others(
    state: State, kstatus: Verdicts, by_expressions: Verdicts
) -> None:
    expected = "Current" if state.key in WAITS_FOR_OTHERS else kstatus[state.id].status
    if state.key[1] == "<no status>":
        expected = "Unknown"  # the expressions name fields that are not there yet: Flux waits

    assert by_expressions[state.id].status == expected


@pytest.mark.parametrize("state", [state for state in STATES if state.key[0]], ids=lambda state: state.id)
def test_argo_shows_the_operators_own_sentence(state: State, argo: Verdicts) -> None:
    message = argo[state.id].message

    assert message
    if not state.key[1].startswith("<"):
        assert message == state.body["status"]["message"]
