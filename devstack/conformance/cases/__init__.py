"""The registry: every module of this package has `CASES`, a tuple of `Case`; names are unique and stay."""

from __future__ import annotations

import importlib
import pkgutil

from devstack.conformance.case import Case


def all_cases() -> dict[str, Case]:
    """Return all cases by name, in the order of modules and of their tuples. Raises ValueError for a name used twice."""
    found: dict[str, Case] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        for case in importlib.import_module(f"{__name__}.{module.name}").CASES:
            if case.name in found:
                raise ValueError(f"case {case.name} is registered twice")
            found[case.name] = case
    return found
