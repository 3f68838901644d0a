"""What a recording costs the API server and what the operator costs in memory: 200 recordings through their life.

Real etcd, kube-apiserver and Job controller; the operator under its own rights. Faked here: LiveKit's ListRooms, the
kubelet (pods' status) and the recorders' HTTP endpoint, all three on loopback. The calls are the operator's own count
(`egress_operator_api_calls_total`, Events included, kopf's watches apart). Fails on any error or above the limits.

    python benchmarks/bench_operator.py [--recordings 200] [--seconds 15]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import common  # noqa: F401 - puts the repository on the path, so that devstack is found
import psutil
from aiohttp import web
from livekit import api as livekit_api

from devstack.controlplane import ControlPlane
from devstack.kubeapi import KubeApi
from devstack.livekit import LiveKitServer
from devstack.operatorprocess import REPOSITORY, OperatorProcess
from egress_operator import names
from egress_recorder.contract import (
    CONTROL_PORT,
    DesiredState,
    EndReason,
    FileResult,
    Part,
    Phase,
    Progress,
    RecorderResult,
)

CALLS_LIMIT = 24.0
RSS_LIMIT_MIB = 100.0
NAMESPACE = "bench"
POD_IP = "127.78.0.1"
"""All faked pods share one address of loopback; the bearer token says which recorder is meant."""


@dataclass
class FakeLiveKit:
    """What `OperatorProcess` needs of a LiveKit server."""

    url: str
    api_key: str = "devkey"
    api_secret: str = "0123456789abcdef0123456789abcdef"


@dataclass
class Recorder:
    """One faked pod."""

    egress_id: str
    filename: str
    created: float = field(default_factory=time.monotonic)
    running_at: float = 0.0
    ready_at: float = 0.0
    started: datetime | None = None
    ended: bool = False
    wish: DesiredState = field(default_factory=DesiredState)

    def word(self, phase: Phase) -> RecorderResult:
        """Return what the recorder says of itself."""
        seconds = time.monotonic() - self.ready_at if self.ready_at else 0.0
        part = Part(
            part=1, filename=self.filename, started_at=self.started, duration=seconds, size=int(seconds * 4e5)
        )
        done = phase.is_terminal
        ended = part.model_copy(update={"location": f"s3://bench/{self.filename}", "end_reason": "Stopped"})
        return RecorderResult(
            egress_id=self.egress_id,
            phase=phase,
            room_id="RM_bench",
            in_room=bool(self.running_at),
            recording=phase is Phase.ACTIVE,
            started_at=self.started,
            desired_generation=self.wish.generation,
            progress=Progress(duration=seconds, bytes_written=int(seconds * 4e5), frames=int(seconds * 30)),
            parts=(ended if done else part,) if self.ready_at else (),
            file_results=(FileResult(filename=self.filename, location=ended.location, duration=seconds),)
            if done
            else (),
            details=f"End reason: {EndReason.STOP_REQUESTED.value}" if done else "",
        )


class FakeNode:
    """Plays kubelet: every pod of the namespace runs, gets ready, and ends when its recorder was told to stop."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._recorders: dict[str, Recorder] = {}
        self.by_token: dict[str, Recorder] = {}
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="kubelet")
        self._thread = threading.Thread(target=self._run, name="node", daemon=True)

    def start(self) -> None:
        """Begin to look for pods."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Raises nothing."""
        self._stop.set()
        self._thread.join(timeout=10)
        self._pool.shutdown()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            list(self._pool.map(self._move_on, self._api.list("pods", NAMESPACE)))

    def _move_on(self, pod: dict[str, Any]) -> None:
        uid, now = pod["metadata"]["uid"], time.monotonic()
        recorder = self._recorders.get(uid)
        if recorder is None:
            recorder = self._recorders[uid] = self._admit(pod)
        if recorder.ended:
            return
        if not recorder.running_at:
            recorder.running_at = now
            self._patch(pod, {"running": {"startedAt": _now()}}, ready=False, phase="Running")
        elif not recorder.ready_at and now - recorder.running_at > 2.0:
            recorder.ready_at, recorder.started = now, datetime.now(UTC)
            self._patch(pod, {"running": {"startedAt": _now()}}, ready=True, phase="Running")
        elif recorder.wish.desired_state == "Stopped":
            recorder.ended = True
            message = recorder.word(Phase.COMPLETE).to_termination_message().decode()
            ended = {"exitCode": 0, "reason": "Completed", "finishedAt": _now(), "message": message}
            self._patch(pod, {"terminated": ended}, ready=False, phase="Succeeded")

    def _admit(self, pod: dict[str, Any]) -> Recorder:
        uid = pod["metadata"]["labels"][names.LABEL_UID]
        name = pod["metadata"]["annotations"][names.ANNOTATION_NAME]
        secret = self._api.get("secrets", NAMESPACE, names.base_name(name, uid))
        recorder = Recorder(names.egress_id(uid), f"{name}.mp4")
        self.by_token[base64.b64decode(secret["data"]["control-token"]).decode()] = recorder
        return recorder

    def _patch(self, pod: dict[str, Any], state: dict[str, Any], *, ready: bool, phase: str) -> None:
        flag = "True" if ready else "False"
        status = {
            "phase": phase,
            "podIP": POD_IP,
            "podIPs": [{"ip": POD_IP}],
            "conditions": [{"type": kind, "status": flag} for kind in ("Ready", "ContainersReady")],
            "containerStatuses": [
                {
                    "name": "recorder",
                    "image": "x",
                    "imageID": "x",
                    "ready": ready,
                    "restartCount": 0,
                    "state": state,
                }
            ],
        }
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}/status"
        self._api.request("PATCH", path, {"status": status}, content_type="application/merge-patch+json")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class FakeServers:
    """LiveKit's ListRooms and the recorders' endpoint, in one thread of their own."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)
        self.livekit_port = 0

    def start(self) -> None:
        """Listen on loopback."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    async def _listen(self) -> None:
        livekit, recorders = web.Application(), web.Application()
        livekit.router.add_post("/twirp/livekit.RoomService/ListRooms", self._list_rooms)
        recorders.router.add_get("/v1/status", self._status)
        recorders.router.add_put("/v1/desired-state", self._desired_state)
        recorders.router.add_post("/v1/ack", self._acknowledge)
        for application, host, port in ((livekit, "127.0.0.1", 0), (recorders, POD_IP, CONTROL_PORT)):
            runner = web.AppRunner(application, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, host, port).start()
            self.livekit_port = self.livekit_port or runner.addresses[0][1]

    async def _list_rooms(self, request: web.Request) -> web.Response:
        asked = livekit_api.ListRoomsRequest()
        asked.ParseFromString(await request.read())
        reply = livekit_api.ListRoomsResponse()
        for name in asked.names:
            reply.rooms.add(name=name, sid="RM_bench")
        return web.Response(body=reply.SerializeToString(), content_type="application/protobuf")

    def _recorder(self, request: web.Request) -> Recorder:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self._node.by_token:
            raise web.HTTPUnauthorized
        return self._node.by_token[token]

    async def _status(self, request: web.Request) -> web.Response:
        recorder = self._recorder(request)
        phase = Phase.ACTIVE if recorder.ready_at else Phase.STARTING
        return web.Response(text=recorder.word(phase).to_json(), content_type="application/json")

    async def _desired_state(self, request: web.Request) -> web.Response:
        self._recorder(request).wish = DesiredState.parse(await request.read())
        return web.Response(text="{}")

    async def _acknowledge(self, request: web.Request) -> web.Response:
        self._recorder(request)
        return web.Response(text="{}")


