"""Owns the files of a recording in status: what recorders say of them, and what became of those without a record. Pure.

A later word replaces an earlier one, but not one that says more: a poll that comes late takes no file's end away, and
a file that died with its pod does not become one that ended in good order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from egress_operator import names
from egress_operator.api import Spec
from egress_operator.api_status import LIST_LIMIT
from egress_operator.errors import redact
from egress_operator.filenames import part_names
from egress_operator.model import Document, Observed, PodView
from egress_operator.units import format_duration, format_time, parse_duration, parse_time
from egress_operator.verdict import Verdict, end_of, fate_of, result_of
from egress_recorder.contract import (
    EndReason,
    FileResult,
    Gap,
    ImageResult,
    Part,
    Prior,
    Progress,
    SegmentResult,
)

KILLED = EndReason.KILLED.value
FULL = EndReason.MAX_FILE_DURATION.value
TEXT_LIMIT = 2000
"""Characters of one text that comes from outside."""
URL_LIMIT = 4096
"""Characters of a presigned location."""
_SAYS_NOTHING = frozenset({"Completed", "Error"})
"""Kubernetes' words for a container that ended by itself."""


def absorb(document: Document, parts: Sequence[Part], *, pod: PodView | None = None) -> None:
    """Merge in what a recorder says of its parts. `pod`: where it ran, when that is over."""
    _merge(document, [_part(part, pod) for part in parts])


def explain(document: Document, observed: Observed) -> None:
    """Say why recorders were interrupted whose record went with their container: then only polls told of their files' end.

    A kubelet that evicts may leave `ContainerStatusUnknown` and no message.
    """
    explained = []
    for entry in document.get("parts") or ():
        pod = _pod_of(entry, observed)
        # A file without a location is lost, and told so with its reason.
        if (
            pod is not None
            and _is_safe(document, entry)
            and "endReason" in entry
            and _is_silent(pod, observed)
        ):
            explained.append({**entry, "endReason": clean(_reason_with_pod(entry["endReason"], pod))})
    _merge(document, explained)


def _is_safe(document: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """It is in its storage, or there is no file: streams and images alone have none."""
    resolved = document.get("resolved") or {}
    # Of a file, too, the name may be unknown.
    files = "filename" in entry or "filepaths" in resolved or "segments" in resolved
    return "location" in entry or not files


def _pod_of(entry: Mapping[str, Any], observed: Observed) -> PodView | None:
    """A recorder may write several parts: a file belongs to the newest pod that is not newer than it."""
    older = [pod for pod in observed.pods if pod.part <= entry["part"]]
    # Of two pods of one part the one that was seen last.
    return max(reversed(older), key=lambda pod: pod.part, default=None)


def _is_silent(pod: PodView, observed: Observed) -> bool:
    """It has ended and left no record."""
    return pod.ended and result_of(pod, observed.recording.uid) is None


def _merge(document: Document, parts: Sequence[Document]) -> None:
    known = {(part["part"], part["output"]): part for part in document.get("parts") or ()}
    fresh = 0
    for part in parts:
        place = (part["part"], part["output"])
        fresh += place not in known
        before = known.get(place, {})
        known[place] = _merged(before, part, safe=_is_safe(document, part))
        if part["output"] == 0 and before.get("endReason") != FULL == known[place].get("endReason"):
            document["fullFiles"] = document.get("fullFiles", 0) + 1
    if known:
        document["partsCount"] = document.get("partsCount", 0) + fresh
        document["parts"] = [known[place] for place in sorted(known)][-LIST_LIMIT:]


def allowed(budget: int, facts: Mapping[str, Any]) -> int:
    """Return the highest number that a part may have: `limits.maxParts` counts failures, not files that were full."""
    return int(budget + facts.get("roomWaits", 0) + facts.get("fullFiles", 0))


def _merged(old: Document, new: Document, *, safe: bool) -> Document:
    known, said = str(old.get("endReason", "")), str(new.get("endReason", ""))
    if known and (not said or (known.startswith(KILLED) and not safe)):
        return {**new, **old}
    return {**old, **new, **({"endReason": known} if said and known.startswith(said) else {})}


def prior(facts: Mapping[str, Any]) -> Prior:
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
        progress=_prior_progress(facts.get("progress")),
        images=tuple(_prior_images(result) for result in facts.get("imageResults") or ()),
    )


def _prior_progress(progress: Mapping[str, Any] | None) -> Progress | None:
    """Return the counters of the status; what of it depends on parts is summed from these."""
    if not progress:
        return None
    return Progress(
        frames=progress.get("frames", 0),
        frames_dropped=progress.get("framesDropped", 0),
        frames_duplicated=progress.get("framesDuplicated", 0),
        silence_inserted=parse_duration(progress.get("silenceInserted", "0s")),
    )


