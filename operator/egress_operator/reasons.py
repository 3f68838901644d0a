"""Owns the reasons of the conditions: all of them with their meaning, and the way from Kubernetes' words to ours. Pure.

docs/troubleshooting.md says what to do about each. Kubernetes' own words are many and change; here they come to few.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from egress_operator.model import Reason

REASONS: Final = MappingProxyType(
    {
        # Before any pod.
        "WaitingForRoom": "the LiveKit room does not exist yet, or LiveKit has not answered yet",
        "NoConnection": "neither the resource nor the operator names a LiveKit server",
        "NamespaceNotAllowed": "the operator's default connection may not be used from this namespace",
        "MissingSecret": "a Secret that the recording needs does not exist in its namespace",
        "InvalidSecret": "the Secret of spec.livekit lacks a key",
        "LiveKitUnauthorized": "LiveKit refuses the API key",
        "LiveKitUnreachable": "LiveKit does not answer",
        "NoStorage": "an output names no destination, and there is no default storage",
        "StorageNotAllowed": "the operator's default storage may not be used from this namespace",
        "WebhookNotAllowed": "spec.webhooks may not be used from this namespace, or may not name this host",
        "InvalidStream": "a stream's URL, or the Secret that holds it, is missing or cannot be used",
        "UnknownSigningKey": "spec.webhooks[].signingKey names no key",
        "Refused": "the API server refuses the Job, its pod or the Secret (admission, Pod Security, a bad template)",
        "QuotaExceeded": "a ResourceQuota of the namespace is used up",
        # The Job or its pod waits.
        "Queued": "the Job is suspended: its queue has not admitted it yet",
        "PodStarting": "Job and pod are being started",
        "PodNotCreated": "the Job has no pod yet",
        "Unschedulable": "no node fits the pod",
        "ImagePullFailed": "the recorder's image cannot be pulled",
        "MissingVolumeClaim": "a PersistentVolumeClaim does not exist in the namespace",
        "MountFailed": "a volume cannot be attached or mounted",
        "ContainerConfigError": "the container cannot be made of what the template asks for",
        "SandboxFailed": "the node cannot set up the pod (network, runtime class)",
        # The recorder runs.
        "RecorderStarting": "the recorder has been started and joins the room",
        "RecorderSilent": "the recorder runs, but the operator cannot reach it: no progress is shown",
        "WaitingForMedia": "the recorder is in the room and waits for media",
        "Recording": "media is being written",
        "Stopping": "a stop was asked for",
        "Finalising": "the recorder finalises and uploads",
        # Between two parts.
        "Resuming": "the recording goes on in a next part",
        "Retrying": "the recorder is started again after a failure without media",
        # The end.
        "Complete": "every part is finalised and uploaded",
        "LimitReached": "a limit of spec.limits was reached; the file is complete",
        "Aborted": "ended before any media",
        "Stopped": "stopped before any media",
        "Failed": "cannot go on: status.error says why",
        "InvalidSpec": "the spec does not fit this operator's release",
        "RoomNotFound": "the room did not exist within joinTimeout",
        "PartsExhausted": "limits.maxParts recorders have ended before their time",
        "ResultUnknown": "the last recorder left no record of its end",
        # Of the condition StopLatched.
        "AlreadyStopped": "a stopped recording does not start again",
        # Of the condition Degraded.
        "EncoderBehind": "the encoder cannot keep up and saves on quality or pictures",
        "EncoderWasBehind": "for a part of the recording the encoder could not keep up",
        # Of the conditions of what the recorder reports.
        "ScratchFilling": "the scratch volume is nearly full",
        "ScratchFreed": "the scratch volume has room again",
        "ProbeFailed": "the backup storage could not be written when the recording began",
        "StorageFailed": "a storage failed for good, the file is in the backup storage",
        "NoStorageTakesIt": "no storage takes a file: the recorder keeps it and goes on trying",
        "WritingFailed": "a file could not be written on and ends there, the others go on",
        "NothingHeld": "no file is held any more",
        "ImagesWait": "a storage takes no images: they wait, and the recording goes on",
        "ImagesStored": "no image waits for its storage any more",
        "ImagesLeftOut": "images are missing: the machine was too slow, or too many waited for their storage",
        # Of the condition Finished.
        "InProgress": "the recording is not over",
    }
)
"""Every reason that a condition can have."""

_IMAGE: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
    | {"RegistryUnavailable", "SignatureValidationFailed"}
)
_CONTAINER: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
)
_OF_EVENT: Final = {
    "FailedMount": "MountFailed",
    "FailedAttachVolume": "MountFailed",
    "FailedScheduling": "Unschedulable",
    "FailedCreatePodSandBox": "SandboxFailed",
    "Failed": "ImagePullFailed",
    "BackOff": "ImagePullFailed",
}


def of_waiting(reason: str, message: str) -> Reason:
    """Return why a pod does not start, from its own conditions and its container's state."""
    if reason in _IMAGE:
        return Reason("ImagePullFailed", message)
    if reason in _CONTAINER:
        return Reason(
            "MissingSecret" if _names_missing(message, "secret") else "ContainerConfigError", message
        )
    if reason in {"Unschedulable", "SchedulingGated", "SchedulerError"}:
        return Reason(_of_scheduling(message), message)
    return Reason("PodStarting", message)


def of_event(reason: str, message: str) -> Reason:
    """Return what a Warning about a pod or Job comes to."""
    if reason == "FailedMount" and _names_missing(message, "secret"):
        return Reason("MissingSecret", message)
    if reason == "FailedScheduling":
        return Reason(_of_scheduling(message), message)
    if reason == "FailedCreate":
        return of_refusal(message)
    if reason == "Failed" and "image" not in message.lower():
        return of_waiting("CreateContainerConfigError", message)
    return Reason(_OF_EVENT[reason], message)


def of_refusal(message: str) -> Reason:
    """Return what the API server's refusal of an object comes to."""
    return Reason("QuotaExceeded" if "exceeded quota" in message else "Refused", message)


def _of_scheduling(message: str) -> str:
    return "MissingVolumeClaim" if _names_missing(message, "persistentvolumeclaim") else "Unschedulable"


def _names_missing(message: str, kind: str) -> bool:
    lowered = message.lower()
    return kind in lowered and "not found" in lowered