class Bench:
    """The run: create, let record, stop, wait for the end."""

    def __init__(self, api: KubeApi, operator: OperatorProcess, count: int) -> None:
        self._api, self._operator, self._count = api, operator, count
        self._path = f"/apis/{names.API_VERSION}/namespaces/{NAMESPACE}/participantegresses"
        self.peak_mib = 0.0

    def run(self, seconds: float) -> None:
        """Take all recordings through their life. Raises RuntimeError when one does not arrive."""
        names_ = [f"r{number:04}" for number in range(self._count)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._create, names_))
            self._wait("Active", 180)
            self._sleep(seconds)
            list(pool.map(self._stop, names_))
            self._wait("Complete", 180)
        self._wait_until_tidy(60)

    def _create(self, name: str) -> None:
        s3 = {"bucket": "bench", "region": "eu-central-1"}
        spec = {
            "roomName": f"room-{name}",
            "identity": "alice",
            "fileOutputs": [{"filepath": name, "s3": s3}],
        }
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.PARTICIPANT_KIND,
            "metadata": {"name": name},
            "spec": spec,
        }
        self._api.request("POST", self._path, body)

    def _stop(self, name: str) -> None:
        patch = {"spec": {"desiredState": "Stopped"}}
        self._api.request("PATCH", f"{self._path}/{name}", patch, content_type="application/merge-patch+json")

    def _wait(self, phase: str, seconds: float) -> None:
        deadline, shown = time.monotonic() + seconds, 0.0
        while time.monotonic() < deadline:
            phases = Counter(item.get("status", {}).get("phase", "none") for item in self._items())
            if phases[phase] == self._count:
                return
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                print(f"  {dict(phases)}", flush=True)
            self._sleep(0.5)
        raise RuntimeError(f"not all recordings became {phase} within {seconds} s: {dict(phases)}")

    def _wait_until_tidy(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while any(item["metadata"].get("finalizers") for item in self._items()):
            if time.monotonic() > deadline:
                raise RuntimeError("finalizers are left")
            self._sleep(0.5)

    def _items(self) -> list[dict[str, Any]]:
        return list(self._api.request("GET", self._path)["items"])

    def _sleep(self, seconds: float) -> None:
        """Sleep and measure."""
        process = psutil.Process(self._operator.process.pid)
        until = time.monotonic() + seconds
        while True:
            self.peak_mib = max(self.peak_mib, process.memory_info().rss / 2**20)
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(0.5, left))


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


