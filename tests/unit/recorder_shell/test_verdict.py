"""How a recorder ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from egress_recorder.contract import EndReason, ExitCode, Phase
from egress_recorder.errors import AuthorizationError, ConfigurationError, UnreachableError
from egress_recorder.ipc import Ended
from egress_recorder.supervisor import verdict as verdicts

pytestmark = pytest.mark.unit


def ended(**changes: Any) -> Ended:
    values = {
        "phase": Phase.COMPLETE,
        "reason": EndReason.SOURCE_CLOSED,
        "exit_code": ExitCode.FINISHED,
        "files": ("m",),
    }
    return Ended(**{**values, **changes})


def of(event: Ended, *, stop_requested: bool = False, earlier_media: bool = False) -> verdicts.Verdict:
    return verdicts.of_ended(event, stop_requested=stop_requested, earlier_media=earlier_media)


def test_a_natural_end_is_taken_as_it_is() -> None:
    verdict = of(ended())
    assert (verdict.phase, verdict.exit_code, verdict.details) == (
        Phase.COMPLETE,
        0,
        "End reason: Source closed",
    )


def test_an_abort_and_a_limit_have_livekits_words_and_codes() -> None:
    aborted = of(ended(phase=Phase.ABORTED, reason=EndReason.STOP_REQUESTED, files=()))
    assert (aborted.error, aborted.error_code) == ("Stop called before pipeline could start", 412)
    limited = of(ended(phase=Phase.LIMIT_REACHED, reason=EndReason.LIMIT_REACHED))
    assert (limited.error, limited.error_code, limited.exit_code) == ("Session limit reached", 413, 0)


def test_a_later_part_without_media_does_not_abort_the_recording() -> None:
    verdict = of(ended(phase=Phase.ABORTED, files=()), earlier_media=True)
    assert (verdict.phase, verdict.error) == (Phase.COMPLETE, "")


def test_a_stop_during_an_interruption_makes_the_end_final() -> None:
    event = ended(phase=Phase.INTERRUPTED, reason=EndReason.INTERRUPTED, exit_code=ExitCode.INTERRUPTED)
    assert of(event).exit_code == 75
    assert of(event, stop_requested=True).phase is Phase.COMPLETE
    without_media = replace(event, files=())
    assert of(without_media, stop_requested=True).phase is Phase.ABORTED


def test_a_failed_upload_is_never_complete() -> None:
    verdict = verdicts.with_upload_failures(of(ended()), [UnreachableError("no answer")])
    assert (verdict.phase, verdict.exit_code, verdict.error) == (Phase.FAILED, 69, "upload failed: no answer")


def test_a_final_failure_outweighs_one_that_may_pass() -> None:
    failures = [UnreachableError("no answer"), AuthorizationError("refused")]
    assert verdicts.with_upload_failures(of(ended()), failures).exit_code == 77


def test_an_error_of_the_supervisor_keeps_its_codes() -> None:
    verdict = verdicts.of_error(ConfigurationError("wrong"))
    assert (verdict.exit_code, verdict.error_code, verdict.details) == (78, 400, "End reason: Failure")


def test_a_file_that_was_cut_fails_a_recording_that_is_over_and_no_other() -> None:
    whole = of(ended())
    assert verdicts.with_cut_files(whole, []) is whole
    cut = verdicts.with_cut_files(whole, ["writing media.ogg failed: full"])
    assert (cut.phase, cut.exit_code, cut.error_code) == (Phase.FAILED, ExitCode.DATA, 500)
    assert cut.error.startswith("writing media.ogg failed: full; what was written before is kept")
    # A next part follows, with all outputs.
    going_on = verdicts.interrupted()
    assert verdicts.with_cut_files(going_on, ["writing media.ogg failed: full"]) is going_on
