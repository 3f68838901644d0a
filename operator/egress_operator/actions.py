"""Owns the execution of single actions against the API server; each may be repeated without harm."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Awaitable, Callable

from egress_operator import jobs, names, reasons, stream_urls, tokens, views
from egress_operator.connections import Connections
from egress_operator.errors import ApiError, ConnectionProblem, OperatorError
from egress_operator.kube import JOBS, RECORDINGS, SECRETS, Kube, Outcome, Resource
from egress_operator.metrics import Metrics
from egress_operator.model import (
    Action,
    AddFinalizer,
    CreateJob,
    DeleteJob,
    DeleteRecording,
    DeleteSecret,
    Document,
    ExpireJob,
    Observed,
    Reason,
    Recording,
    RemoveFinalizer,
    RenewToken,
    WriteSecret,
    WriteStop,
    WriteStreams,
)
from egress_operator.progress import decode_token
from egress_operator.seen import Seen
from egress_operator.settings import CrashPoint, Settings
from egress_recorder.contract import CONTROL_TOKEN_FILE

_LOG = logging.getLogger(__name__)


class Refusal(OperatorError):  # noqa: N818 - it becomes a condition, not a fault
    """The API server refuses what a recording needs; `reason` is for the condition."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.message)
        self.reason = reason


class Actions:
    """Does what a plan says. `do` returns False when the observation turned out to be outdated."""

    def __init__(
        self, settings: Settings, kube: Kube, seen: Seen, *, connections: Connections, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._kube = kube
        self._seen = seen
        self._connections = connections
        self._metrics = metrics
        self._control_tokens: dict[names.Key, str] = {}

    async def do(self, observed: Observed, action: Action) -> bool:
        """Carry out one action. Raises Refusal, ApiError."""
        handlers: dict[type, Callable[[Recording, Action], Awaitable[bool]]] = {
            AddFinalizer: self._add_finalizer,
            WriteSecret: self._write_secret,
            CreateJob: self._create_job,
            WriteStop: self._write_stop,
            WriteStreams: self._write_streams,
            RenewToken: self._renew_token,
            DeleteJob: self._delete_job,
            ExpireJob: self._expire_job,
            DeleteSecret: self._delete_secret,
            RemoveFinalizer: self._remove_finalizer,
            DeleteRecording: self._delete_recording,
        }
        return await handlers[type(action)](observed.recording, action)

    def crash(self, point: CrashPoint) -> None:
        """Die hard at a named point (tests only)."""
        if self._settings.crash_at == point:
            _LOG.warning("crash requested", extra={"fields": {"point": point}})
            os.kill(os.getpid(), signal.SIGKILL)

    async def read_control_token(self, key: names.Key) -> str:
        """Return the control token of a recording from its Secret. Raises LookupError when there is none."""
        if key in self._control_tokens:
            # Handed out once: a token that is refused is read from the Secret the next time.
            return self._control_tokens.pop(key)
        body = self._seen.body(key)
        if body is None:
            raise LookupError("the recording is gone")
        name = names.base_name(key.name, body["metadata"]["uid"])
        secret = await self._kube.get(SECRETS, key.namespace, name)
        data = (secret or {}).get("data") or {}
        if CONTROL_TOKEN_FILE not in data:
            raise LookupError("the recording has no Secret")
        return decode_token(data[CONTROL_TOKEN_FILE])

    async def _patch_finalizers(self, recording: Recording, change: Callable[[list[str]], list[str]]) -> bool:
        key = recording.key
        body = self._seen.body(key)
        if body is None:
            return False
        metadata = body["metadata"]
        patch = {
            "metadata": {
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": change(list(metadata.get("finalizers") or ())),
            }
        }
        answer = await self._kube.patch(RECORDINGS[key.kind], key.namespace, key.name, patch)
        if isinstance(answer, Outcome):
            return answer is Outcome.NOT_FOUND
        self._seen.put(key, answer)
        return True

    async def _add_finalizer(self, recording: Recording, _: Action) -> bool:
        done = await self._patch_finalizers(recording, lambda held: [*held, names.FINALIZER])
        if done:
            # The finalizer comes before any Job: there is nothing that a listing could find.
            self._seen.children(recording.uid).listed = True
        return done

    async def _remove_finalizer(self, recording: Recording, _: Action) -> bool:
        return await self._patch_finalizers(
            recording, lambda held: [one for one in held if one != names.FINALIZER]
        )

    async def _write_secret(self, recording: Recording, action: Action) -> bool:
        assert isinstance(action, WriteSecret)
        config = jobs.recorder_config(
            recording,
            action.status,
            part=action.part,
            settings=self._settings,
        )
        token = await self._token(recording, config.egress_id, action.part)
        control_token = tokens.control_token()
        wanted = await stream_urls.read(self._kube, recording) if config.streaming else ()
        body = jobs.secret_manifest(
            recording, config, token=token, control_token=control_token, wanted=wanted
        )
        answer = await self._create(SECRETS, body)
        if answer is Outcome.EXISTS:
            # Of an earlier part, or of an operator that was killed after this point.
            patch = {"stringData": body["stringData"]}
            answer = await self._kube.patch(SECRETS, recording.key.namespace, body["metadata"]["name"], patch)
        self.crash("after-secret")
        self._control_tokens[recording.key] = control_token
        return not isinstance(answer, Outcome)

    async def _token(self, recording: Recording, egress_id: str, part: int) -> str:
        assert recording.spec is not None
        try:
            connection = await self._connections.resolve(recording)
        except ConnectionProblem as problem:
            raise Refusal(Reason(problem.reason, problem.message)) from None
        identity = names.livekit_identity(egress_id, part)
        return tokens.recorder_token(connection, room_name=recording.spec.room_name, identity=identity)

    async def _create_job(self, recording: Recording, action: Action) -> bool:
        assert isinstance(action, CreateJob)
        body = jobs.job_manifest(recording, self._settings, part=action.part, facts=action.status)
        answer = await self._create(JOBS, body)
        self.crash("after-job")
        if answer is Outcome.NOT_FOUND:
            return False
        if isinstance(answer, Outcome):
            # Ours by its name, which holds our UID: the next observation reads it.
            self._seen.mark_stale(recording.key)
            return True
        self._metrics.parts.inc()
        self._seen.put_job(recording.uid, views.job(answer))
        fields = {"job": body["metadata"]["name"], "namespace": recording.key.namespace, "part": action.part}
        _LOG.info("recorder job created", extra={"fields": fields})
        return True

    async def _create(self, resource: Resource, body: Document) -> Document | Outcome:
        try:
            return await self._kube.create(resource, body)
        except ApiError as error:
            if error.status not in {400, 403, 422}:
                raise
            what = f"{body['kind']} {body['metadata']['name']} was refused: {error.message}"
            raise Refusal(reasons.of_refusal(what)) from None

    async def _write_stop(self, recording: Recording, action: Action) -> bool:
        assert isinstance(action, WriteStop)
        return await self._patch_secret(recording, jobs.stop_patch(action.generation))

    async def _write_streams(self, recording: Recording, action: Action) -> bool:
        assert isinstance(action, WriteStreams)
        wanted = await stream_urls.read(self._kube, recording)
        return await self._patch_secret(recording, jobs.streams_patch(wanted))

    async def _renew_token(self, recording: Recording, action: Action) -> bool:
        assert isinstance(action, RenewToken)
        try:
            token = await self._token(recording, names.egress_id(recording.uid), action.part)
        except Refusal as refusal:
            # Twelve hours are left: the running recording goes on, and this is tried again.
            raise ApiError(0, refusal.reason.reason, refusal.reason.message) from None
        return await self._patch_secret(recording, jobs.token_patch(token))

    async def _patch_secret(self, recording: Recording, patch: Document) -> bool:
        name = jobs.secret_name(recording)
        answer = await self._kube.patch(SECRETS, recording.key.namespace, name, patch)
        # Gone in a foreground deletion, before we were asked: the pod got its SIGTERM then.
        return answer is not Outcome.CONFLICT

    async def _delete_job(self, recording: Recording, action: Action) -> bool:
        assert isinstance(action, DeleteJob)
        await self._kube.delete(JOBS, recording.key.namespace, action.name)
        return True

    async def _expire_job(self, recording: Recording, action: Action) -> bool:
        assert isinstance(action, ExpireJob)
        patch = {"spec": {"ttlSecondsAfterFinished": self._settings.job_ttl_seconds}}
        await self._kube.patch(JOBS, recording.key.namespace, action.name, patch)
        return True

    async def _delete_secret(self, recording: Recording, _: Action) -> bool:
        self._control_tokens.pop(recording.key, None)
        await self._kube.delete(SECRETS, recording.key.namespace, jobs.secret_name(recording))
        return True

    async def _delete_recording(self, recording: Recording, _: Action) -> bool:
        key = recording.key
        # By its UID: a resource of the same name may have been created anew.
        await self._kube.delete(RECORDINGS[key.kind], key.namespace, key.name, uid=recording.uid)
        _LOG.info(
            "recording expired",
            extra={"fields": {"kind": key.kind, "namespace": key.namespace, "name": key.name}},
        )
        return True
