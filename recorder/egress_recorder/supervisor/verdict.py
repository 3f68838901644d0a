"""Owns how a recorder ends: phase, exit code and words, from what the capture process and the uploads said. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from egress_recorder.contract import EndReason, ErrorCode, ExitCode, Phase
from egress_recorder.errors import RecorderError
from egress_recorder.ipc import Ended

LIMIT_MESSAGE = "Session limit reached"
ABORT_MESSAGE = "Stop called before pipeline could start"
"""LiveKit's texts (E:pkg/errors/errors.go); its second overwriting of the abort text is a bug and not copied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The end of this recorder."""

    phase: Phase
    exit_code: ExitCode
    reason: EndReason
    error: str = ""
    error_code: int = 0

    @property
    def details(self) -> str:
        """LiveKit's `details`."""
        return f"End reason: {self.reason.value}"


def of_ended(ended: Ended, *, stop_requested: bool, earlier_media: bool) -> Verdict:
    """Return the verdict for a capture that ended in good order.

    `earlier_media`: another part has media, so a part without any is no aborted recording. A stop request that
    arrived while an interruption was under way makes the end final: nobody wants a next part.
    """
    verdict = Verdict(
        phase=ended.phase,
        exit_code=ended.exit_code,
        reason=ended.reason,
        error=ended.error,
        error_code=ended.error_code,
    )
    if ended.phase is Phase.INTERRUPTED and stop_requested:
        return stopped(has_media=bool(ended.files) or earlier_media)
    if ended.phase is Phase.ABORTED and earlier_media:
        return Verdict(phase=Phase.COMPLETE, exit_code=ExitCode.FINISHED, reason=ended.reason)
    if ended.phase is Phase.ABORTED and not verdict.error:
        return replace(verdict, error=ABORT_MESSAGE, error_code=ErrorCode.FAILED_PRECONDITION)
    if ended.phase is Phase.LIMIT_REACHED and not verdict.error:
        return replace(verdict, error=LIMIT_MESSAGE, error_code=ErrorCode.LIMIT_REACHED)
    return verdict


def stopped(*, has_media: bool) -> Verdict:
    """Return the verdict for a stop request that no capture process answered."""
    if has_media:
        return Verdict(phase=Phase.COMPLETE, exit_code=ExitCode.FINISHED, reason=EndReason.STOP_REQUESTED)
    return Verdict(
        phase=Phase.ABORTED,
        exit_code=ExitCode.FINISHED,
        reason=EndReason.STOP_REQUESTED,
        error=ABORT_MESSAGE,
        error_code=ErrorCode.FAILED_PRECONDITION,
    )


def interrupted() -> Verdict:
    """Return the verdict for a SIGTERM that no capture process answered: a next part is to follow."""
    return Verdict(phase=Phase.INTERRUPTED, exit_code=ExitCode.INTERRUPTED, reason=EndReason.INTERRUPTED)


def crashed_too_often(attempts: int, returncode: int) -> Verdict:
    """Return the verdict for a capture process that crashed until the budget was spent."""
    how = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
    return Verdict(
        phase=Phase.FAILED,
        exit_code=ExitCode.SOFTWARE,
        reason=EndReason.FAILURE,
        error=f"the capture process crashed {attempts} times, the last time with {how}: see the recorder's log",
        error_code=ErrorCode.INTERNAL,
    )


def of_error(error: RecorderError) -> Verdict:
    """Return the verdict for a failure of the supervisor's own: configuration, destination."""
    return Verdict(
        phase=Phase.FAILED,
        exit_code=error.exit_code,
        reason=EndReason.FAILURE,
        error=str(error),
        error_code=error.error_code,
    )


def with_upload_failures(
    verdict: Verdict, failures: Sequence[RecorderError], *, lost: Sequence[int] = ()
) -> Verdict:
    """Return the verdict when files could not be uploaded: never Complete. A final failure outweighs a passing one.

    `lost`: parts of which no storage has a file, and whose last copy goes with this process.
    """
    if not failures:
        return verdict
    worst = next((error for error in failures if error.exit_code.is_final_failure), failures[0])
    return replace(of_error(worst), error=f"upload failed: {worst}{_fate(lost)}")


def _fate(lost: Sequence[int]) -> str:
    if not lost:
        return ""
    parts = ", ".join(str(number) for number in lost)
    return f"; no storage has part {parts}, and the recorder had to go: its file is lost with the pod's scratch volume"


def with_cut_files(verdict: Verdict, cut: Sequence[str]) -> Verdict:
    """Return the verdict when files could not be written to their end while others could: never Complete.

    Only where the recording is over: an interrupted one goes on in a next part, with all of its outputs.
    """
    if not cut or verdict.exit_code is not ExitCode.FINISHED:
        return verdict
    return Verdict(
        phase=Phase.FAILED,
        exit_code=ExitCode.DATA,
        reason=EndReason.FAILURE,
        error=f"{cut[0]}; what was written before is kept, the other files are complete",
        error_code=ErrorCode.INTERNAL,
    )
