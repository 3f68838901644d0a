"""Owns `python -m devstack.e2e [--up | --down | --images] [pytest arguments]`: by default cluster up, then the tests."""

from __future__ import annotations

import argparse
import subprocess
import sys

from devstack import build
from devstack.e2e import cluster, deploy, images
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
            cluster.ensure_docker()
            images.build_product()
        else:
            deploy.up()
            if not arguments.up:
                tests = [sys.executable, "-m", "pytest", "tests/e2e", "-m", "e2e", *rest]
                return subprocess.run(tests, cwd=REPOSITORY, check=False).returncode
    except (E2EError, build.BuildError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
