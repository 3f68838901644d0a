"""Owns the command line: `python -m devstack.conformance` runs the cases, prints the table and writes the report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack import browser
from devstack.conformance import report, report_html
from devstack.conformance.case import Case
from devstack.conformance.cases import all_cases
from devstack.conformance.runner import Suite


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="devstack.conformance", description="Prove every behaviour on decoded files."
    )
    parser.add_argument("--case", nargs="+", action="extend", default=[], metavar="NAME", help="only these")
    parser.add_argument("--list", action="store_true", help="print the cases and what they prove")
    parser.add_argument("--short", action="store_true", help="only the cases that `make test` runs")
    parser.add_argument(
        "--play",
        action=argparse.BooleanOptionalAction,
        default=browser.available(),
        help="play every file to its end in headless Chromium (where there is one)",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cases at once (1)")
    parser.add_argument(
        "--attempts",
        type=int,
        default=3,
        metavar="N",
        help="repeat a case that failed while the machine was busy, up to so many runs (3)",
    )
    parser.add_argument(
        "--runs",
        type=int,
        default=1,
        metavar="N",
        help="the whole of it so many times in a row; every run must pass (1)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("dist/conformance"), metavar="DIR", help="report and recordings"
    )
    return parser.parse_args()


def main() -> None:
    """Run what the command line asks for; exit code 1 when a case fails, 64 for a name that is none, 69 without a browser."""
    options, cases = _options(), all_cases()
    if unknown := [name for name in options.case if name not in cases]:
        print(f"--case {unknown[0]} is not the name of a case: see --list")
        sys.exit(64)
    chosen = [
        case
        for case in cases.values()
        if (not options.case or case.name in options.case) and (not options.short or case.short)
    ]
    if options.list:
        width = max(len(case.name) for case in chosen)
        for case in chosen:
            print(f"{case.name.ljust(width)}  {case.proves}")
        return
    if options.play and not browser.available():
        print("--play needs a browser: apt-get install chromium")
        sys.exit(69)
    passed = 0
    try:
        for number in range(1, options.runs + 1):
            directory = options.output if options.runs == 1 else options.output / f"run-{number}"
            passed += _run(chosen, options, directory)
    except KeyboardInterrupt:
        print("interrupted; nothing is left running")
        sys.exit(130)
    if options.runs > 1:
        print(f"figure: runs={options.runs} passed_runs={passed}", flush=True)
    sys.exit(0 if passed == options.runs else 1)


def _run(chosen: Sequence[Case], options: argparse.Namespace, directory: Path) -> bool:
    """Run the cases once, print table and figure, write the report; True when all is as it has to be."""
    with Suite(directory / "runs") as suite:
        outcomes = suite.run(chosen, jobs=options.jobs, play=options.play, attempts=options.attempts)
    table = report.text(outcomes)
    (directory / "report.txt").write_text(table + "\n")
    page = directory / "report.html"
    page.write_text(report_html.page(outcomes))
    total = report.summary(outcomes)
    problems = report.pooled_problems(total)
    for problem in problems:
        print(f"NOT MET: {problem}")
    print(f"\n{table}\nreport: {page}\n{report.figure(total)}", flush=True)
    return not total.failed and not problems


if __name__ == "__main__":
    main()
