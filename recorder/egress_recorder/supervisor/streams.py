"""Owns what is known of a recording's streams over all of its parts: which are wanted, what became of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from egress_recorder.contract import StreamResult
from egress_recorder.ipc_streams import StreamReport, StreamTarget

LIMIT = 50
"""Results that are kept: the newest."""


class StreamLedger:
    """Between two parts a stream stays active; what failed is not begun again by a later part (LiveKit: never)."""

    def __init__(self, prior: Iterable[StreamResult] = ()) -> None:
        self._results = {result.key: result for result in prior}
        self._before = dict(self._results)
        """As the parts before the running one left them."""
        self._targets: tuple[StreamTarget, ...] = ()

    def want(self, targets: Sequence[StreamTarget]) -> None:
        """Take the list of streams that the user wants."""
        self._targets = tuple(targets)

    def begin_part(self) -> tuple[StreamTarget, ...]:
        """Return the streams of a part that begins."""
        self._before = dict(self._results)
        return self.wanted

    @property
    def wanted(self) -> tuple[StreamTarget, ...]:
        """The streams that are to run: of the wanted ones those that have not failed in an earlier part."""
        before = self._before
        failed = {key for key, result in before.items() if result.status == "FAILED"}
        return tuple(
            replace(target, resumed=target.key in before and before[target.key].started_at is not None)
            for target in self._targets
            if target.key not in failed
        )

    def all_failed(self) -> str:
        """Return the error of the last stream when all that are wanted have failed; "" while one is left, or none is wanted."""
        found = [self._results.get(target.key) for target in self._targets]
        failed = [one for one in found if one is not None and one.status == "FAILED"]
        if not failed or len(failed) < len(found):
            return ""
        last = max(failed, key=lambda one: one.ended_at.timestamp() if one.ended_at else 0.0)
        return ": ".join(filter(None, (last.url, last.error)))

    def reported(self, reports: Iterable[StreamReport]) -> None:
        """Take what the running part says."""
        wanted = {target.key for target in self._targets}
        for report in reports:
            before = self._before.get(report.key)
            # A part finishes its streams when it ends; whether that was their end, the next part or the verdict says.
            goes_on = report.status == "FINISHED" and report.key in wanted
            started_at = (before and before.started_at) or report.started_at
            ended_at = None if goes_on else report.ended_at
            self._results.pop(report.key, None)
            self._results[report.key] = StreamResult(
                key=report.key,
                id=report.id,
                output=report.output,
                url=report.url,
                status="ACTIVE" if goes_on else report.status,
                started_at=started_at,
                ended_at=ended_at,
                duration=_seconds(started_at, ended_at),
                error=report.error,
                retries=report.retries + (before.retries if before else 0),
                last_retry_at=report.last_retry_at or (before and before.last_retry_at),
                dropped=report.dropped + (before.dropped if before else 0),
            )

    def conclude(self, at: datetime) -> None:
        """The recording is over: what still ran has finished."""
        for key, result in self._results.items():
            if result.status == "ACTIVE":
                change = {
                    "status": "FINISHED",
                    "ended_at": at,
                    "duration": _seconds(result.started_at, at),
                }
                self._results[key] = result.model_copy(update=change)

    @property
    def results(self) -> tuple[StreamResult, ...]:
        """What is told of all streams."""
        return tuple(self._results.values())[-LIMIT:]


def _seconds(begin: datetime | None, end: datetime | None) -> float:
    return max(0.0, (end - begin).total_seconds()) if begin and end else 0.0
