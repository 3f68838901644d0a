"""Owns the load of the operator's benchmark: recordings come, record and are stopped; what is seen of them is timed."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self

import psutil

from devstack.kubeapi import ApiError, ApiUnavailableError, KubeApi
from devstack.process import wait_for
from egress_operator import names

NAMESPACE = "bench"
PLURAL = names.PLURALS[names.PARTICIPANT_KIND]
_PATH = f"/apis/{names.API_VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
_CREATORS = 8


class Mirror:
    """What two watches show: phases and finalizers of the recordings, and when the Job of each appeared."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self.phases: dict[str, str] = {}
        self.held: set[str] = set()
        self.jobs: dict[str, float] = {}
        """Monotonic seconds."""

    def start(self) -> None:
        """Begin to watch. The threads end with the API server."""
        for plural, path, take in (
            (PLURAL, _PATH, self._take_recording),
            ("jobs", "/apis/batch/v1/jobs", self._take_job),
        ):
            version = wait_for(f"a list of {plural}", partial(self._version, path))
            follow = partial(self._follow, plural, version, take)
            threading.Thread(target=follow, name=f"mirror-{plural}", daemon=True).start()

    def _version(self, path: str) -> str | None:
        try:
            return str(self._api.request("GET", path)["metadata"]["resourceVersion"])
        except ApiError as error:
            if error.status != 429:
                raise
            return None  # the store of a new kind is being made

    def _follow(self, plural: str, version: str, take: Callable[[str, dict[str, Any]], None]) -> None:
        """Watch until the API server has gone; it ends a watch now and then, also when the kind's schema settles."""
        try:
            while True:
                for kind, body in self._api.watch(plural, version, timeout=3600):
                    if kind == "ERROR":
                        raise RuntimeError(f"the watch of {plural} failed: {body.get('message')}")
                    version = body["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        take(kind, body)
        except ApiUnavailableError:
            return

    def _take_recording(self, _: str, body: dict[str, Any]) -> None:
        name = body["metadata"]["name"]
        self.phases[name] = (body.get("status") or {}).get("phase", "none")
        (self.held.add if body["metadata"].get("finalizers") else self.held.discard)(name)

    def _take_job(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "ADDED":
            self.jobs.setdefault(body["metadata"]["annotations"][names.ANNOTATION_NAME], time.monotonic())


class Meter:
    """The operator's memory and CPU, sampled by a thread four times a second."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="meter", daemon=True)
        self.peak_mib = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def rss_mib(self) -> float:
        """Resident memory now."""
        return float(self._process.memory_info().rss / 2**20)

    @property
    def cpu_seconds(self) -> float:
        """CPU used since the process started, user and system."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _sample(self) -> None:
        while not self._stop.wait(0.25):
            try:
                self.peak_mib = max(self.peak_mib, self.rss_mib)
            except psutil.NoSuchProcess:
                return


class Load:
    """All recordings through their life. `delays` holds the seconds from each `apply` to its Job."""

    def __init__(self, api: KubeApi, mirror: Mirror, *, count: int, rate: float) -> None:
        """``rate`` is recordings per second, created and later stopped; 0: as fast as the API server takes them."""
        self._api, self._mirror, self._rate = api, mirror, rate
        self._names = [f"r{number:04}" for number in range(count)]
        self._applied: dict[str, float] = {}

    def run(self, seconds: float) -> None:
        """Create all, let them record for so long, stop all, wait. Raises RuntimeError when one does not arrive."""
        self._paced(self._create)
        self._until("Active")
        time.sleep(seconds)
        self._paced(self._stop)
        self._until("Complete")
        self._wait("finalizers are left", lambda: not self._mirror.held, 60)

    @property
    def delays(self) -> list[float]:
        """Seconds from `apply` to the Job, sorted."""
        return sorted(at - self._applied[name] for name, at in self._mirror.jobs.items())

    def _paced(self, do: Callable[[str], None]) -> None:
        begun = time.monotonic()
        with ThreadPoolExecutor(_CREATORS, thread_name_prefix="load") as pool:
            futures = []
            for number, name in enumerate(self._names):
                if self._rate:
                    time.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
                futures.append(pool.submit(do, name))
            for future in futures:
                future.result()
        took = time.monotonic() - begun
        print(f"  {do.__name__.strip('_')}: {len(self._names)} in {took:.1f} s", flush=True)

    def _create(self, name: str) -> None:
        self._applied[name] = time.monotonic()
        create(self._api, name, room=f"room-{name}")

    def _stop(self, name: str) -> None:
        self._api.patch(PLURAL, NAMESPACE, name, {"spec": {"desiredState": "Stopped"}})

    def _until(self, phase: str) -> None:
        def arrived() -> bool:
            return self._count()[phase] == len(self._names)

        self._wait(f"not all recordings became {phase}", arrived, 180)

    def _count(self) -> Counter[str]:
        return Counter(list(self._mirror.phases.values()))

    def _wait(self, problem: str, done: Callable[[], bool], seconds: float) -> None:
        deadline, shown = time.monotonic() + seconds, time.monotonic()
        while not done():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{problem} within {seconds} s: {dict(self._count())}")
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                print(f"  {dict(self._count())}", flush=True)
            time.sleep(0.1)


def create(api: KubeApi, name: str, *, room: str) -> None:
    """Apply one recording."""
    s3 = {"bucket": "bench", "region": "eu-central-1"}
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.PARTICIPANT_KIND,
        "metadata": {"name": name},
        "spec": {
            "roomName": room,
            "identity": "alice",
            "fileOutputs": [{"filepath": name, "s3": s3}],
        },
    }
    api.request("POST", _PATH, body)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of the sorted values lies."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")
