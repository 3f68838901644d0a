"""Owns what a recorder is given: the names of its files, its configuration, its Secret's content and its Job. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from egress_operator import names, podspec
from egress_operator.api import ParticipantEgressSpec, Spec, TrackCompositeEgressSpec
from egress_operator.api_parts import FileOutput
from egress_operator.facts import encoding_of
from egress_operator.model import Document, Recording
from egress_operator.settings import Settings
from egress_operator.units import parse_duration, parse_time
from egress_recorder.contract import (
    CONFIG_FILE,
    CONTROL_TOKEN_FILE,
    DESIRED_STATE_FILE,
    TOKEN_FILE,
    DesiredState,
    Destination,
    FileOutputConfig,
    Gap,
    Limits,
    NameValues,
    Part,
    ParticipantSource,
    Prior,
    RecorderConfig,
    S3Destination,
    TrackCompositeSource,
    VolumeDestination,
    resolve_filepath,
)

_FINALISING_SECONDS = 600


def resolve_names(recording: Recording, facts: Document) -> None:
    """Resolve the outputs' names once and keep them in `facts["resolved"]`; later parts find them there."""
    spec = recording.spec
    assert spec is not None
    resolved = facts["resolved"]
    if "filepaths" in resolved:
        return
    values = NameValues(
        room_name=spec.room_name,
        room_id=facts.get("roomId") or None,
        requested_at=parse_time(resolved["requestedAt"]),
        publisher_identity=spec.identity if isinstance(spec, ParticipantEgressSpec) else None,
    )
    resolved["filepaths"] = [resolve_filepath(output.filepath or "", values) for output in spec.file_outputs]


def recorder_config(recording: Recording, facts: Mapping[str, Any], *, part: int) -> RecorderConfig:
    """Return the configuration of one part's recorder."""
    spec = recording.spec
    assert spec is not None
    resolved = facts["resolved"]
    outputs = tuple(
        FileOutputConfig(filepath=filepath, destination=_destination(spec.file_outputs, output))
        for filepath, output in zip(resolved["filepaths"], spec.file_outputs, strict=True)
    )
    return RecorderConfig(
        egress_id=facts["egressId"],
        part=part,
        max_parts=max(part, spec.max_parts + int(facts.get("roomWaits", 0))),
        url=resolved["url"],
        room_name=spec.room_name,
        room_id=facts.get("roomId", ""),
        source=_source(spec),
        encoding=encoding_of(spec),
        outputs=outputs,
        join_timeout=spec.join_seconds,
        track_timeout=spec.track_seconds,
        rejoin_timeout=spec.rejoin_seconds,
        limits=Limits(max_duration=spec.max_duration_seconds, max_size=spec.max_size_bytes),
        requested_at=parse_time(resolved["requestedAt"]),
        prior=_prior(facts),
    )


def _source(spec: Spec) -> ParticipantSource | TrackCompositeSource:
    if isinstance(spec, ParticipantEgressSpec):
        return ParticipantSource(identity=spec.identity, screen_share=bool(spec.screen_share))
    assert isinstance(spec, TrackCompositeEgressSpec)
    return TrackCompositeSource(
        audio_track_id=spec.audio_track_id or "", video_track_id=spec.video_track_id or ""
    )


def _destination(outputs: Sequence[FileOutput], output: FileOutput) -> Destination:
    if output.s3 is not None:
        secret = output.s3.credentials_secret_ref
        return S3Destination(
            bucket=output.s3.bucket,
            region=output.s3.region or "",
            endpoint=output.s3.endpoint or "",
            force_path_style=bool(output.s3.force_path_style),
            credentials=str(podspec.credential_secrets(outputs).index(secret.name)) if secret else "",
        )
    assert output.pvc is not None
    claim = output.pvc.claim_name
    return VolumeDestination(volume=str(podspec.claims(outputs).index(claim)), claim_name=claim)


