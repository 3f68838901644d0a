"""Owns the body of a webhook: LiveKit's WebhookEvent with the EgressInfo that our status comes to. Pure.

Fields as livekit_egress.proto has them and as LiveKit Egress fills them (tests compare with what a real one sent). The
request is echoed without secrets: a destination's keys are LiveKit's own placeholders, other receivers are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import ParseDict
from livekit.protocol import egress, webhook

from egress_operator import names, protojson
from egress_operator.api import Spec
from egress_operator.errors import redact
from egress_operator.model import Recording
from egress_operator.names import TRACK_COMPOSITE_KIND
from egress_operator.units import parse_duration, parse_time
from egress_operator.webhook_log import ENDED
from egress_operator.webhook_model import Entry
from egress_recorder.contract import is_playlist, redact_url, resolve_url

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACEHOLDERS = {
    "s3": {"accessKey": "{access_key}", "secret": "{secret}"},
    "gcp": {"credentials": "{credentials}"},
    "azure": {"accountName": "{account_name}", "accountKey": "{account_key}"},
    "aliOSS": {"accessKey": "{access_key}", "secret": "{secret}"},
}
"""What LiveKit shows instead of each destination's keys (protocol: utils/redact.go)."""


def event_id(uid: str, sequence: int) -> str:
    """Return `EV_` and 12 characters: the same for the same event however often it is sent."""
    return "EV_" + names.short_hash(f"{uid}/webhook/{sequence}")


def body(recording: Recording, status: Mapping[str, Any], entry: Entry, *, missed: int = 0) -> bytes:
    """Return the JSON of one event as of when it happened. `missed`: events before it that were not sent."""
    made = webhook.WebhookEvent(
        event=entry["event"],
        egress_info=_info(recording, status, entry),
        id=event_id(recording.uid, entry["sequence"]),
        created_at=_nanoseconds(entry["at"]) // 10**9,
        num_dropped=missed,
    )
    return protojson.encode(made)


def _info(recording: Recording, status: Mapping[str, Any], entry: Entry) -> Any:
    ended = entry["event"] == ENDED
    info = egress.EgressInfo(
        egress_id=names.egress_id(recording.uid),
        room_id=status.get("roomId", ""),
        room_name=status.get("roomName", ""),
        source_type="EGRESS_SOURCE_TYPE_SDK",
        status=entry["status"],
        started_at=_time(recording.created),
        updated_at=_nanoseconds(entry["at"]),
        file_results=_files(status, ended=ended),
        segment_results=_segments(status, ended=ended),
        image_results=_images(status),
        stream_results=[_stream(result) for result in status.get("streamResults") or ()],
        details=entry.get("details", ""),
        retry_count=status.get("retryCount", 0),
    )
    if recording.spec is not None:
        _echo(info, recording.key.kind, recording.spec)
        _older_result(info, recording.spec)
    if ended:
        info.ended_at = _nanoseconds(status.get("endedAt", entry["at"]))
        info.error = redact(status.get("error", ""))
        info.error_code = status.get("errorCode", 0)
        info.details = redact(status.get("details", ""))
        info.manifest_location = status.get("manifestLocation", "")
        info.backup_storage_used = bool(status.get("backupStorageUsed"))
    return info


def _older_result(info: Any, spec: Spec) -> None:
    """LiveKit's deprecated `result`: where there is one output and nothing else (E:pkg/config/output.go)."""
    if spec.streams_alone:
        info.stream.info.extend(info.stream_results)
    elif len(spec.outputs) == 1 and not spec.stream_outputs:
        if info.file_results:
            info.file.CopyFrom(info.file_results[-1])
        elif info.segment_results:
            info.segments.CopyFrom(info.segment_results[-1])


def _files(status: Mapping[str, Any], *, ended: bool) -> list[Any]:
    """Return a FileInfo per file. Before the end LiveKit tells names and the first media's time, nothing that grows."""
    results = list(status.get("fileResults") or ())
    paths = (status.get("resolved") or {}).get("filepaths") or ()
    parts = [
        part
        for part in status.get("parts") or ()
        # Without a name: the recording has no files, or nobody has told it yet.
        if (paths or "filename" in part) and not is_playlist(part.get("filename", ""))
    ]
    if ended and len(parts) > len(results):
        # Several recorders: LiveKit's list has room for all files, the status' own only names the last one's.
        results = parts
    if ended and results:
        return [_file(result) for result in results]
    started = {"startedAt": status["startedAt"]} if "startedAt" in status else {}
    return [_file({"filename": path, **started}) for path in paths]


