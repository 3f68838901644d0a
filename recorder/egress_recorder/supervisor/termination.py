"""Owns the last word: the result as the container's termination message."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from egress_recorder.contract import CONTRACT_VERSION, EndReason, Phase, RecorderResult
from egress_recorder.errors import RecorderError
from egress_recorder.redact import redact
from egress_recorder.supervisor import verdict as verdicts

logger = logging.getLogger(__name__)

UNKNOWN_EGRESS = "EG_unknown"
"""Stands in a result whose configuration could not be read."""


def write_termination_message(path: Path | None, result: RecorderResult) -> bool:
    """Write the result; return whether all of it did fit. Written in place: a mounted file cannot be renamed over.

    Called once, when everything else is done: a failure is logged, the exit code still tells the verdict.
    """
    message = result.to_termination_message()
    if path is not None:
        try:
            path.write_bytes(message)
        except OSError as error:
            logger.warning(
                "the termination message was not written",
                extra={"path": str(path), "error": error.strerror or type(error).__name__},
            )
    return message == result.to_json().encode()


def failure_result(
    error: Exception, *, egress_id: str = UNKNOWN_EGRESS, contract_version: int = CONTRACT_VERSION
) -> RecorderResult:
    """Return the result for a recorder that failed outside its loop; an unexpected error names only its type.

    It holds only what every version knows, so it may be stamped with the version of whoever asked, also of one
    whose configuration cannot be read: the sentence has to arrive.
    """
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    verdict = verdicts.of_error(
        error
        if isinstance(error, RecorderError)
        else RecorderError(f"internal error ({type(error).__name__}): see the recorder's log")
    )
    return RecorderResult(
        contract_version=contract_version,
        egress_id=egress_id,
        sequence=1,
        phase=Phase.FAILED,
        ended_at=datetime.now(UTC),
        error=redact(verdict.error),
        error_code=int(verdict.error_code),
        details=f"End reason: {EndReason.FAILURE.value}",
        exit_code=int(verdict.exit_code),
    )
