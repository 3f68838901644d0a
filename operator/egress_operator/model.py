"""Owns the values that the pure core works on: what was observed, and what is to be done. No behaviour. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from egress_operator.api import Spec
from egress_operator.api_storage import Storage
from egress_operator.names import Key
from egress_operator.webhook_model import Delivered, Receiver
from egress_recorder.contract import RecorderStatus

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recording:
    """One custom resource. `spec` is None when it cannot be parsed (`spec_error` is the sentence)."""

    key: Key
    uid: str
    generation: int
    resource_version: str
    created: datetime
    deleting: bool
    has_finalizer: bool
    spec: Spec | None
    spec_error: str = ""
    status: Mapping[str, Any] = field(default_factory=dict)
    queue_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that its Jobs get as well."""


@dataclass(frozen=True, slots=True)
class JobView:
    """What matters of a Job. `ended` is the message of its Complete or Failed condition."""

    uid: str
    name: str
    part: int
    created: datetime
    deleting: bool = False
    ended: str = ""
    has_ttl: bool = False
    suspended: bool = False
    queue: str = ""
    """Name of the queue that decides when it may run."""
    pod_hash: str = ""
    """Of what its pod was made of; "" when it was not noted."""


@dataclass(frozen=True, slots=True)
class PodView:
    """What matters of a recorder's pod. `gone`: the object was deleted; the rest is what was last seen of it."""

    uid: str
    name: str
    part: int
    created: datetime
    ip: str = ""
    started: bool = False
    ready: bool = False
    gone: bool = False
    deletion_deadline: datetime | None = None
    """When the grace period ends; None: not being deleted."""
    unreachable_since: datetime | None = None
    """The node controller set Ready to False over the kubelet's head."""
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    end_reason: str = ""
    """Why the container or the pod ended, in Kubernetes' words: OOMKilled, Evicted, Error …"""
    ended_at: datetime | None = None
    message: str = ""
    """Termination message."""

    @property
    def ended(self) -> bool:
        """True when nothing of it runs any more."""
        return self.gone or self.exit_code is not None or bool(self.end_reason)


class RoomState(enum.StrEnum):
    """Answer of the LiveKit server about one room."""

    UNKNOWN = "unknown"
    PRESENT = "present"
    ABSENT = "absent"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class RoomAnswer:
    """`reason` and `message` are set with ERROR."""

    state: RoomState = RoomState.UNKNOWN
    room_id: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """A condition's reason and sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that `plan` looks at. `live`: Jobs and pods were just read from the server, absence is certain."""

    recording: Recording
    jobs: tuple[JobView, ...] = ()
    pods: tuple[PodView, ...] = ()
    live: bool = False
    room: RoomAnswer = RoomAnswer()
    storage: Storage | Reason | None = None
    """The operator's default storage, or why this recording cannot have it."""
    backup: Storage | None = None
    """The operator's backup storage, where this recording may use it."""
    connection: Reason | None = None
    """Why there is no usable LiveKit connection; None: there is one."""
    url: str = ""
    polled: RecorderStatus | None = None
    polled_part: int = 0
    silent_seconds: float = 0.0
    """For how long a recorder that had answered does not answer any more."""
    diagnosis: Reason | None = None
    pod_hash: str = ""
    """Of what a pod would be made of now; "" when it does not matter."""
    receivers: tuple[Receiver, ...] = ()
    delivered: Mapping[str, Delivered] = field(default_factory=dict)
    """How far receivers have got, by their ids, as far as this process knows."""


# ---- what is to be done --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AddFinalizer:
    """Before the first Job."""


@dataclass(frozen=True, slots=True)
class WriteSecret:
    """Configuration and tokens of one part."""

    part: int
    room_id: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CreateJob:
    """The Job of one part."""

    part: int
    status: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class WriteStop:
    """The desired state in the recording's Secret becomes Stopped."""

    generation: int


@dataclass(frozen=True, slots=True)
class WriteStreams:
    """The streams in the recording's Secret become those of the spec."""

    generation: int


@dataclass(frozen=True, slots=True)
class RenewToken:
    """A new LiveKit token in the recording's Secret."""

    part: int


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """A part that never started, or that lies on an unreachable node."""

    name: str


@dataclass(frozen=True, slots=True)
class ExpireJob:
    """The Job gets its time to live."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteSecret:
    """The recording's Secret is not needed any more."""


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Nothing of the recording is alive."""


@dataclass(frozen=True, slots=True)
class DeleteRecording:
    """Its ttlSecondsAfterFinished is over: the resource itself goes, and all it owns."""


Action = (
    AddFinalizer
    | WriteSecret
    | CreateJob
    | WriteStop
    | WriteStreams
    | RenewToken
    | DeleteJob
    | ExpireJob
    | DeleteSecret
    | RemoveFinalizer
    | DeleteRecording
)


@dataclass(frozen=True, slots=True)
class Poll:
    """The recorder whose HTTP endpoint is to be asked."""

    pod_uid: str
    ip: str
    part: int
    interval: float
    stop_generation: int | None = None
    acknowledge: bool = False


@dataclass(frozen=True, slots=True)
class PhaseEvent:
    """A Kubernetes Event for a change of phase."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`before` is done first, then status is written once, then `after`. `requeue` is in seconds."""

    before: tuple[Action, ...] = ()
    status: Document | None = None
    after: tuple[Action, ...] = ()
    event: PhaseEvent | None = None
    notices: tuple[PhaseEvent, ...] = ()
    """More Events, posted after `event`: what has begun to go wrong."""
    requeue: float | None = None
    poll: Poll | None = None
    look_closer: bool = False
    """The decision rests on absence: read Jobs and pods from the server and plan again."""