def main() -> int:
    """Run the benchmark. Returns an exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each records")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-operator-") as text:
        directory = Path(text)
        plane = ControlPlane(directory / "plane")
        plane.start()
        try:
            plane.apply_crds(REPOSITORY / "crds")
            plane.create_namespace(NAMESPACE)
            node = FakeNode(plane.api)
            servers = FakeServers(node)
            servers.start()
            node.start()
            livekit = cast("LiveKitServer", FakeLiveKit(f"ws://127.0.0.1:{servers.livekit_port}"))
            operator = OperatorProcess(plane, livekit, directory)
            operator.start()
            try:
                return _measure(plane.api, operator, options.recordings, options.seconds)
            finally:
                operator.stop()
                node.stop()
        finally:
            plane.stop()


def _measure(api: KubeApi, operator: OperatorProcess, count: int, seconds: float) -> int:
    before = operator.metrics()
    bench = Bench(api, operator, count)
    begun = time.monotonic()
    bench.run(seconds)
    per_recording, errors = report(before, operator.metrics(), count)
    print(f"  {count} recordings in {time.monotonic() - begun:.0f} s, errors: {errors}")
    good = per_recording <= CALLS_LIMIT and bench.peak_mib <= RSS_LIMIT_MIB and errors == 0
    if not good:
        print(f"FAILED: limits are {CALLS_LIMIT} calls, {RSS_LIMIT_MIB} MiB, no errors", file=sys.stderr)
        print(operator.process.log_tail(20), file=sys.stderr)
    print(f"figure: calls_per_recording={per_recording:.1f} rss_mib={bench.peak_mib:.0f}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
