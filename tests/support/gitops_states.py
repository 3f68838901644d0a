"""Owns one custom resource in each state that a GitOps tool can meet it in, with statuses by the operator's own core.

Nothing is written by hand here: `plan()` decides on an observation, and its status becomes the object's. A state's key
is what the object itself says: (phase, reason of Ready), or a word in angle brackets where there is no such reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from egress_operator import names, views
from egress_operator.model import Observed, Reason, RoomAnswer, RoomState
from egress_operator.plan import plan, refuse
from egress_recorder.contract import Phase, Progress
from support.operator_builders import (
    ABSENT,
    NOW,
    PRESENT,
    at,
    body,
    ended_pod,
    job,
    observed,
    pod,
    said,
    status,
    word,
)

KINDS = (names.PARTICIPANT_KIND, names.TRACK_COMPOSITE_KIND)
BEFORE_ANY_POD = (
    "NoConnection",
    "NamespaceNotAllowed",
    "MissingSecret",
    "InvalidSecret",
    "WebhookNotAllowed",
    "UnknownSigningKey",
    "InvalidStream",
)
STORAGE = ("NoStorage", "StorageNotAllowed")
SERVER = ("LiveKitUnauthorized", "LiveKitUnreachable")
REFUSALS = ("Refused", "QuotaExceeded")
POD_WAITS = (
    "Unschedulable",
    "ImagePullFailed",
    "MissingVolumeClaim",
    "MountFailed",
    "ContainerConfigError",
    "SandboxFailed",
)


@dataclass(frozen=True, slots=True)
class State:
    """`body` is the object as the API server shows it; `note` tells states of the same key apart."""

    body: dict[str, Any]
    key: tuple[str, str]
    note: str = ""

    @property
    def id(self) -> str:
        """For the names of tests."""
        return "-".join(part for part in (self.body["kind"], *self.key, self.note) if part)


_SPEC = ("desiredState", "fileOutputs", "generation", "joinTimeout", "limits", "rejoinTimeout")


@dataclass
class _Builder:
    """Makes the states of one kind."""

    kind: str
    spec: dict[str, Any] = field(default_factory=dict)

    def decided(
        self, *children: Any, old: dict[str, Any] | None = None, note: str = "", **seen: Any
    ) -> State:
        """Return the object after the operator has decided on what it saw."""
        spec = {key: seen.pop(key) for key in _SPEC if key in seen}
        before = body(self.kind, status=old, finalizer=old is not None, **spec)
        made = plan(observed(*children, of=views.recording(self.kind, before), **seen), now=NOW)
        assert made.status is not None, note
        return self.shown({**before, "status": made.status}, note)

    def refused(self, reason: Reason) -> State:
        """Return the object after the API server has refused its Job."""
        before = body(self.kind)
        seen: Observed = observed(of=views.recording(self.kind, before))
        made = refuse(seen, reason, now=NOW)
        assert made.status is not None
        return self.shown({**before, "status": made.status})

    @staticmethod
    def shown(document: dict[str, Any], note: str = "") -> State:
        """Return the state whose key is what the object says."""
        said_ = document["status"]
        ready = next(one for one in said_["conditions"] if one["type"] == names.READY)
        return State(document, (said_["phase"], ready["reason"]), note)


def all_states() -> list[State]:
    """Return every state of both kinds."""
    return [state for kind in KINDS for state in _of(_Builder(kind))]


def _of(make: _Builder) -> Iterator[State]:
    yield from _unseen(make)
    yield from _pending(make)
    yield from _running(make)
    yield from _over(make)
    yield from _going(make)


def _unseen(make: _Builder) -> Iterator[State]:
    fresh = body(make.kind)
    yield State({key: value for key, value in fresh.items() if key != "status"}, ("", "<no status>"))
    # What the CRD's default makes of an object that the operator has not seen yet.
    yield State({**fresh, "status": {"observedGeneration": -1}}, ("", "<not seen>"))


def _pending(make: _Builder) -> Iterator[State]:
    yield make.decided(room=ABSENT, note="room absent")
    yield make.decided(room=RoomAnswer(), note="room asked for")
    for reason in SERVER:
        yield make.decided(room=RoomAnswer(RoomState.ERROR, reason=reason, message="why"))
    for reason in BEFORE_ANY_POD:
        yield make.decided(connection=Reason(reason, "how to get out"))
    for reason in STORAGE:
        yield make.decided(storage=Reason(reason, "how to get out"), fileOutputs=[{"filepath": "x"}])
    for reason in REFUSALS:
        yield make.refused(Reason(reason, "why"))
    yield make.decided(room=PRESENT, note="Job made")
    old, waiting = status("Pending"), pod(started=False, ip="")
    yield make.decided(job(suspended=True, queue="recordings"), old=old)
    yield make.decided(job(), old=old)
    for reason in POD_WAITS:
        yield make.decided(job(), waiting, old=old, diagnosis=Reason(reason, "why"))
    yield make.decided(job(), pod(created=at(-2)), old=old)
    yield make.decided(job(), waiting, old=old, desiredState="Stopped")
    yield make.decided(job(), ended_pod(code=69), old=old)


def _running(make: _Builder) -> Iterator[State]:
    in_room = said(Phase.STARTING, in_room=True)
    yield make.decided(job(), pod(), old=status("Pending"), polled=in_room, polled_part=1)
    yield make.decided(job(), pod(), old=status("Pending"), note="silent")
    yield make.decided(job(), pod(ready=True), old=status("Starting"))
    degraded = said(recording=True, degraded="Pictures")
    yield make.decided(
        job(), pod(ready=True), old=status(), polled=degraded, polled_part=1, note="encoder behind"
    )
    crashed = ended_pod(code=139, ready=False)
    yield make.decided(job(), crashed, old=status(), note="next part started")
    yield make.decided(
        job(2), pod(2), old=status(part=2, jobName=job(2).name), note="next part waits for media"
    )
    yield make.decided(job(), pod(ready=True), old=status(), desiredState="Stopped", generation=2)
    ending = said(Phase.ENDING, details="End reason: Source closed")
    yield make.decided(job(), pod(), old=status(), polled=ending, polled_part=1)


def _over(make: _Builder) -> Iterator[State]:
    for phase in (Phase.COMPLETE, Phase.LIMIT_REACHED):
        yield make.decided(job(), ended_pod(code=0, message=word(phase)), old=status())
    degraded = word(Phase.COMPLETE, progress=Progress(duration=48.0, degraded=12.5))
    yield make.decided(job(), ended_pod(code=0, message=degraded), old=status(), note="encoder was behind")
    aborted = word(Phase.ABORTED, media=False, details="End reason: StopEgress API")
    yield make.decided(job(), ended_pod(code=0, message=aborted), old=status("Starting"))
    yield make.decided(room=ABSENT, desiredState="Stopped", note="stopped before a pod")
    failed = word(Phase.FAILED, error="the bucket refuses the key", error_code=401)
    yield make.decided(job(), ended_pod(code=77, message=failed), old=status())
    if make.kind == names.PARTICIPANT_KIND:  # the other kind waits for its tracks, not for its room
        yield make.decided(room=ABSENT, joinTimeout="5m")
    yield make.decided(rejoinTimeout="soon")
    lost = ended_pod(code=137)
    yield make.decided(job(), lost, old=status(), limits={"maxParts": 1})
    yield make.decided(job(), lost, old=status(), desiredState="Stopped")
    # The operator has seen that a stopped recording was asked for again: nothing happens, and nothing is wrong.
    latched = make.decided(job(), ended_pod(code=0, message=word()), old=status(), desiredState="Stopped")
    yield make.decided(old=latched.body["status"], generation=2, note="stop latched")


def _going(make: _Builder) -> Iterator[State]:
    active = make.decided(job(), pod(ready=True), old=status("Starting")).body
    newer = {**active, "metadata": {**active["metadata"], "generation": 2}}
    yield State(newer, ("Active", "<spec changed>"))
    deleted = {**active["metadata"], "deletionTimestamp": "2026-11-22T09:09:00Z", "generation": 2}
    yield State({**active, "metadata": deleted}, ("Active", "<deleted>"))
