"""Owns the decision how much the video encoder saves: how far behind it is and the time in, a rung out. Pure.

Rung 0 is what was asked for. A rung is left downwards (cheaper) when the encoder has been behind for a while and does not
catch up, upwards when it has kept pace for a while; each relapse doubles that while, so that a machine which is a
little too slow does not swing for ever.
"""

from __future__ import annotations

BEHIND = 0.4
"""Seconds of delay that say that the encoder does not keep up; one slow picture or a short stall is less."""
PATIENCE = 0.5
"""Seconds for which it must be behind before the next rung is taken."""
CATCHING_UP = 0.9
"""A delay that shrinks by this factor within `PATIENCE` is on its way out: no further rung is needed."""
HOPELESS = 2.0
"""Seconds of delay at which catching up is too slow whatever it does: the timeline gives up ticks at 5 s."""
CALM = 0.15
"""Seconds of delay below which it keeps pace."""
REST, LONGEST_REST = 10.0, 160.0
"""Seconds of keeping pace before a better rung is tried: at first, and after relapses."""
RELAPSE = 30.0
"""Seconds after a return within which falling behind again is a relapse."""


class Ladder:
    """Chooses among `rungs` rungs; starts at 0, the best one."""

    def __init__(self, rungs: int) -> None:
        self.rung = 0
        self._cheapest = rungs - 1
        self._behind_since: float | None = None
        self._behind_by = 0.0
        self._calm_since: float | None = None
        self._rest = REST
        self._returned_at: float | None = None

    def observe(self, now: float, behind: float) -> int:
        """Return the rung for the next picture; `behind` is how late the encoder is, both in seconds."""
        if behind >= BEHIND:
            self._calm_since = None
            self._fall_back(now, behind)
        else:
            self._behind_since = None
            self._calm_since = (
                None if behind >= CALM else (now if self._calm_since is None else self._calm_since)
            )
            self._recover(now)
        return self.rung

    def _fall_back(self, now: float, behind: float) -> None:
        if self._behind_since is None:
            self._behind_since, self._behind_by = now, behind
        elif now - self._behind_since >= PATIENCE:
            stuck = behind > CATCHING_UP * self._behind_by or behind >= HOPELESS
            if stuck and self.rung < self._cheapest:
                self.rung += 1
                if self._returned_at is not None:
                    self._rest = min(2 * self._rest, LONGEST_REST)
                    self._returned_at = None
            self._behind_since, self._behind_by = now, behind

    def _recover(self, now: float) -> None:
        if self._returned_at is not None and now - self._returned_at >= RELAPSE:
            # The better rung holds.
            self._returned_at, self._rest = None, REST
        if self.rung and self._calm_since is not None and now - self._calm_since >= self._rest:
            self.rung -= 1
            self._calm_since = self._returned_at = now
