"""Owns `python -m devstack.e2e [--up | --down | --images] [pytest arguments]`: by default cluster up, then the tests.

Tests marked `beside` run two at a time, then all others one after the other. The cluster stays for the next run; `--down` removes it. Ctrl-C leaves the machine as it was found: what this run
started is taken down again, a cluster that was there before stays.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from devstack import build
from devstack.e2e import cluster, deploy, images, machine
from devstack.e2e.shell import E2EError
from devstack.operatorprocess import REPOSITORY


def main() -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m devstack.e2e", description=__doc__)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--up", action="store_true", help="bring cluster, images and operator up, run no tests")
    only.add_argument(
        "--down", action="store_true", help="delete the cluster, stop a dockerd that was started"
    )
    only.add_argument(
        "--images", action="store_true", help="only build the operator's and the recorder's image"
    )
    arguments, rest = parser.parse_known_args()
    try:
        if arguments.down:
            cluster.down()
        elif arguments.images:
            machine.ensure_docker()
            images.build_product()
        else:
            return _up_and_test(None if arguments.up else rest)
    except (E2EError, build.BuildError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _up_and_test(pytest_arguments: list[str] | None) -> int:
    found = machine.works() and cluster.exists()
    try:
        deploy.up()
        return 0 if pytest_arguments is None else _test(pytest_arguments)
    except KeyboardInterrupt:
        if not found:
            print("interrupted: what this run started is taken down", file=sys.stderr)
            cluster.down()
        raise


_NOTHING_COLLECTED = 5
_PHASES = (("beside", ("-n", "2", "--dist", "loadscope")), ("not beside", ()))


def _test(arguments: list[str]) -> int:
    """Run the tests; both phases, whatever the first one says. Returns pytest's exit code."""
    codes = [_pytest([*options, *arguments, "-m", f"e2e and {which}"]) for which, options in _PHASES]
    failed = [code for code in codes if code not in {0, _NOTHING_COLLECTED}]
    return failed[0] if failed else min(codes)


def _pytest(arguments: list[str]) -> int:
    tests = [sys.executable, "-m", "pytest", "tests/e2e", *arguments]
    with subprocess.Popen(tests, cwd=REPOSITORY) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # pytest got the same Ctrl-C: it removes what its tests made, and is waited for.
            process.wait()
            raise


if __name__ == "__main__":
    sys.exit(main())
