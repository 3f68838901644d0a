"""When a recording is over, and what its end is called."""

from __future__ import annotations

import pytest

from egress_recorder import session_end
from egress_recorder.contract import EndReason, ExitCode, Phase
from egress_recorder.errors import AuthorizationError, MediaError, UnreachableError
from egress_recorder.session_end import Ending
from egress_recorder.session_presence import Gone, NeverCame, Presence

pytestmark = pytest.mark.unit


def presence(*, wait: float | None = None, rejoin: float = 0.0, continuing: bool = False) -> Presence:
    return Presence(wait=wait, rejoin=rejoin, continuing=continuing, now=100.0)


def test_without_a_timeout_the_wait_has_no_end() -> None:
    assert presence().verdict(1e9) is None


def test_a_wait_ends_at_its_timeout() -> None:
    waiting = presence(wait=30)
    assert waiting.verdict(129.9) is None
    assert waiting.verdict(130) == NeverCame()


@pytest.mark.parametrize(("rejoin", "expected"), [(0, 30), (10, 30), (90, 90)])
def test_a_later_part_waits_at_least_half_a_minute(rejoin: float, expected: float) -> None:
    waiting = presence(wait=5, rejoin=rejoin, continuing=True)
    assert waiting.deadline() == 100 + expected


def test_a_leave_with_a_reason_ends_at_once() -> None:
    subject = presence()
    subject.arrived()
    subject.departed(150, certain=True)
    assert subject.verdict(150) == Gone(150)


def test_a_leave_without_a_reason_is_confirmed_and_ends_at_the_departure() -> None:
    subject = presence()
    subject.arrived()
    subject.departed(150, certain=False)
    assert subject.verdict(174.9) is None
    assert subject.verdict(175) == Gone(150)


def test_a_reason_that_comes_later_confirms_the_first_departure() -> None:
    subject = presence()
    subject.arrived()
    subject.departed(150, certain=False)
    subject.departed(152, certain=True)
    assert subject.verdict(152) == Gone(150)


def test_a_return_is_no_departure() -> None:
    subject = presence()
    subject.arrived()
    subject.departed(150, certain=False)
    subject.arrived()
    assert subject.left_at is None
    assert subject.verdict(1000) is None


def test_the_rejoin_timeout_keeps_the_recording_open() -> None:
    subject = presence(rejoin=60)
    subject.arrived()
    subject.departed(150, certain=True)
    assert subject.verdict(209) is None
    assert subject.verdict(210) == Gone(150)


def test_nobody_is_gone_while_we_are_disconnected_and_for_a_while_after() -> None:
    subject = presence()
    subject.arrived()
    subject.disconnected()
    subject.departed(150, certain=False)
    assert subject.verdict(500) is None
    subject.connected(500)
    assert subject.verdict(520) is None
    assert subject.verdict(525) == Gone(150)


@pytest.mark.parametrize(
    ("reason", "phase", "code"),
    [
        (EndReason.STOP_REQUESTED, Phase.COMPLETE, ExitCode.FINISHED),
        (EndReason.LIMIT_REACHED, Phase.LIMIT_REACHED, ExitCode.FINISHED),
        (EndReason.INTERRUPTED, Phase.INTERRUPTED, ExitCode.INTERRUPTED),
        (EndReason.SUPERSEDED, Phase.INTERRUPTED, ExitCode.INTERRUPTED),
        (EndReason.KILLED, Phase.INTERRUPTED, ExitCode.INTERRUPTED),
    ],
)
def test_a_stop_is_called_by_its_reason(reason: EndReason, phase: Phase, code: ExitCode) -> None:
    ending = session_end.stopped(reason)
    assert (ending.phase, ending.reason, ending.exit_code) == (phase, reason, code)


@pytest.mark.parametrize(
    ("ending", "continuing", "phase", "code"),
    [
        (session_end.stopped(EndReason.STOP_REQUESTED), False, Phase.ABORTED, 412),
        (session_end.source_closed(), False, Phase.ABORTED, 412),
        (session_end.limit_reached(), False, Phase.ABORTED, 412),
        (session_end.source_closed(), True, Phase.COMPLETE, 0),
        (session_end.stopped(EndReason.INTERRUPTED), False, Phase.INTERRUPTED, 0),
    ],
)
def test_an_end_without_media_is_aborted_unless_the_recording_has_media_or_goes_on(
    ending: Ending, continuing: bool, phase: Phase, code: int
) -> None:
    result = session_end.without_media(ending, continuing=continuing)
    assert (result.phase, result.error_code) == (phase, code)


def test_hopeless_failures_are_failed_and_others_leave_room_for_a_next_part() -> None:
    assert session_end.failed(AuthorizationError("x")).phase is Phase.FAILED
    assert session_end.failed(UnreachableError("x")).phase is Phase.INTERRUPTED
    assert session_end.failed(MediaError("x")).exit_code is ExitCode.SOFTWARE


def test_no_token_gets_into_an_error() -> None:
    assert "eyJ" not in session_end.failed(MediaError("token eyJhbGciOi.eyJzdWIi.c2ln")).error


def test_absence_names_who_where_and_the_field() -> None:
    ending = session_end.never_came("participant bob", "r", 20.0, field="joinTimeout", continuing=False)
    assert ending.error == "participant bob did not join room r within 20 s (joinTimeout)"
    ending = session_end.never_came("track TR_x", "r", 30.0, field="trackTimeout", continuing=False)
    assert ending.error == "track TR_x not found in room r within 30 s (trackTimeout)"
    later = session_end.never_came("track TR_x", "r", 30.0, field="trackTimeout", continuing=True)
    assert (later.phase, later.error) == (Phase.COMPLETE, "")