def _prior(facts: Mapping[str, Any]) -> Prior:
    """Return what earlier parts left: the later part continues the numbers, not the file."""
    started = facts.get("startedAt")
    return Prior(
        parts=tuple(_prior_part(part) for part in facts.get("parts") or ()),
        gaps=tuple(
            Gap(
                started_at=parse_time(gap["startedAt"]),
                duration=parse_duration(gap["duration"]),
                reason=gap["reason"],
            )
            for gap in facts.get("gaps") or ()
        ),
        started_at=parse_time(started) if started else None,
    )


def _prior_part(part: Mapping[str, Any]) -> Part:
    return Part(
        part=part["part"],
        output=part["output"],
        filename=part.get("filename", ""),
        location=part.get("location", ""),
        started_at=parse_time(part["startedAt"]) if "startedAt" in part else None,
        ended_at=parse_time(part["endedAt"]) if "endedAt" in part else None,
        duration=parse_duration(part.get("duration", "0s")),
        size=part.get("size", 0),
        end_reason=part.get("endReason", ""),
    )


def owner_reference(recording: Recording) -> Document:
    """Return the reference by which everything of a recording dies with it."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": recording.key.kind,
        "name": recording.key.name,
        "uid": recording.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _metadata(recording: Recording, name: str, **labels: str) -> Document:
    return {
        "name": name,
        "namespace": recording.key.namespace,
        "labels": _labels(recording) | labels,
        "annotations": {names.ANNOTATION_NAME: recording.key.name},
        "ownerReferences": [owner_reference(recording)],
    }


def _labels(recording: Recording) -> dict[str, str]:
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_UID: recording.uid,
        names.LABEL_KIND: recording.key.kind,
    }


def secret_name(recording: Recording) -> str:
    """Return the name of the recording's Secret."""
    return names.base_name(recording.key.name, recording.uid)


def secret_manifest(
    recording: Recording, config: RecorderConfig, *, token: str, control_token: str
) -> Document:
    """Return the recording's Secret: everything a recorder needs, and nothing of the API secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(recording, secret_name(recording)),
        "type": "Opaque",
        "stringData": {
            CONFIG_FILE: config.to_json(),
            TOKEN_FILE: token,
            CONTROL_TOKEN_FILE: control_token,
            DESIRED_STATE_FILE: DesiredState(generation=recording.generation).to_json(),
        },
    }


def stop_patch(generation: int) -> Document:
    """Return the merge patch that tells the recorder to stop."""
    return {
        "stringData": {
            DESIRED_STATE_FILE: DesiredState(generation=generation, desired_state="Stopped").to_json()
        }
    }


def token_patch(token: str) -> Document:
    """Return the merge patch that renews the LiveKit token."""
    return {"stringData": {TOKEN_FILE: token}}


def job_manifest(recording: Recording, settings: Settings, *, part: int) -> Document:
    """Return the Job of one part. Whether another part follows is the operator's decision, never the Job's."""
    spec = recording.spec
    assert spec is not None
    name = names.job_name(recording.key.name, recording.uid, part)
    labels = {names.LABEL_PART: str(part)}
    pod_metadata = {
        "labels": _labels(recording) | labels,
        "annotations": {
            names.ANNOTATION_NAME: recording.key.name,
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "karpenter.sh/do-not-disrupt": "true",
        },
    }
    job_spec: Document = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "template": {
            "metadata": pod_metadata,
            "spec": podspec.pod_spec(spec, settings, secret=secret_name(recording)),
        },
    }
    deadline = _deadline(spec)
    if deadline is not None:
        job_spec["activeDeadlineSeconds"] = deadline
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(recording, name, **labels),
        "spec": job_spec,
    }


def _deadline(spec: Spec) -> int | None:
    """Only a backstop, and only where the recorder's own limits have an end."""
    if spec.join_seconds is None or spec.max_duration_seconds is None:
        return None
    waits = spec.join_seconds + spec.rejoin_seconds
    return int(waits + spec.max_duration_seconds) + _FINALISING_SECONDS
