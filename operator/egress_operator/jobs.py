"""Owns what a recorder is given: its configuration, its Secret's content and its Job. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from egress_operator import keyframes, names, podspec, podtemplate, storage, streams
from egress_operator.api import ParticipantEgressSpec, Spec, TrackCompositeEgressSpec
from egress_operator.destinations import destination
from egress_operator.facts import encoding_of
from egress_operator.model import Document, Recording
from egress_operator.parts import allowed, prior
from egress_operator.settings import Settings
from egress_operator.units import parse_time
from egress_recorder.contract import (
    CONFIG_FILE,
    CONTROL_TOKEN_FILE,
    DESIRED_STATE_FILE,
    STREAMS_FILE,
    TOKEN_FILE,
    DesiredState,
    FileOutputConfig,
    ImageOutputConfig,
    Limits,
    ParticipantSource,
    RecorderConfig,
    SegmentOutputConfig,
    StreamTarget,
    TrackCompositeSource,
    WantedStreams,
)

_FINALISING_SECONDS = 600
_HOLDING_SECONDS = 7 * 24 * 3600


def recorder_config(
    recording: Recording, facts: Mapping[str, Any], *, part: int, settings: Settings
) -> RecorderConfig:
    """Return the configuration of one part's recorder."""
    spec = recording.spec
    assert spec is not None
    resolved = facts["resolved"]
    places = storage.every_place(spec, facts)
    chosen = storage.destinations(spec, facts)
    spares = storage.backups(facts) or (None,) * len(spec.outputs)
    # An operator that knew MP4 only resolved the names of a recording that goes on.
    types = resolved.get("fileTypes") or ["MP4"] * len(spec.file_outputs)
    files = len(spec.file_outputs)
    heard = files + len(spec.segment_outputs)
    outputs = tuple(
        FileOutputConfig(
            filepath=filepath,
            file_type=file_type,
            destination=destination(places, place),
            disable_manifest=bool(output.disable_manifest),
            overwrite=bool(output.overwrite),
            presigned_expires=output.presigned_locations and output.presigned_locations.seconds,
            backup=None if spare is None else destination(places, spare),
        )
        for output, filepath, file_type, place, spare in zip(
            spec.file_outputs,
            resolved.get("filepaths") or (),
            types,
            chosen[:files],
            spares[:files],
            strict=True,
        )
    )
    # An operator that did not know such outputs resolved none of them: a recording that goes on stays without.
    segments = tuple(
        SegmentOutputConfig(
            playlist=names["playlistName"],
            prefix=names["filenamePrefix"],
            live_playlist=names.get("livePlaylistName", ""),
            container=output.container,
            duration=seconds,
            suffix=output.filename_suffix or "INDEX",
            destination=destination(places, place),
            disable_manifest=bool(output.disable_manifest),
            backup=None if spare is None else destination(places, spare),
        )
        for output, seconds, names, place, spare in zip(
            spec.segment_outputs,
            keyframes.segment_seconds(spec),
            resolved.get("segments") or (),
            chosen[files:heard],
            spares[files:heard],
            strict=False,
        )
    )
    images = tuple(
        ImageOutputConfig(
            prefix=names_of["filenamePrefix"],
            codec=output.codec,
            interval=output.interval,
            width=output.width or 0,
            height=output.height or 0,
            suffix=output.filename_suffix or "IMAGE_SUFFIX_INDEX",
            destination=destination(places, place),
            disable_manifest=bool(output.disable_manifest),
            backup=None if spare is None else destination(places, spare),
        )
        for output, names_of, place, spare in zip(
            spec.image_outputs, resolved.get("images") or (), chosen[heard:], spares[heard:], strict=False
        )
    )
    return RecorderConfig(
        egress_id=facts["egressId"],
        part=part,
        max_parts=max(part, allowed(spec.max_parts, facts)),
        url=resolved["url"],
        room_name=spec.room_name,
        room_id=facts.get("roomId", ""),
        source=_source(spec),
        encoding=encoding_of(spec),
        outputs=outputs,
        segments=segments,
        images=images,
        streaming=streams.wanted(spec),
        join_timeout=spec.join_seconds,
        track_timeout=spec.track_seconds,
        rejoin_timeout=spec.rejoin_seconds,
        limits=Limits(max_duration=spec.max_duration_seconds, max_size=spec.max_size_bytes),
        max_file_duration=spec.max_file_seconds,
        upload_timeout=spec.upload_seconds if spec.upload_timeout else None,
        termination_grace=settings.termination_grace_seconds,
        scratch_size=podspec.scratch_bytes(podtemplate.merged(settings.recorder_template, spec.template)),
        requested_at=parse_time(resolved["requestedAt"]),
        prior=prior(facts).model_copy(update={"streams": streams.prior(facts)}),
    ).stamped()


