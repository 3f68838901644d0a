"""Owns liveness and readiness: judged from the status board and the time since the last sign of progress."""

from __future__ import annotations

import time
from collections.abc import Callable

from egress_recorder.supervisor.board import StatusBoard
from egress_recorder.vocabulary import Phase

STUCK_AFTER = 30.0
"""Seconds without progress while media is said to be written. The supervisor itself kills a stalled capture
process after 20 s, so this is reached only when the supervisor does not work."""


class Health:
    """Remembers when the recorded duration last changed; asked by the probes, which come every few seconds."""

    def __init__(self, board: StatusBoard, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._board = board
        self._clock = clock
        self._duration = -1.0
        self._moved_at = clock()

    def why_not_alive(self) -> str:
        """Return what is wrong, "" when nothing is."""
        status = self._board.status
        now = self._clock()
        if not status.recording or status.progress.duration != self._duration:
            self._duration = status.progress.duration
            self._moved_at = now
        stuck = now - self._moved_at
        return f"recording makes no progress for {stuck:.0f} s" if stuck > STUCK_AFTER else ""

    def why_not_ready(self) -> str:
        """Return why not: no media yet, ending, or stuck. Mute, unpublish and a restart of the capture change nothing."""
        status = self._board.status
        if status.phase is Phase.STARTING:
            return "no media yet"
        if status.phase is not Phase.ACTIVE:
            return "ending"
        return self.why_not_alive()
