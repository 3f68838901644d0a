"""Owns the entry point `egress-recorder` and `python -m egress_recorder`."""

from __future__ import annotations

import sys

from egress_recorder.cli import main as command_line


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