def _source(spec: Spec) -> ParticipantSource | TrackCompositeSource:
    if isinstance(spec, ParticipantEgressSpec):
        return ParticipantSource(identity=spec.identity, screen_share=bool(spec.screen_share))
    assert isinstance(spec, TrackCompositeEgressSpec)
    return TrackCompositeSource(
        audio_track_id=spec.audio_track_id or "", video_track_id=spec.video_track_id or ""
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
    recording: Recording,
    config: RecorderConfig,
    *,
    token: str,
    control_token: str,
    wanted: Sequence[StreamTarget] = (),
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
            **(streams_patch(wanted)["stringData"] if config.streaming else {}),
        },
    }


def stop_patch(generation: int) -> Document:
    """Return the merge patch that tells the recorder to stop."""
    return {
        "stringData": {
            DESIRED_STATE_FILE: DesiredState(generation=generation, desired_state="Stopped").to_json()
        }
    }


def streams_patch(wanted: Sequence[StreamTarget]) -> Document:
    """Return the merge patch that tells the recorder which streams are to run."""
    return {"stringData": {STREAMS_FILE: WantedStreams(streams=tuple(wanted)).to_json()}}


def token_patch(token: str) -> Document:
    """Return the merge patch that renews the LiveKit token."""
    return {"stringData": {TOKEN_FILE: token}}


def job_manifest(
    recording: Recording, settings: Settings, *, part: int, facts: Mapping[str, Any] = MappingProxyType({})
) -> Document:
    """Return the Job of one part. Whether another part follows is the operator's decision, never the Job's.

    `facts`: the status document, where the destinations are resolved.
    """
    spec = recording.spec
    assert spec is not None
    name = names.job_name(recording.key.name, recording.uid, part)
    labels = {names.LABEL_PART: str(part)}
    template = podtemplate.merged(settings.recorder_template, spec.template)
    places = storage.destinations(spec, facts)
    spares = tuple(spare for spare in storage.backups(facts) if spare is not None)
    job_spec: Document = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "template": {
            "metadata": {
                "labels": template.get("labels", {}) | _labels(recording) | labels,
                "annotations": _KEEP_OFF
                | template.get("annotations", {})
                | {names.ANNOTATION_NAME: recording.key.name},
            },
            "spec": podspec.pod_spec(
                spec,
                settings,
                template=template,
                secret=secret_name(recording),
                places=places,
                spares=spares,
            ),
        },
    }
    if names.LABEL_QUEUE in recording.queue_labels:
        # Kueue's own way: it takes the suspension away when the queue admits the Job.
        job_spec["suspend"] = True
    deadline = _deadline(spec)
    if deadline is not None:
        job_spec["activeDeadlineSeconds"] = deadline
    metadata = _metadata(recording, name, **labels, **recording.queue_labels)
    metadata["annotations"][names.ANNOTATION_POD_HASH] = _hash(job_spec["template"]["spec"])
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job_spec}


def pod_hash(job: Document) -> str:
    """Return what a Job's pod is made of, as a short text to compare."""
    return str(job["metadata"]["annotations"][names.ANNOTATION_POD_HASH])


def _hash(pod: Document) -> str:
    return hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()[:16]


_KEEP_OFF = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def _deadline(spec: Spec) -> int | None:
    """Only a backstop, and only where the recorder's own limits have an end."""
    if spec.join_seconds is None or spec.max_duration_seconds is None:
        return None
    waits = spec.join_seconds + spec.rejoin_seconds
    # The storage's time and then the backup's; what nobody takes is held, for somebody to correct the destination.
    uploads = 2 * spec.upload_seconds + _HOLDING_SECONDS
    return int(waits + spec.max_duration_seconds + uploads) + _FINALISING_SECONDS