def _segments(status: Mapping[str, Any], *, ended: bool) -> list[Any]:
    """Return a SegmentsInfo per HLS output, as `_files`; LiveKit tells what grows with every event that follows it."""
    results = status.get("segmentResults") or ()
    if results:
        return [_segments_info(result, ended=ended) for result in results]
    started = {"startedAt": status["startedAt"]} if "startedAt" in status else {}
    names = (status.get("resolved") or {}).get("segments") or ()
    return [_segments_info({**one, **started}, ended=ended) for one in names]


def _segments_info(result: Mapping[str, Any], *, ended: bool) -> Any:
    return egress.SegmentsInfo(
        playlist_name=result.get("playlistName", ""),
        live_playlist_name=result.get("livePlaylistName", ""),
        duration=_duration(result) if ended else 0,
        size=result.get("size", 0),
        playlist_location=result.get("playlistLocation", ""),
        live_playlist_location=result.get("livePlaylistLocation", ""),
        segment_count=result.get("segmentCount", 0),
        started_at=_nanoseconds(result.get("startedAt")),
        ended_at=_nanoseconds(result.get("endedAt")) if ended else 0,
    )


def _images(status: Mapping[str, Any]) -> list[Any]:
    """Return an ImagesInfo per image output; before the first image its prefix alone."""
    results = status.get("imageResults") or (status.get("resolved") or {}).get("images") or ()
    return [
        egress.ImagesInfo(
            filename_prefix=result.get("filenamePrefix", ""),
            image_count=result.get("imageCount", 0),
            started_at=_nanoseconds(result.get("startedAt")),
            ended_at=_nanoseconds(result.get("endedAt")),
        )
        for result in results
    ]


def _file(result: Mapping[str, Any]) -> Any:
    return egress.FileInfo(
        filename=result.get("filename", ""),
        started_at=_nanoseconds(result.get("startedAt")),
        ended_at=_nanoseconds(result.get("endedAt")),
        duration=_duration(result),
        size=result.get("size", 0),
        location=result.get("location", ""),
    )


def _duration(result: Mapping[str, Any]) -> int:
    return round(parse_duration(result.get("duration", "0s")) * 1000) * 10**6


def _stream(result: Mapping[str, Any]) -> Any:
    return egress.StreamInfo(
        id=result.get("id", ""),
        url=result.get("url", ""),
        status=result["status"],
        started_at=_nanoseconds(result.get("startedAt")),
        ended_at=_nanoseconds(result.get("endedAt")),
        duration=round(parse_duration(result.get("duration", "0s")) * 1000) * 10**6,
        error=redact(result.get("error", "")),
        last_retry_at=_nanoseconds(result.get("lastRetryAt")),
        retries=result.get("retries", 0),
    )


def _stream_echo(output: dict[str, Any]) -> dict[str, Any]:
    """A URL of a Secret is not shown at all; of the others everything but the key."""
    shown = {name: value for name, value in output.items() if name == "protocol"}
    if output.get("urls"):
        shown["urls"] = [_masked(url) for url in output["urls"]]
    if output.get("destinations"):
        shown["destinations"] = [
            {"id": one["id"], **({"url": _masked(one["url"])} if "url" in one else {})}
            for one in output["destinations"]
        ]
    return shown


def _masked(url: str) -> str:
    try:
        return redact_url(resolve_url(url)[0])
    except ValueError:
        return "{...}"


def _echo(info: Any, kind: str, spec: Spec) -> None:
    """The request as LiveKit shows it. Fields and values of ours that LiveKit does not know are left out."""
    request = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"webhooks"})
    shared = request.get("storage") or {}
    for field, outputs in (
        ("fileOutputs", spec.file_outputs),
        ("segmentOutputs", spec.segment_outputs),
        ("imageOutputs", spec.image_outputs),
    ):
        request[field] = [
            _redacted({**({} if one.destinations else shared), **output})
            for output, one in zip(request[field], outputs, strict=True)
        ]
    if request.get("streamOutputs"):
        request["streamOutputs"] = [_stream_echo(output) for output in request["streamOutputs"]]
    target = info.track_composite if kind == TRACK_COMPOSITE_KIND else info.participant
    ParseDict(request, target, ignore_unknown_fields=True)


def _redacted(output: dict[str, Any]) -> dict[str, Any]:
    for kind, placeholders in _PLACEHOLDERS.items():
        place = output.get(kind)
        if not place:
            continue
        keyed = placeholders if "credentialsSecretRef" in place else {}
        external = {"assumeRoleExternalId": "{external_id}"} if "assumeRoleExternalId" in place else {}
        output[kind] = {**place, **keyed, **external}
    return output


def _nanoseconds(text: str | None) -> int:
    return _time(parse_time(text)) if text else 0


def _time(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000
