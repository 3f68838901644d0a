"""The list of reasons is the code's: no condition has a reason that is not in it, and none is listed that none has."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import egress_operator
from egress_operator.reasons import REASONS

pytestmark = pytest.mark.unit

PACKAGE = Path(egress_operator.__file__).parent
MAKERS = {"Reason", "ConnectionProblem"}
TABLES = {"_OF_EVENT", "_REASONS"}
OF_ENUMS = {"Complete", "LimitReached", "Aborted"}
"""Phases that a recorder's own record gives as the reason."""
NOT_OF_CONDITIONS = {"NodeUnreachable", "JobGone", "PodGone", "Superseded", "Ended"}
"""Words on how a part ended: they stand in parts[].endReason and in messages."""


def words(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an expression can come to."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from words(node.body)
        yield from words(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from words(value)


class Collector(ast.NodeVisitor):
    """Gathers what stands where a condition's reason stands."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in MAKERS and node.args:
            self.found.update(words(node.args[0]))
        if name in {"fail", "RoomAnswer"}:
            self.found.update(
                word for one in node.keywords if one.arg == "reason" for word in words(one.value)
            )
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if getattr(node.target, "id", "") in TABLES and isinstance(node.value, ast.Dict):
            self.found.update(word for value in node.value.values for word in words(value))
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name == "_of_scheduling":
            returns = [one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value]
            self.found.update(word for value in returns for word in words(value))
        self.generic_visit(node)

    def visit_Tuple(self, node: ast.Tuple) -> None:
        # (status, reason, message) of a condition
        if len(node.elts) == 3 and set(words(node.elts[0])) & {"True", "False"}:
            self.found.update(set(words(node.elts[1])) - {"False"})
        self.generic_visit(node)


def used() -> set[str]:
    collector = Collector()
    for path in PACKAGE.glob("*.py"):
        collector.visit(ast.parse(path.read_text()))
    return {word for word in collector.found if word} - NOT_OF_CONDITIONS


def test_every_reason_of_the_code_is_listed() -> None:
    assert used() - REASONS.keys() == set()


def test_every_listed_reason_is_one_of_the_code() -> None:
    assert REASONS.keys() - used() - OF_ENUMS - {"Failed"} == set()


def test_every_reason_has_the_form_that_kubernetes_asks_for_and_a_meaning() -> None:
    for reason, meaning in REASONS.items():
        assert reason.isalnum()
        assert reason[0].isupper()
        assert meaning
