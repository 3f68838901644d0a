"""Owns what the evidence comes to: pods' termination messages and the recorder's endpoint merged into status. Pure.

Merging is idempotent (by output and part, by start of a gap), so that the same evidence may be seen again and again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest

from egress_operator import names, parts, streams
from egress_operator.api import Spec, TrackCompositeEgressSpec
from egress_operator.api_status import LIST_LIMIT
from egress_operator.location import location_of
from egress_operator.model import Document, Observed, PodView
from egress_operator.parts import clean, file_result, image_result, segment_result, without_empty
from egress_operator.units import format_duration, format_time, parse_duration
from egress_operator.verdict import result_of
from egress_recorder.contract import (
    DEFAULT_PRESET,
    PRESETS,
    Encoding,
    Gap,
    Progress,
    RecorderStatus,
    Track,
    wire_form,
)


def encoding_of(spec: Spec) -> Encoding:
    """Return the encoding that preset or advanced come to."""
    if spec.advanced is None:
        return PRESETS[spec.preset or DEFAULT_PRESET]
    return spec.advanced.encoding()


def gather(observed: Observed) -> Document:
    """Return the old status with everything merged in that pods and the recorder's endpoint say."""
    recording = observed.recording
    # A status is JSON: this copy costs a tenth of deepcopy's.
    document: Document = json.loads(json.dumps(recording.status))
    document["egressId"] = names.egress_id(recording.uid)
    if recording.spec is not None:
        document["roomName"] = recording.spec.room_name
        document.setdefault("resolved", _resolved(recording.spec, recording.created))
    if observed.polled is not None:
        _absorb(document, observed.polled, pod=None)
    for pod in sorted(observed.pods, key=lambda pod: pod.part):
        result = result_of(pod, recording.uid)
        if result is not None:
            _absorb(document, result, pod=pod)
    parts.explain(document, observed)
    if location := location_of(document):
        document["location"] = location
    return document


def _resolved(spec: Spec, requested_at: datetime) -> Document:
    resolved: Document = {
        # The creation time, not "now": an operator that is killed before this is written names the files alike.
        "requestedAt": format_time(requested_at),
        "encoding": wire_form(encoding_of(spec)),
    }
    if spec.advanced is None:
        resolved["preset"] = spec.preset or DEFAULT_PRESET
    if isinstance(spec, TrackCompositeEgressSpec):
        resolved["tracks"] = "+".join(track for track in (spec.audio_track_id, spec.video_track_id) if track)
    return resolved


def _absorb(document: Document, news: RecorderStatus, *, pod: PodView | None) -> None:
    if news.room_id:
        document["roomId"] = news.room_id
    if news.started_at:
        # The recorder saw the media; what readiness made us write before was only near it.
        document["startedAt"] = format_time(news.started_at)
    if news.manifest_location:
        document["manifestLocation"] = clean(news.manifest_location)
    if news.backup_storage_writes:
        document["backupStorageUsed"] = True
    if news.tracks:
        document["tracks"] = [_track(track) for track in news.tracks[:LIST_LIMIT]]
    if news.file_results:
        document["fileResults"] = [file_result(result) for result in news.file_results[:10]]
    if news.segment_results:
        document["segmentResults"] = [segment_result(result) for result in news.segment_results[:10]]
    if news.image_results:
        # A word that comes late takes nothing back.
        document["imageResults"] = [
            image_result(result, old)
            for result, old in zip_longest(
                news.image_results[:10], (document.get("imageResults") or ())[: len(news.image_results)]
            )
        ]
    streams.absorb(document, news.stream_results)
    _absorb_progress(document, news.progress)
    parts.absorb(document, news.parts, pod=pod)
    _absorb_gaps(document, news.gaps)


def _absorb_progress(document: Document, progress: Progress) -> None:
    known = parse_duration((document.get("progress") or {}).get("duration", "0s"))
    if progress.duration < known or progress == Progress():
        return
    document["progress"] = {
        "duration": format_duration(progress.duration),
        "bytesWritten": progress.bytes_written,
        "bytesUploaded": progress.bytes_uploaded,
        "frames": progress.frames,
        "framesDropped": progress.frames_dropped,
        "framesDuplicated": progress.frames_duplicated,
        "silenceInserted": format_duration(progress.silence_inserted),
        "degraded": format_duration(progress.degraded),
        **({"uploadsAfterEnd": True} if progress.uploads_after_end else {}),
    }


def _absorb_gaps(document: Document, gaps: Sequence[Gap]) -> None:
    known = {gap["startedAt"]: gap for gap in document.get("gaps") or ()}
    total = parse_duration(document.get("gapsDuration", "0s"))
    for gap in gaps:
        start = format_time(gap.started_at)
        old = known.get(start)
        total += gap.duration - (parse_duration(old["duration"]) if old else 0.0)
        document["gapsCount"] = document.get("gapsCount", 0) + (old is None)
        known[start] = {
            "startedAt": start,
            "duration": format_duration(gap.duration),
            "reason": clean(gap.reason),
        }
    if gaps:
        document["gapsDuration"] = format_duration(total)
        document["gaps"] = [known[start] for start in sorted(known)][-LIST_LIMIT:]


def _track(track: Track) -> Document:
    document = without_empty(wire_form(track))
    # Whose track it was is in the manifest; the status has LiveKit's fields of a track.
    document.pop("identity", None)
    return document