def _prior_images(result: Mapping[str, Any]) -> ImageResult:
    return ImageResult(
        filename_prefix=result.get("filenamePrefix", ""),
        image_count=result.get("imageCount", 0),
        started_at=parse_time(result["startedAt"]) if "startedAt" in result else None,
        ended_at=parse_time(result["endedAt"]) if "endedAt" in result else None,
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


def begin(document: Document, part: int, spec: Spec | None) -> None:
    """Note the files of a recorder that is ready: it may be lost before its first answer tells them."""
    if not _has_part(document, part):
        _merge(document, _files(document, part, spec))


def _files(document: Document, part: int, spec: Spec | None) -> list[Document]:
    if spec is not None and not spec.has_files:
        return [{"part": part, "output": 0}]
    outputs = enumerate(part_names(document.get("resolved") or {}, part))
    return [without_empty({"part": part, "output": index, "filename": name}) for index, name in outputs]


def lose_part(
    observed: Observed, document: Document, verdict: Verdict, *, reason: str, now: datetime
) -> None:
    """Note the end of a part whose recorder left no record: its file is not known to be anywhere."""
    pod, part = verdict.pod, verdict.part
    ended = format_time((pod and pod.ended_at) or now)
    known = document.get("parts") or ()
    entries = [entry for entry in known if entry["part"] >= part and _is_lost(document, entry)]
    if not entries and _is_recording(document) and not _has_part(document, part):
        entries = _files(document, part, observed.recording.spec)
    _merge(document, [_lost(entry, ended, reason) for entry in entries])


def _is_lost(document: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Of a recorder without a record: also a file that was closed in good order and never uploaded is lost."""
    reason = str(entry.get("endReason", ""))
    return not reason or (not _is_safe(document, entry) and not reason.startswith(KILLED))


def lose_earlier_parts(document: Document, observed: Observed, *, newest: int, now: datetime) -> None:
    """Note the end of every file of an earlier recorder that left no record of it.

    The succession notes it as well; this also covers an operator that was killed between the next Job and the status.
    """
    started = {job.part for job in observed.jobs} | {pod.part for pod in observed.pods}
    if len(started) > 1:
        document["retryCount"] = max(document.get("retryCount", 0), len(started) - 1)
    for entry in [part for part in document.get("parts") or () if part["part"] < newest]:
        pod = _pod_of(entry, observed)
        silent = pod is not None and _is_silent(pod, observed)
        if not (_is_lost(document, entry) if silent else "endReason" not in entry):
            continue
        reason = fate_of(pod, now).message if pod else "its pod is gone and left no record"
        ended = format_time((pod and pod.ended_at) or now.replace(microsecond=0))
        _merge(document, [_lost(entry, ended, f"{KILLED}: {reason}")])


def _lost(entry: Document, ended: str, reason: str) -> Document:
    """A file that was closed keeps the time of its end."""
    return {"endedAt": ended, **entry, "endReason": clean(reason)}


def _has_part(document: Mapping[str, Any], part: int) -> bool:
    return any(entry["part"] >= part for entry in document.get("parts") or ())


def _is_recording(document: Mapping[str, Any]) -> bool:
    return any(
        condition["type"] == names.RECORDING and condition["status"] == "True"
        for condition in document.get("conditions") or ()
    )


def file_result(result: FileResult) -> Document:
    """Return LiveKit's FileInfo as it stands in status."""
    return without_empty(
        {
            "filename": clean(result.filename),
            "location": _location(result),
            "startedAt": result.started_at and format_time(result.started_at),
            "endedAt": result.ended_at and format_time(result.ended_at),
            "duration": format_duration(result.duration),
            "size": result.size,
        }
    )


def segment_result(result: SegmentResult) -> Document:
    """Return LiveKit's SegmentsInfo as it stands in status."""
    return without_empty(
        {
            "playlistName": clean(result.playlist_name),
            "playlistLocation": clean(result.playlist_location),
            "livePlaylistName": clean(result.live_playlist_name),
            "livePlaylistLocation": clean(result.live_playlist_location),
            "segmentCount": result.segment_count,
            "startedAt": result.started_at and format_time(result.started_at),
            "endedAt": result.ended_at and format_time(result.ended_at),
            "duration": format_duration(result.duration),
            "size": result.size,
        }
    )


def image_result(result: ImageResult, old: Mapping[str, Any] | None) -> Document:
    """Return LiveKit's ImagesInfo as it stands in status; never fewer images than `old`, what is there."""
    if old is not None and old.get("imageCount", 0) > result.image_count:
        return dict(old)
    return without_empty(
        {
            "filenamePrefix": clean(result.filename_prefix),
            "imageCount": result.image_count,
            "startedAt": result.started_at and format_time(result.started_at),
            "endedAt": result.ended_at and format_time(result.ended_at),
        }
    )


def _location(result: FileResult) -> str:
    """A presigned URL stays as it is: without its signature it would be of no use, and it was asked for."""
    if 0 < len(result.presigned) <= URL_LIMIT:
        return result.presigned
    return clean(result.location)


def _part(part: Part, pod: PodView | None) -> Document:
    shared = FileResult(**part.model_dump(include=set(FileResult.model_fields)))
    said = {"part": part.part, "output": part.output, **file_result(shared)}
    return without_empty(said | {"endReason": clean(_end_reason(part, pod))})


def _end_reason(part: Part, pod: PodView | None) -> str:
    """An interruption is a SIGTERM to the recorder; why it got one only the pod tells (Evicted …)."""
    return _reason_with_pod(part.end_reason, pod) if pod and part.part >= pod.part else part.end_reason


def _reason_with_pod(reason: str, pod: PodView) -> str:
    if reason != EndReason.INTERRUPTED.value or pod.end_reason in {"", *_SAYS_NOTHING}:
        return reason
    return f"{reason}: {end_of(pod).message}"


def without_empty(document: Document) -> Document:
    """Return a document without what is absent."""
    return {key: value for key, value in document.items() if value not in {None, ""}}


def clean(value: str) -> str:
    """Return a text from outside without secrets and of bounded length."""
    return redact(value)[:TEXT_LIMIT]
