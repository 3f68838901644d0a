"""Owns the process: settings in, exit code out. `egress-operator` or `python -m egress_operator`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from egress_operator import app, log, settings
from egress_operator.errors import OperatorError, SettingsError

_EXIT_CONFIGURATION = 78


def main() -> None:
    """Run the operator. Exit codes: 0 after SIGTERM, 78 for a wrong setting, 1 for anything else."""
    try:
        configuration = settings.load(os.environ)
    except SettingsError as error:
        sys.exit(_refuse(str(error)))
    log.configure(configuration.log_level)
    try:
        asyncio.run(app.run(configuration))
    except SettingsError as error:
        sys.exit(_refuse(str(error)))
    except OperatorError as error:
        logging.getLogger(__name__).error("operator cannot run", extra={"fields": {"error": str(error)}})  # noqa: TRY400 - expected: the sentence is enough
        sys.exit(1)


def _refuse(sentence: str) -> int:
    log.configure("INFO")
    logging.getLogger(__name__).error("wrong setting", extra={"fields": {"error": sentence}})
    return _EXIT_CONFIGURATION


if __name__ == "__main__":
    main()
