"""Owns what watches, own writes and listings have shown: the newest body of each recording, its Jobs and pods.

Pods outlive their objects here: the terminated state of a pod is evidence that is gone from the API a moment later.
Bounded: a recording's entry goes with the recording, children without one are kept for the newest 10 000 only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from egress_operator.model import Document, JobView, PodView
from egress_operator.names import Key

_CHILDREN_LIMIT = 10_000
_PODS_LIMIT = 64


@dataclass(slots=True)
class Children:
    """Jobs by name and pods by UID of one recording. `listed`: read from the server at least once."""

    jobs: dict[str, JobView] = field(default_factory=dict)
    pods: dict[str, PodView] = field(default_factory=dict)
    listed: bool = False


class Seen:
    """The cache. Absence here proves nothing; a decision made from absence reads the server first."""

    def __init__(self) -> None:
        self._bodies: dict[Key, Document] = {}
        self._children: OrderedDict[str, Children] = OrderedDict()
        self._stale: set[Key] = set()

    def recordings(self) -> tuple[Key, ...]:
        """Return the recordings that are held."""
        return tuple(self._bodies)

    def body(self, key: Key) -> Document | None:
        """Return the newest known body."""
        return self._bodies.get(key)

    def is_unstarted(self, key: Key) -> bool:
        """Return True for a recording that has never had a recorder: each second it waits is not recorded."""
        body = self._bodies.get(key)
        return body is not None and "jobName" not in (body.get("status") or {})

    def put(self, key: Key, body: Document) -> bool:
        """Keep a body unless a newer one is known. Returns True when it is news."""
        known = self._bodies.get(key)
        if known is not None and _same_object(known, body) and _version(body) <= _version(known):
            return False
        body["metadata"].pop("managedFields", None)
        self._bodies[key] = body
        return True

    def drop(self, key: Key) -> str:
        """Forget a recording. Returns its UID, "" when it was not known."""
        self._stale.discard(key)
        body = self._bodies.pop(key, None)
        uid = body["metadata"]["uid"] if body else ""
        self._children.pop(uid, None)
        return str(uid)

    def mark_stale(self, key: Key) -> None:
        """The next observation reads everything from the server."""
        self._stale.add(key)

    def take_stale(self, key: Key) -> bool:
        """Return whether the recording was marked, and remove the mark."""
        if key in self._stale:
            self._stale.discard(key)
            return True
        return False

    def children(self, uid: str) -> Children:
        """Return the children's entry, made on first use."""
        entry = self._children.get(uid)
        if entry is None:
            entry = self._children[uid] = Children()
            while len(self._children) > _CHILDREN_LIMIT:
                self._children.popitem(last=False)
        else:
            self._children.move_to_end(uid)
        return entry

    def put_job(self, uid: str, job: JobView, *, gone: bool = False) -> bool:
        """Keep a Job's state. Returns True when it is news."""
        jobs = self.children(uid).jobs
        if gone:
            return jobs.pop(job.name, None) is not None
        before = jobs.get(job.name)
        jobs[job.name] = job
        return before != job

    def put_pod(self, uid: str, pod: PodView) -> bool:
        """Keep a pod's state; a late event never takes an end away. Returns True when it is news."""
        pods = self.children(uid).pods
        before = pods.get(pod.uid)
        after = _merge(before, pod)
        pods[pod.uid] = after
        while len(pods) > _PODS_LIMIT:
            pods.pop(next(iter(pods)))
        return before != after

    def replace_children(
        self, uid: str, *, jobs: Iterable[JobView], pods: Iterable[PodView], known: Children
    ) -> None:
        """Take over a listing. `known` was held before it began: what it lacks of that is gone."""
        entry = self.children(uid)
        listed_jobs = {job.name: job for job in jobs}
        listed_pods = {pod.uid: pod for pod in pods}
        for name in known.jobs.keys() - listed_jobs.keys():
            entry.jobs.pop(name, None)
        for pod_uid in known.pods.keys() - listed_pods.keys():
            entry.pods[pod_uid] = replace(entry.pods.get(pod_uid, known.pods[pod_uid]), gone=True)
        entry.jobs.update(listed_jobs)
        for pod in listed_pods.values():
            self.put_pod(uid, pod)
        entry.listed = True

    def snapshot(self, uid: str) -> Children:
        """Return a copy of the children's entry."""
        entry = self.children(uid)
        return Children(dict(entry.jobs), dict(entry.pods), entry.listed)


def _merge(before: PodView | None, after: PodView) -> PodView:
    if before is None:
        return after
    if before.gone and not after.gone:
        return before
    if before.exit_code is not None and after.exit_code is None:
        return replace(before, gone=before.gone or after.gone)
    # A part that was started does not become "not started" because a dying kubelet says so.
    return replace(after, started=before.started or after.started)


def _same_object(one: Document, other: Document) -> bool:
    return bool(one["metadata"]["uid"] == other["metadata"]["uid"])


def _version(body: dict[str, Any]) -> int:
    """Resource versions of one object are comparable numbers (KEP-5504); anything else counts as new."""
    text = str(body["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 2**63
