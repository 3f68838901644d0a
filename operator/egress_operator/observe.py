"""Owns the observation: everything that `plan` looks at, from memory where it is enough, else from the server."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from time import monotonic

from egress_operator import jobs, names, status, storage, stream_urls, verdict, views, webhook_receivers
from egress_operator.connections import Connection, Connections
from egress_operator.errors import ConnectionProblem
from egress_operator.kube import EVENTS, JOBS, PODS, RECORDINGS, Kube
from egress_operator.model import Observed, Reason, Recording, RoomAnswer
from egress_operator.names import Key
from egress_operator.progress import Poller
from egress_operator.rooms import RoomWatch
from egress_operator.seen import Seen
from egress_operator.settings import Settings
from egress_operator.verdict import State, Verdict
from egress_operator.webhooks import Webhooks
from egress_recorder.contract import Phase

_DIAGNOSIS_FIRST = 5.0
_DIAGNOSIS_LIMIT = 60.0
_DIAGNOSES = 2000


class Observer:
    """Reads; decides nothing."""

    def __init__(
        self,
        settings: Settings,
        kube: Kube,
        seen: Seen,
        *,
        connections: Connections,
        rooms: RoomWatch,
        poller: Poller,
        webhooks: Webhooks,
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._seen = seen
        self._connections = connections
        self._rooms = rooms
        self._poller = poller
        self._webhooks = webhooks
        self._diagnoses: dict[str, tuple[float, float, Reason | None]] = {}

    async def observe(self, key: Key, *, now: datetime, live: bool) -> Observed | None:
        """Return the observation, None when the recording is gone. `live`: read everything from the server."""
        recording = await self._recording(key, live=live)
        if recording is None:
            return None
        over = status.is_terminal(recording.status)
        may_have_children = recording.has_finalizer or (bool(recording.status.get("part")) and not over)
        entry = self._seen.children(recording.uid)
        listed = live or (may_have_children and not entry.listed)
        if listed:
            await self._list_children(recording)
        children = self._seen.snapshot(recording.uid)
        polled = self._poller.latest(recording.key)
        observed = Observed(
            recording=recording,
            jobs=tuple(children.jobs.values()),
            pods=tuple(children.pods.values()),
            live=listed,
            polled=polled[1] if polled else None,
            polled_part=polled[0] if polled else 0,
            silent_seconds=self._poller.silent_seconds(recording.key),
            receivers=webhook_receivers.of_recording(recording, self._settings),
            delivered=self._webhooks.delivered(recording.uid),
        )
        return await self._surroundings(observed, verdict.judge(observed, now), now)

    async def _recording(self, key: Key, *, live: bool) -> Recording | None:
        body = None if live else self._seen.body(key)
        if body is None:
            body = await self._kube.get(RECORDINGS[key.kind], key.namespace, key.name)
            if body is None:
                return None
            self._seen.put(key, body)
        return views.recording(key.kind, body)

    async def _list_children(self, recording: Recording) -> None:
        known = self._seen.snapshot(recording.uid)
        namespace, labels = recording.key.namespace, f"{names.LABEL_UID}={recording.uid}"
        # Jobs first: a pod that appears in between belongs to a Job that is in the list.
        jobs = [views.job(body) async for body in self._kube.list(JOBS, namespace, labels=labels)]
        pods = [views.pod(body) async for body in self._kube.list(PODS, namespace, labels=labels)]
        self._seen.replace_children(recording.uid, jobs=jobs, pods=pods, known=known)

    async def _surroundings(self, observed: Observed, judged: Verdict, now: datetime) -> Observed:
        """Ask for room, connection and Events, each only where the decision needs it."""
        recording = observed.recording
        if not _needs_room(recording, judged):
            self._rooms.forget(recording.key)
            if not verdict.is_stalled(judged, now):
                return observed
            subject = verdict.stalled_object(judged, now)
            reason = await self._diagnose(recording, subject) if subject else None
            return replace(observed, diagnosis=reason, pod_hash=self._pod_hash(recording, judged))
        assert recording.spec is not None
        try:
            connection = await self._connections.resolve(recording)
            await self._check_receivers(observed)
            await stream_urls.check(self._kube, recording)
        except ConnectionProblem as problem:
            self._rooms.forget(recording.key)
            return replace(observed, connection=Reason(problem.reason, problem.message))
        room = self._room(recording, connection)
        default = storage.usable_default(
            self._settings.default_storage, self._settings.storage_allowed_namespaces, recording.key.namespace
        )
        backup = storage.usable_backup(
            self._settings.backup_storage, self._settings.backup_allowed_namespaces, recording.key.namespace
        )
        return replace(observed, room=room, storage=default, backup=backup, url=connection.url)

    async def _check_receivers(self, observed: Observed) -> None:
        """Refuse receivers that may not be used or signed for, before anything is recorded; later it would cost media."""
        recording = observed.recording
        if "part" in recording.status:
            return
        problem = webhook_receivers.problem(recording, self._settings)
        if problem is not None:
            raise ConnectionProblem(problem.reason, problem.message)
        for receiver in observed.receivers:
            await self._connections.signing_key(recording, receiver)

    def _pod_hash(self, recording: Recording, judged: Verdict) -> str:
        """Return of what the part's pod would be made now, "" when that cannot be told."""
        resolved = recording.status.get("resolved") or {}
        if recording.spec is None or "storage" not in resolved:
            return ""
        made = jobs.job_manifest(recording, self._settings, part=judged.part, facts=recording.status)
        return jobs.pod_hash(made)

    def _room(self, recording: Recording, connection: Connection) -> RoomAnswer:
        assert recording.spec is not None
        return self._rooms.answer(recording.key, connection, recording.spec.room_name)

    async def _diagnose(self, recording: Recording, uid: str) -> Reason | None:
        """Read the Events of a pod or Job that does not get on: at once, then ever more seldom."""
        due, pause, reason = self._diagnoses.get(uid, (0.0, _DIAGNOSIS_FIRST, None))
        if monotonic() < due:
            return reason
        events = [
            event
            async for event in self._kube.list(
                EVENTS, recording.key.namespace, fields=f"involvedObject.uid={uid}"
            )
        ]
        reason = views.diagnose(events) or reason
        if len(self._diagnoses) >= _DIAGNOSES:
            self._diagnoses.clear()
        self._diagnoses[uid] = (monotonic() + pause, min(pause * 1.5, _DIAGNOSIS_LIMIT), reason)
        return reason


def _needs_room(recording: Recording, judged: Verdict) -> bool:
    stop = recording.deleting or "stopRequestedAt" in recording.status
    if recording.spec is None or stop or status.is_terminal(recording.status):
        return False
    if recording.spec.desired_state == "Stopped" or judged.is_final_failure:
        return False
    finished = judged.result is not None and judged.code == 0 and judged.result.phase is not Phase.ABORTED
    return judged.state in {State.NONE, State.UNREACHABLE} or (judged.state is State.OVER and not finished)
