"""What a recording costs the API server and what the operator costs: recordings by the hundred through their life.

Real etcd, kube-apiserver and Job controller; the operator under its own rights. Faked here: LiveKit's ListRooms, the
kubelet (pods' status) and the recorders' HTTP endpoint, all on loopback. The calls are the operator's own count
(`egress_operator_api_calls_total`, Events included, kopf's watches apart). Fails on any error or above the limits.

    python benchmarks/bench_operator.py [--recordings 200] [--seconds 15]
    python benchmarks/bench_operator.py --recordings 1000 --rate 20
    python benchmarks/bench_operator.py --webhooks
    python benchmarks/bench_operator.py --idle 60
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import cast

import common
import operator_idle
from operator_fakes import FakeLiveKit, FakeServers
from operator_load import NAMESPACE, Load, Meter, Mirror, percentile
from operator_node import FakeNode

from devstack.controlplane import ControlPlane
from devstack.kubeapi import KubeApi
from devstack.livekit import LiveKitServer
from devstack.operatorprocess import REPOSITORY, OperatorProcess

CALLS_LIMIT = 24.0
APPLY_TO_JOB_LIMIT_S = 2.0
"""For the slowest of all, on an otherwise idle machine."""


def rss_limit(count: int) -> float:
    """Return the MiB that so many recordings at once may cost."""
    return 100.0 if count <= 200 else 128.0


def counted(metrics: str, name: str) -> Counter[str]:
    """Return a counter of the exposition text by its labels."""
    lines = re.findall(rf"^{name}_total\{{([^}}]*)\}} ([\d.e+]+)$", metrics, re.MULTILINE)
    return Counter({labels: int(float(value)) for labels, value in lines})


def report(before: str, after: str, count: int) -> tuple[float, int]:
    """Print the calls by verb and resource. Returns calls per recording and the number of errors."""
    calls = counted(after, "egress_operator_api_calls")
    calls.subtract(counted(before, "egress_operator_api_calls"))
    for labels, number in sorted(calls.items(), key=lambda item: -item[1]):
        if number:
            print(f"  {number / count:6.2f}  {labels}")
    outcomes = counted(after, "egress_operator_reconciles")
    print(f"  reconciles: {dict(outcomes)}")
    errors = sum(number for labels, number in outcomes.items() if '"error"' in labels or '"fault"' in labels)
    return sum(calls.values()) / count, errors


@contextlib.contextmanager
def stage(directory: Path, *, webhooks: bool) -> Iterator[tuple[KubeApi, OperatorProcess, FakeServers]]:
    """The control plane, the fakes and the running operator; `webhooks`: each recording has a receiver of its events."""
    plane = ControlPlane(directory / "plane")
    # Its own 20 requests per second would be the pace of everything; here the operator's is asked for.
    manager = ("--kube-api-qps=500", "--kube-api-burst=1000", "--concurrent-job-syncs=20")
    plane.arguments["kube-controller-manager"] = manager
    plane.start()
    try:
        plane.apply_crds(REPOSITORY / "crds")
        plane.create_namespace(NAMESPACE)
        servers = FakeServers()
        servers.start()
        node = FakeNode(plane.api, servers, NAMESPACE)
        node.start()
        livekit = cast("LiveKitServer", FakeLiveKit(f"ws://127.0.0.1:{servers.livekit_port}"))
        receiver = json.dumps([{"url": f"http://127.0.0.1:{servers.livekit_port}/webhook"}])
        settings = {"EGRESS_WEBHOOKS": receiver} if webhooks else {}
        operator = OperatorProcess(plane, livekit, directory, settings=settings)
        operator.start()
        try:
            yield plane.api, operator, servers
        finally:
            operator.stop()
            node.stop()
    finally:
        plane.stop()


def measure(
    api: KubeApi, operator: OperatorProcess, *, count: int, rate: float, seconds: float
) -> tuple[list[str], dict[str, float]]:
    """Take the recordings through their life. Returns the problems and the figures."""
    before = operator.metrics()
    mirror = Mirror(api)
    mirror.start()
    load = Load(api, mirror, count=count, rate=rate)
    begun = time.monotonic()
    with Meter(operator.process.pid) as meter:
        used = meter.cpu_seconds
        load.run(seconds)
        used = meter.cpu_seconds - used
        peak = meter.peak_mib
    per_recording, errors = report(before, operator.metrics(), count)
    print(f"  {count} recordings in {time.monotonic() - begun:.0f} s, errors: {errors}")
    print(f"  operator: {1000 * used / count:.0f} ms of CPU per recording, {peak:.1f} MiB at most")
    delays = load.delays
    median, late, worst = (percentile(delays, share) for share in (0.5, 0.95, 1.0))
    print(f"  apply to Job: median {median:.2f} s, p95 {late:.2f} s, max {worst:.2f} s")
    problems = [f"{errors} reconciliations failed"] if errors else []
    if per_recording > CALLS_LIMIT:
        problems.append(f"{per_recording:.1f} API calls per recording, limit {CALLS_LIMIT:g}")
    if peak > rss_limit(count):
        problems.append(f"{peak:.1f} MiB resident, limit {rss_limit(count):g}")
    if rate and worst > APPLY_TO_JOB_LIMIT_S:
        problems.append(f"{worst:.2f} s from apply to Job at worst, limit {APPLY_TO_JOB_LIMIT_S:g}")
    figures = {"calls_per_recording": per_recording, "rss_mib": peak}
    return problems, figures | ({"apply_to_job_p95_s": late, "apply_to_job_s": worst} if rate else {})


def main() -> None:
    """Run one configuration and end with the figure line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument(
        "--rate", type=float, default=0.0, help="recordings per second; 0: as fast as possible"
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="how long all of them record at once")
    parser.add_argument("--idle", type=float, default=0.0, help="instead: look at an idle operator so long")
    parser.add_argument("--webhooks", action="store_true", help="each recording has a receiver of its events")
    options = parser.parse_args()
    common.describe_machine()
    with (
        tempfile.TemporaryDirectory(prefix="bench-operator-") as text,
        stage(Path(text), webhooks=options.webhooks) as (api, operator, servers),
    ):
        if options.idle:
            idle = operator_idle.measure(api, operator, seconds=options.idle)
            problems, figures = idle.problems(), asdict(idle)
        else:
            problems, figures = measure(
                api, operator, count=options.recordings, rate=options.rate, seconds=options.seconds
            )
        if options.webhooks:
            figures["webhooks_per_recording"] = servers.webhooks / options.recordings
            if servers.webhooks < 4 * options.recordings:
                problems.append(f"{servers.webhooks} webhooks arrived, of 4 for each recording")
        lines = operator.log.read_text().splitlines()
        faults = [line for line in lines if '"level": "error"' in line or '"level": "warning"' in line]
        if faults:
            print(f"  the operator warned {len(faults)} times, at last:", *faults[-5:], sep="\n  ")
    common.finish(problems, **figures)


if __name__ == "__main__":
    main()
