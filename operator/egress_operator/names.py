"""Owns the vocabulary: group, kinds, labels, annotations, finalizer, condition types and reasons. Pure."""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass
from typing import Final

GROUP: Final = "egress.livekit.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
PARTICIPANT_KIND: Final = "ParticipantEgress"
TRACK_COMPOSITE_KIND: Final = "TrackCompositeEgress"
PLURALS: Final = {PARTICIPANT_KIND: "participantegresses", TRACK_COMPOSITE_KIND: "trackcompositeegresses"}
KINDS: Final = {plural: kind for kind, plural in PLURALS.items()}

FINALIZER: Final = f"{GROUP}/recording"
MANAGED_BY: Final = "livekit-egress-operator"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_UID: Final = f"{GROUP}/uid"
LABEL_KIND: Final = f"{GROUP}/kind"
LABEL_PART: Final = f"{GROUP}/part"
ANNOTATION_NAME: Final = f"{GROUP}/name"
ANNOTATION_POD_HASH: Final = f"{GROUP}/pod-hash"
"""On a Job: of what its pod is made of. A part that cannot start is begun anew when that has changed."""
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
QUEUE_LABELS: Final = (LABEL_QUEUE, "kueue.x-k8s.io/priority-class")
"""Of the resource, passed on to its Jobs."""
CHILD_SELECTOR: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"

READY: Final = "Ready"
RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
RECORDING: Final = "Recording"
FINISHED: Final = "Finished"
STOP_LATCHED: Final = "StopLatched"
DEGRADED: Final = "Degraded"
SCRATCH_PRESSURE: Final = "ScratchPressure"
BACKUP_UNUSABLE: Final = "BackupStorageUnusable"
BACKUP_USED: Final = "BackupStorageUsed"
FILE_HELD: Final = "FileHeld"
OUTPUT_CUT: Final = "OutputCut"
IMAGES_HELD: Final = "ImagesHeld"
IMAGES_DROPPED: Final = "ImagesDropped"

_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Names one recording: what the work queue holds."""

    kind: str
    namespace: str
    name: str


def egress_id(uid: str) -> str:
    """Return `EG_` and 12 characters: the same for the same object, so that a crash before a write does no harm."""
    return "EG_" + short_hash(uid)


def short_hash(text: str) -> str:
    """Return 12 letters and digits that stand for a text."""
    number = int.from_bytes(hashlib.sha256(f"{GROUP}/{text}".encode()).digest()[:12])
    digits = []
    for _ in range(12):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(digits)


def base_name(name: str, uid: str) -> str:
    """Return the name of the recording's Secret and the beginning of its Jobs' names (at most 49 characters)."""
    stem = name[:40].replace(".", "-").strip("-")
    return f"{stem}-{uid.replace('-', '')[:8]}"


def job_name(name: str, uid: str, part: int) -> str:
    """Return the Job's name for one part: deterministic, so that creating it twice is refused by the server."""
    return f"{base_name(name, uid)}-{part}"


def livekit_identity(recording_egress_id: str, part: int) -> str:
    """Return the recorder's identity in the room: one per part, or the newer would throw the older one out."""
    return recording_egress_id if part == 1 else f"{recording_egress_id}-{part}"
