"""Owns the life of one pod, from scheduling to the last status, in one thread; the order is the kubelet's."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence

from devstack.kubeapi import Object
from devstack.podrunner.container import ContainerProcess, ContainerStartError
from devstack.podrunner.environment import ContainerConfigError
from devstack.podrunner.host import Host, PodGoneError, RunnerStoppedError
from devstack.podrunner.launching import launch, message_file
from devstack.podrunner.podstatus import Ended
from devstack.podrunner.probes import Prober, parse_probes
from devstack.podrunner.report import PodReport, Verdict, eviction
from devstack.podrunner.scheduling import Placement
from devstack.podrunner.support import check_supported
from devstack.podrunner.volumes import MountError, PodVolumes
from devstack.podrunner.watch import Watch

_RETRY = 0.5


class _DeletedEarlyError(Exception):
    """The pod was deleted before its container was started."""


class PodWorker:
    """Runs one pod. All public methods and properties may be used from any thread."""

    def __init__(self, host: Host, pod: Object, choose: Callable[[Object], Placement]) -> None:
        meta = pod["metadata"]
        self.uid: str = meta["uid"]
        self.name = f"{meta['namespace']}/{meta['name']}"
        self.node: str = pod["spec"].get("nodeName", "")
        self.directory = host.directory / "pods" / self.uid
        self.log = host.directory / "logs" / f"{meta['namespace']}_{meta['name']}.log"
        self.process: ContainerProcess | None = None
        self._host, self._choose = host, choose
        self._spec: Object = pod["spec"]["containers"][0]
        self._report = PodReport(host, pod)
        self._volumes = PodVolumes(pod, self.directory, host.directory / "volumes" / meta["namespace"])
        self._wake = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pod-{self.name}", daemon=True)

    # -- from outside --

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def pod(self) -> Object:
        """The newest known object of the pod."""
        return self._report.pod

    @property
    def occupies(self) -> bool:
        """True while the pod takes its requests from its node."""
        return bool(self.node) and self._thread.is_alive()

    def update(self, pod: Object) -> None:
        """Take the newest object of the pod."""
        self._report.take(pod)
        self._wake.set()

    def lose(self) -> None:
        """End every process and write nothing more, as when the node is gone."""
        self._lost.set()
        if self.process is not None:
            self.process.kill()
        self._wake.set()

    def evict_by_kubelet(self, message: str) -> None:
        """End the pod as under node pressure: killed, Failed, reason Evicted, condition DisruptionTarget."""
        self._evict(eviction(message))

    def clean_up(self) -> None:
        """Remove the volumes of a pod that is gone; its log stays."""
        self._thread.join(5)
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- life --

    def _run(self) -> None:
        try:
            self._schedule()
            self._start()
            self._supervise()
        except _DeletedEarlyError:
            self._finish_unstarted()
        except (PodGoneError, RunnerStoppedError):
            if self.process is not None:
                self.process.kill()
        finally:
            if self._report.address:
                self._host.return_address(self._report.address)

    def _schedule(self) -> None:
        while not self.node:
            placement = self._place()
            if placement.node:
                message = f"Successfully assigned {self.name} to {placement.node}"
                self._report.event("Scheduled", message, warning=False)
            else:
                self._report.unschedulable(placement.message)
                self._pause()

    def _place(self) -> Placement:
        """Choose a node and bind to it; nobody else may choose meanwhile."""
        with self._host.scheduling:
            placement = self._choose(self.pod)
            if placement.node:
                self._host.bind(self.pod, placement.node)
                self.node = placement.node
            return placement

    def _start(self) -> None:
        """Bring the container to run; whatever is missing is waited for."""
        ports = [int(item["containerPort"]) for item in self._spec.get("ports", [])]
        self._report.accepted(self._host.take_address(ports))
        while True:
            try:
                check_supported(self.pod)
                mounts = self._volumes.mount(self._spec, self._lookup)
                self._pull()
                self._launch(mounts)
            except MountError as error:
                self._report.waiting("ContainerCreating", "")
                self._report.event_sometimes("FailedMount", str(error))
            except ContainerConfigError as error:
                self._report.waiting("CreateContainerConfigError", str(error))
                self._report.event_sometimes("Failed", f"Error: {error}")
            except ContainerStartError as error:
                self._end(Ended(128, "StartError", str(error)))
                return
            else:
                return
            self._pause()

    def _pull(self) -> None:
        """Play a registry: images named ``missing/…`` or tagged ``:missing`` are never found."""
        image: str = self._spec.get("image", "")
        if not (image.startswith("missing/") or image.endswith(":missing")):
            return
        failed, back_off = f'Failed to pull image "{image}": not found', f'Back-off pulling image "{image}"'
        self._report.waiting("ErrImagePull", failed)
        self._report.event("Failed", failed)
        while True:
            self._pause()
            self._report.waiting("ImagePullBackOff", back_off)
            self._report.event_sometimes("BackOff", back_off)

    def _launch(self, mounts: Sequence[str]) -> None:
        self.process = launch(
            self.pod,
            mounts,
            lookup=self._lookup,
            root=self._volumes.root,
            directory=self.directory,
            log=self.log,
            ended=self._wake.set,
        )
        if self._lost.is_set():  # meanwhile, when there was no process to kill
            self.process.kill()
        self._report.event("Started", f"Started container {self._spec['name']}", warning=False)

    def _supervise(self) -> None:
        process = self.process
        if process is None:
            return
        address = self._report.address
        prober = Prober(parse_probes(self._spec), address, changed=self._wake.set, unhealthy=self._unhealthy)
        prober.start(self.name)
        self._report.running(started=prober.started, ready=prober.ready)
        watch = Watch(self._host, process, self._volumes, self._spec)
        while process.code is None:
            self._wake.wait(watch.next_look())
            self._wake.clear()
            if self._host.unpaused.is_set() and not self._lost.is_set():
                for problem in watch.update_secrets(self.pod["metadata"]["namespace"]):
                    self._report.event_sometimes("FailedMount", problem)
                self._report.running(started=prober.started, ready=prober.ready)
            if (grace := self._grace_wanted(prober)) is not None:
                prober.terminating()
                watch.end_within(grace)
            if exceeded := watch.enforce():
                self._evict(Verdict("Evicted", exceeded))
        prober.stop()
        if not self._lost.is_set() and not self._host.stopped.is_set():
            self._end(process.result(message_file(self._spec, self._volumes.root)))

    def _grace_wanted(self, prober: Prober) -> float | None:
        """Return the grace period when the container must end, else None."""
        period: float = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        if self._report.is_deleted:
            return float(self.pod["metadata"].get("deletionGracePeriodSeconds", period))
        if prober.failed:
            self._report.event_sometimes("Killing", f"Container {self._spec['name']}: {prober.failed}")
            return period
        return None

    def _evict(self, verdict: Verdict) -> None:
        self._report.verdict = verdict
        self._report.event(verdict.reason, verdict.message)
        if self.process is not None:
            self.process.kill()

    # -- the end --

    def _end(self, ended: Ended) -> None:
        self._report.ended(ended)
        meta = self.pod["metadata"]
        newest = self._host.call(lambda: self._host.api.find("pods", meta["namespace"], meta["name"]))
        if newest is not None and newest["metadata"].get("deletionTimestamp"):
            self._host.confirm_deletion(self.pod)

    def _finish_unstarted(self) -> None:
        """A pod deleted before its container ran: the kubelet reports it as ended and lets it go."""
        if not self.node:
            return  # the API server removes unscheduled pods itself
        message = "The container could not be located when the pod was terminated"
        try:
            self._end(Ended(137, "ContainerStatusUnknown", message))
        except (PodGoneError, RunnerStoppedError):
            return

    # -- helpers --

    def _pause(self) -> None:
        """Wait a moment before trying again, unless the pod is over."""
        self._host.wait_unpaused()
        self._wake.wait(_RETRY)
        self._wake.clear()
        if self._lost.is_set():
            raise PodGoneError
        if self._report.is_deleted:
            raise _DeletedEarlyError

    def _unhealthy(self, message: str) -> None:
        self._report.event("Unhealthy", message)

    def _lookup(self, plural: str, name: str) -> Object | None:
        return self._host.lookup(self.pod["metadata"]["namespace"])(plural, name)
