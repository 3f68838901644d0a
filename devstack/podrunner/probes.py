"""Owns HTTP probes: when each is due, what its results mean (pure), and the thread that asks."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from devstack.kubeapi import Object

KINDS = ("startup", "liveness", "readiness")


@dataclass(frozen=True, slots=True)
class Probe:
    """One HTTP probe; times in seconds, defaults are Kubernetes'."""

    kind: str
    path: str
    port: int
    headers: tuple[tuple[str, str], ...] = ()
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    failure_threshold: int = 3
    success_threshold: int = 1

    def ask(self, address: str) -> str:
        """Return an empty text for success, else what the kubelet would say."""
        connection = http.client.HTTPConnection(address, self.port, timeout=self.timeout)
        try:
            connection.request("GET", self.path, headers=dict(self.headers))
            code = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f'Get "http://{address}:{self.port}{self.path}": {error}'
        finally:
            connection.close()
        return "" if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"


def parse_probes(container: Object) -> dict[str, Probe]:
    """Return the probes of a container by kind. Raises ValueError for one that is not HTTP."""
    probes = {}
    for kind in KINDS:
        spec = container.get(f"{kind}Probe")
        if spec is None:
            continue
        if "httpGet" not in spec:
            raise ValueError(f"the pod runner knows only httpGet probes; {kind}Probe has none")
        action = spec["httpGet"]
        headers = tuple((item["name"], item["value"]) for item in action.get("httpHeaders", []))
        probes[kind] = Probe(
            kind,
            action.get("path", "/"),
            _port(action["port"], container),
            headers,
            spec.get("initialDelaySeconds", 0),
            spec.get("periodSeconds", 10),
            spec.get("timeoutSeconds", 1),
            spec.get("failureThreshold", 3),
            spec.get("successThreshold", 1),
        )
    return probes


def _port(port: int | str, container: Object) -> int:
    if isinstance(port, int):
        return port
    for item in container.get("ports", []):
        if item.get("name") == port:
            return int(item["containerPort"])
    raise ValueError(f"the container has no port named {port!r}")


class Prober:
    """Asks the probes of one container from its own thread.

    `started` and `ready` are the present state, `failed` the sentence of a failed liveness or startup probe.
    ``changed`` is called after each change, ``unhealthy`` with the sentence of a failure worth an Event.
    """

    def __init__(
        self,
        probes: dict[str, Probe],
        address: str,
        *,
        changed: Callable[[], None],
        unhealthy: Callable[[str], None],
    ) -> None:
        self._probes, self._address = probes, address
        self._changed, self._unhealthy = changed, unhealthy
        self.started = "startup" not in probes
        self.ready = self.started and "readiness" not in probes
        self.failed = ""
        self._problems: dict[str, str] = {}
        self._streaks: dict[str, int] = {}
        self._stopped = threading.Event()
        self._terminating = threading.Event()

    def start(self, name: str) -> None:
        """Start asking, if there is anything to ask."""
        if self._probes:
            threading.Thread(target=self._run, name=f"probes-{name}", daemon=True).start()

    def stop(self) -> None:
        """Stop all probes."""
        self._stopped.set()

    def terminating(self) -> None:
        """Stop startup and liveness probes, as the kubelet does when it ends a pod; readiness goes on."""
        self._terminating.set()

    def _run(self) -> None:
        begin = time.monotonic()
        due = {kind: begin + probe.initial_delay for kind, probe in self._probes.items()}
        while not self._stopped.is_set():
            kinds = self.asked()
            if not kinds:
                return
            kind = min(kinds, key=lambda item: due[item])
            if self._stopped.wait(max(0.0, due[kind] - time.monotonic())):
                return
            if kind not in self.asked():  # the pod is being ended since
                continue
            due[kind] = time.monotonic() + self._probes[kind].period
            problem = self._probes[kind].ask(self._address)
            if not self._stopped.is_set():
                self.take(kind, problem)

    def asked(self) -> list[str]:
        """Return the probes that are asked now: until the startup probe succeeded, only that one."""
        if not self.started:
            return [] if self._terminating.is_set() else ["startup"]
        return [
            kind
            for kind in self._probes
            if kind == "readiness" or (kind == "liveness" and not self._terminating.is_set())
        ]

    def take(self, kind: str, problem: str) -> None:
        """Take one result of a probe (an empty text is success) and draw the conclusion."""
        probe, before = self._probes[kind], (self.started, self.ready, self.failed)
        streak = self._streaks[kind] = _streak(self._streaks.get(kind, 0), success=not problem)
        if streak >= probe.success_threshold:
            if kind == "startup":
                self.started = True
                self.ready = "readiness" not in self._probes
            elif kind == "readiness":
                self.ready = True
        elif streak <= -probe.failure_threshold:
            if kind == "readiness":
                self.ready = False
            else:
                self.failed = f"Container failed {kind} probe, will be killed"
        # One Event per new problem, not per failure: a recorder that waits for media is unready for hours.
        if problem and problem != self._problems.get(kind):
            self._unhealthy(f"{kind.capitalize()} probe failed: {problem}")
        self._problems[kind] = problem
        if (self.started, self.ready, self.failed) != before:
            self._changed()


def _streak(count: int, *, success: bool) -> int:
    """Return results in a row after one more: positive for successes, negative for failures."""
    if success:
        return max(count, 0) + 1
    return min(count, 0) - 1
