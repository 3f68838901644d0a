"""Owns the figures of an operator that has nothing to do: time to ready, memory, and CPU with and without waiting recordings."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

from operator_load import Meter, Mirror, create

from devstack.kubeapi import KubeApi
from devstack.operatorprocess import OperatorProcess

READY_LIMIT_S = 5.0
RSS_LIMIT_MIB = 100.0
CPU_LIMIT_PCT = 1.0
WAITING = 50
_STARTS = 3
_SETTLE = 10.0


@dataclass(frozen=True)
class Idle:
    """Seconds, MiB, and percent of one core."""

    ready_s: float
    rss_mib: float
    idle_cpu_pct: float
    waiting_cpu_pct: float

    def problems(self) -> list[str]:
        """Return a sentence for each limit that is not met."""
        limits = (
            (self.ready_s, READY_LIMIT_S, "s from start to ready"),
            (self.rss_mib, RSS_LIMIT_MIB, "MiB when idle"),
            (self.idle_cpu_pct, CPU_LIMIT_PCT, "% of a core when idle"),
            (self.waiting_cpu_pct, CPU_LIMIT_PCT, f"% of a core with {WAITING} waiting recordings"),
        )
        return [f"{value:.2f} {what}, limit {limit:g}" for value, limit, what in limits if value > limit]


def measure(api: KubeApi, operator: OperatorProcess, *, seconds: float) -> Idle:
    """Start the operator anew and look at it for ``seconds`` without and with recordings that wait for a room."""
    ready = []
    for _ in range(_STARTS):
        operator.stop()
        begun = time.monotonic()
        operator.start()
        ready.append(time.monotonic() - begun)
    print(f"  ready after {', '.join(f'{one:.1f}' for one in ready)} s")
    with Meter(operator.process.pid) as meter:
        empty = _share(meter, seconds)
        mirror = Mirror(api)
        mirror.start()
        for number in range(WAITING):
            create(api, f"idle{number:02}", room=f"absent-{number}")
        while sum(phase == "Pending" for phase in mirror.phases.values()) < WAITING:
            time.sleep(0.1)
        waiting = _share(meter, seconds)
    print(
        f"  idle: {meter.peak_mib:.1f} MiB; {empty:.2f} % of a core, {waiting:.2f} % with {WAITING} waiting"
    )
    return Idle(statistics.median(ready), meter.peak_mib, empty, waiting)


def _share(meter: Meter, seconds: float) -> float:
    """Return the percentage of a core that is used, after a moment to settle."""
    time.sleep(_SETTLE)
    begun, used = time.monotonic(), meter.cpu_seconds
    time.sleep(seconds)
    return 100 * (meter.cpu_seconds - used) / (time.monotonic() - begun)
