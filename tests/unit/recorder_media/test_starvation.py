"""When sound has no packets any more."""

from __future__ import annotations

import pytest

from egress_recorder.sources.starvation import PATIENCE, Starvation

pytestmark = pytest.mark.unit
LOOK = 0.25


class Looks:
    """Looks at the count every `LOOK`; notes what changed."""

    def __init__(self) -> None:
        self.starvation = Starvation()
        self.at = 0.0
        self.received = 0
        self.changes: list[tuple[float, float | None]] = []

    def look(self, seconds: float, *, every: float | None) -> None:
        """Let packets come so often."""
        begun = self.at
        while self.at < begun + seconds:
            self.at += LOOK
            if every is not None and (self.at - begun) // every != (self.at - LOOK - begun) // every:
                self.received += 1
            if self.starvation.looked(self.at, self.received):
                self.changes.append((self.at, self.starvation.since))


def test_without_packets_it_is_told_once_since_when_and_once_that_they_are_back() -> None:
    looks = Looks()
    looks.look(2, every=0.02)
    looks.look(5, every=None)
    looks.look(2, every=0.02)
    assert looks.changes == [(2 + PATIENCE, 2.0), (7 + LOOK, None)]


def test_silence_by_dtx_with_a_loss_is_not_starved() -> None:
    looks = Looks()
    looks.look(2, every=0.02)
    looks.look(20, every=0.4)
    looks.look(10, every=0.8)
    assert looks.changes == []


def test_what_was_never_fed_is_not_starved() -> None:
    looks = Looks()
    looks.look(60, every=None)
    assert looks.changes == []
