"""A published track without media is told once, and only when it had its time."""

from __future__ import annotations

import pytest

from egress_recorder.sources.silence import Silence

pytestmark = pytest.mark.unit


def test_a_track_that_never_delivers_is_told_once_after_its_time() -> None:
    silence = Silence(10.0)
    assert silence.overdue({"a"}, 100.0) == []
    assert silence.overdue({"a"}, 109.9) == []
    assert silence.overdue({"a"}, 110.0) == ["a"]
    assert silence.overdue({"a"}, 150.0) == []
    assert silence.all_silent


def test_a_track_that_delivered_may_be_silent_afterwards() -> None:
    silence = Silence(10.0)
    silence.overdue({"a", "b"}, 100.0)
    silence.heard("a")
    assert silence.overdue({"a", "b"}, 120.0) == ["b"]
    assert not silence.all_silent


def test_a_muted_track_has_its_time_from_the_unmute_on() -> None:
    silence = Silence(10.0)
    silence.overdue({"a"}, 100.0)
    silence.overdue(set(), 105.0)
    assert silence.overdue({"a"}, 112.0) == []
    assert silence.overdue({"a"}, 122.0) == ["a"]


def test_a_lost_connection_of_ours_gives_all_their_time_anew() -> None:
    silence = Silence(10.0)
    silence.overdue({"a"}, 100.0)
    silence.restart(109.0)
    assert silence.overdue({"a"}, 118.0) == []
    assert silence.overdue({"a"}, 119.0) == ["a"]
