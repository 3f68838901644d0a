"""Owns the command line: `python -m devstack.conformance` runs all cases, prints the table and writes the report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from devstack.conformance.cases import all_cases
from devstack.conformance.runner import Suite


def main() -> None:
    """Run what the command line asks for; exit code 1 when a case does not pass."""
    parser = argparse.ArgumentParser(prog="devstack.conformance", description=__doc__)
    parser.add_argument("--case", nargs="+", action="extend", default=[], metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print the cases and what they prove")
    parser.add_argument("--short", action="store_true", help="only the cases that `make test` runs")
    parser.add_argument("--play", action="store_true", help="play every file to its end in headless Chromium")
    parser.add_argument("--jobs", type=int, default=1, help="cases at once")
    parser.add_argument("--output", type=Path, default=Path("dist/conformance"))
    options = parser.parse_args()
    cases = all_cases()
    if options.list:
        for case in cases.values():
            print(f"{case.name}: {case.proves}")
        return
    if unknown := [name for name in options.case if name not in cases]:
        sys.exit(f"unknown case {', '.join(unknown)}: see --list")
    chosen = [
        case
        for case in cases.values()
        if (not options.case or case.name in options.case) and (not options.short or case.short)
    ]
    with Suite(options.output / "runs") as suite:
        outcomes = suite.run(chosen, jobs=options.jobs)
    sys.exit(0 if all(outcome.passed or outcome.skipped for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
