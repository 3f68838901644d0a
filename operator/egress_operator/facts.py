"""Owns what the evidence comes to: pods' termination messages and the recorder's endpoint merged into status. Pure.

Merging is idempotent (by output and part, by start of a gap), so that the same evidence may be seen again and again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

from egress_operator import names
from egress_operator.api import Spec, TrackCompositeEgressSpec
from egress_operator.api_status import LIST_LIMIT
from egress_operator.errors import redact
from egress_operator.model import Document, Observed, PodView
from egress_operator.units import format_duration, format_time, parse_duration
from egress_operator.verdict import fate_of, result_of
from egress_recorder.contract import (
    DEFAULT_PRESET,
    PRESETS,
    Encoding,
    EndReason,
    FileResult,
    Gap,
    Part,
    Progress,
    RecorderStatus,
    Track,
    wire_form,
)

KILLED = EndReason.KILLED.value
TEXT_LIMIT = 2000
"""Characters of one text that comes from outside."""


def encoding_of(spec: Spec) -> Encoding:
    """Return the encoding that preset or advanced come to."""
    if spec.advanced is None:
        return PRESETS[spec.preset or DEFAULT_PRESET]
    return Encoding(**spec.advanced.model_dump(exclude_none=True))


def gather(observed: Observed) -> Document:
    """Return the old status with everything merged in that pods and the recorder's endpoint say."""
    recording = observed.recording
    document: Document = deepcopy(dict(recording.status))
    document["egressId"] = names.egress_id(recording.uid)
    if recording.spec is not None:
        document["roomName"] = recording.spec.room_name
        document.setdefault("resolved", _resolved(recording.spec, recording.created))
    if observed.polled is not None:
        _absorb(document, observed.polled)
    for pod in sorted(observed.pods, key=lambda pod: pod.part):
        result = result_of(pod, recording.uid)
        if result is not None:
            _absorb(document, result)
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


def _absorb(document: Document, news: RecorderStatus) -> None:
    if news.room_id:
        document["roomId"] = news.room_id
    if news.started_at:
        # The recorder saw the media; what readiness made us write before was only near it.
        document["startedAt"] = format_time(news.started_at)
    if news.manifest_location:
        document["manifestLocation"] = clean(news.manifest_location)
    if news.tracks:
        document["tracks"] = [_track(track) for track in news.tracks[:LIST_LIMIT]]
    if news.file_results:
        document["fileResults"] = [_file(result) for result in news.file_results[:10]]
    _absorb_progress(document, news.progress)
    _absorb_parts(document, [_part(part) for part in news.parts])
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
    }


def _absorb_parts(document: Document, parts: Sequence[Document]) -> None:
    known = {(part["part"], part["output"]): part for part in document.get("parts") or ()}
    fresh = 0
    for part in parts:
        place = (part["part"], part["output"])
        fresh += place not in known
        old = known.get(place, {})
        # An ended part is the truth: a late poll must not take its end away.
        known[place] = {**part, **old} if "endReason" in old and "endReason" not in part else {**old, **part}
    if known:
        document["partsCount"] = document.get("partsCount", 0) + fresh
        document["parts"] = [known[place] for place in sorted(known)][-LIST_LIMIT:]


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


def lose_part(document: Document, *, pod: PodView | None, part: int, reason: str, now: datetime) -> None:
    """Note the end of a part whose recorder left no record: its file is not known to be anywhere."""
    ended = format_time((pod and pod.ended_at) or now)
    entries = [
        entry for entry in document.get("parts") or () if entry["part"] >= part and "endReason" not in entry
    ]
    if not entries and _is_recording(document) and not _has_part(document, part):
        outputs = (document.get("resolved") or {}).get("filepaths") or []
        entries = [{"part": part, "output": index, "filename": path} for index, path in enumerate(outputs)]
    _absorb_parts(document, [{**entry, "endedAt": ended, "endReason": clean(reason)} for entry in entries])


def lose_earlier_parts(document: Document, observed: Observed, *, newest: int, now: datetime) -> None:
    """Note the end of every file of an earlier recorder that left no record of it.

    The succession notes it as well; this also covers an operator that was killed between the next Job and the status.
    """
    started = {job.part for job in observed.jobs} | {pod.part for pod in observed.pods}
    if len(started) > 1:
        document["retryCount"] = max(document.get("retryCount", 0), len(started) - 1)
    pods = {pod.part: pod for pod in observed.pods}
    for entry in [
        part for part in document.get("parts") or () if part["part"] < newest and "endReason" not in part
    ]:
        # A recorder may write several parts: the file belongs to the newest Job that is not newer than it.
        pod = pods.get(max((part for part in pods if part <= entry["part"]), default=0))
        reason = fate_of(pod, now).message if pod else "its pod is gone and left no record"
        ended = format_time((pod and pod.ended_at) or now.replace(microsecond=0))
        _absorb_parts(document, [{**entry, "endedAt": ended, "endReason": clean(f"{KILLED}: {reason}")}])


def _has_part(document: Mapping[str, Any], part: int) -> bool:
    return any(entry["part"] >= part for entry in document.get("parts") or ())


def _is_recording(document: Mapping[str, Any]) -> bool:
    return any(
        condition["type"] == names.RECORDING and condition["status"] == "True"
        for condition in document.get("conditions") or ()
    )


def _file(result: FileResult) -> Document:
    return _without_empty(
        {
            "filename": clean(result.filename),
            "location": clean(result.location),
            "startedAt": result.started_at and format_time(result.started_at),
            "endedAt": result.ended_at and format_time(result.ended_at),
            "duration": format_duration(result.duration),
            "size": result.size,
        }
    )


def _part(part: Part) -> Document:
    shared = FileResult(**part.model_dump(include=set(FileResult.model_fields)))
    return _without_empty(
        {"part": part.part, "output": part.output, **_file(shared), "endReason": clean(part.end_reason)}
    )


def _track(track: Track) -> Document:
    return _without_empty(wire_form(track))


def _without_empty(document: Document) -> Document:
    return {key: value for key, value in document.items() if value not in {None, ""}}


def clean(value: str) -> str:
    """Return a text from outside without secrets and of bounded length."""
    return redact(value)[:TEXT_LIMIT]
