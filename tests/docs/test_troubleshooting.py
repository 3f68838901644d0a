"""The troubleshooting page knows every reason, exit code and metric of the code, and none that the code has not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from egress_operator.metrics import Metrics
from egress_operator.reasons import REASONS
from egress_recorder.contract import RecorderStatus
from egress_recorder.metrics import render
from egress_recorder.vocabulary import EndReason, ExitCode
from support.documents import ROOT, codes, rows

pytestmark = pytest.mark.unit

PAGE = ROOT / "docs/troubleshooting.md"
OPERATOR = ROOT / "operator/egress_operator"
ONLY_OF_PARTS = {"JobGone", "PodGone", "NodeUnreachable", "Superseded", "Ended"}
"""Reasons whose sentence goes into `parts[].endReason`; they never become a condition's reason."""


def explained() -> list[str]:
    """The reasons in the first column of the page's tables of reasons."""
    return [code for cells in rows(PAGE, "## Reasons") if cells[0] != "reason" for code in codes(cells[0])]


def test_the_page_explains_every_reason_once_and_no_other() -> None:
    found = explained()

    assert sorted(found) == sorted(REASONS)


def test_every_reason_says_what_to_do_or_needs_nothing() -> None:
    waiting = [
        cells
        for heading in ("### It waits, and no pod exists yet", "### A pod exists and has not started")
        for cells in rows(PAGE, heading)
    ]

    assert [cells[0] for cells in waiting if not cells[1] or not cells[2]] == []


def test_the_operator_uses_no_reason_that_is_not_listed() -> None:
    used = {
        reason
        for path in OPERATOR.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        for reason in _reasons_of(call)
    }

    assert {"NoConnection", "QuotaExceeded", "LiveKitUnreachable", "PartsExhausted"} <= used
    assert used - ONLY_OF_PARTS <= REASONS.keys()


def _reasons_of(call: ast.Call) -> Iterator[str]:
    """Reason("X", …), …Problem("X", …) and reason="X" of anything."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if (name == "Reason" or name.endswith("Problem")) and call.args:
        yield from _words(call.args[0])
    for keyword in call.keywords:
        if keyword.arg == "reason":
            yield from _words(keyword.value)


def _words(expression: ast.expr) -> Iterator[str]:
    """The CamelCase words that an expression may come to: constants, and those of a choice."""
    match expression:
        case ast.Constant(value=str(text)) if re.fullmatch(r"[A-Z]\w+", text):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from _words(one)
            yield from _words(other)
        case ast.BoolOp(values=several):
            for one in several:
                yield from _words(one)


def test_the_table_of_exit_codes_names_every_one() -> None:
    table = [cells[0] for cells in rows(PAGE, "## Exit codes of the recorder")[1:]]
    named = {int(number) for cell in table for number in re.findall(r"\d+", cell)}

    assert {code.value for code in ExitCode} <= named


def test_the_words_for_the_end_of_a_part_are_explained() -> None:
    section = PAGE.read_text().split("## Why a part ended")[1].split("\n## ")[0]

    assert [reason.value for reason in EndReason if f"`{reason.value}`" not in section] == []


def test_every_metric_on_the_page_exists_and_every_metric_of_the_operator_is_on_it() -> None:
    operator = _metric_names(Metrics().render().decode())
    recorder = _metric_names(render(RecorderStatus(egress_id="EG_x"))[0].decode())
    named = {code for cells in rows(PAGE, "## Metrics") for code in codes(cells[0])}

    assert named <= operator | recorder
    assert operator <= named


def _metric_names(exposition: str) -> set[str]:
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(exposition)
        if not family.name.endswith("_created")
    }
