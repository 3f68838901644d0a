"""Owns what a spec's streams come to: the recorder's list of them, and their results in status. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from egress_operator.api import Spec
from egress_operator.api_streams import SecretKeyRef
from egress_operator.model import Document, Observed
from egress_operator.parts import clean, without_empty
from egress_operator.units import format_duration, format_time, parse_time
from egress_recorder.contract import StreamResult, StreamTarget, redact_url, resolve_url

RESULTS_LIMIT = 50
STREAMS_LIMIT = 10
"""At a time; each is a process of some 15 MB in the recorder's pod."""
ReadSecret = Callable[[SecretKeyRef], str]
"""Returns the value of a Secret's key. Raises LookupError with a sentence."""


def wanted(spec: Spec) -> bool:
    """Return True when streams may be wanted, now or later."""
    return bool(spec.stream_outputs)


def secret_refs(spec: Spec) -> list[SecretKeyRef]:
    """Return the references whose values `targets` needs."""
    return [
        one.url_secret_ref
        for output in spec.stream_outputs or ()
        for one in output.destinations or ()
        if one.url_secret_ref is not None
    ]


def targets(spec: Spec, read: ReadSecret) -> tuple[StreamTarget, ...]:
    """Return the streams that a spec asks for; one that cannot be says so in its `error` instead of having a URL."""
    found: dict[str, StreamTarget] = {}
    for index, output in enumerate(spec.stream_outputs or ()):
        protocol = output.protocol or ""
        for url in dict.fromkeys(output.urls or ()):
            target = _target(index, "", url, protocol)
            key = _free(found, target.key)
            found[key] = replace(target, key=key)
        for one in output.destinations or ():
            try:
                text = read(one.url_secret_ref) if one.url_secret_ref else one.url or ""
            except LookupError as problem:
                target = _refused(index, one.id, str(problem.args[0]))
            else:
                target = _target(index, one.id, text, protocol)
            found[target.key] = target
    return tuple(
        target
        if number < STREAMS_LIMIT
        else _refused(
            target.output, target.id or target.key, f"there are {STREAMS_LIMIT} streams already: remove one"
        )
        for number, target in enumerate(found.values())
    )


def _free(taken: Mapping[str, StreamTarget], key: str) -> str:
    """Return a key of its own: two URLs may look alike when theirs are masked."""
    return next(
        name for name in (key, *(f"{key}#{number}" for number in range(2, 1000))) if name not in taken
    )


def _target(output: int, name: str, text: str, protocol: str) -> StreamTarget:
    try:
        url, kind = resolve_url(text, protocol=protocol)
    except ValueError as problem:
        return _refused(output, name, str(problem))
    return StreamTarget(
        key=f"{output}/{name or redact_url(url)}", url=url, protocol=kind, id=name, output=output
    )


def _refused(output: int, name: str, why: str) -> StreamTarget:
    where = f"streamOutputs[{output}]" + (f", destination {name}" if name else "")
    return StreamTarget(
        key=f"{output}/{name}", url="", protocol="RTMP", id=name, output=output, error=f"{where}: {why}"
    )


def is_outdated(observed: Observed, facts: Mapping[str, Any]) -> bool:
    """Return True when the running recorder's list may be an older one than the spec's."""
    spec = observed.recording.spec
    if spec is None or not wanted(spec):
        return False
    written = (facts.get("resolved") or {}).get("streamsGeneration", 0)
    return bool(observed.recording.generation > written)


# ---- status -----------------------------------------------------------------------------------------------------


def absorb(document: Document, results: Sequence[StreamResult]) -> None:
    """Take what a recorder says of all streams."""
    if results:
        document["streamResults"] = [_shown(result) for result in results[-RESULTS_LIMIT:]]


def _shown(result: StreamResult) -> Document:
    return without_empty(
        {
            "key": clean(result.key),
            "id": clean(result.id),
            "output": result.output,
            "url": clean(result.url),
            "status": result.status,
            "startedAt": result.started_at and format_time(result.started_at),
            "endedAt": result.ended_at and format_time(result.ended_at),
            "duration": format_duration(result.duration) if result.ended_at else "",
            "error": clean(result.error),
            "retries": result.retries or None,
            "lastRetryAt": result.last_retry_at and format_time(result.last_retry_at),
        }
    )


def prior(facts: Mapping[str, Any]) -> tuple[StreamResult, ...]:
    """Return the results as a later part's recorder is told them."""

    def time(entry: Mapping[str, Any], name: str) -> datetime | None:
        return parse_time(entry[name]) if name in entry else None

    return tuple(
        StreamResult(
            key=entry["key"],
            id=entry.get("id", ""),
            output=entry.get("output", 0),
            url=entry.get("url", ""),
            status=entry["status"],
            started_at=time(entry, "startedAt"),
            ended_at=time(entry, "endedAt"),
            error=entry.get("error", ""),
            retries=entry.get("retries", 0),
            last_retry_at=time(entry, "lastRetryAt"),
        )
        for entry in facts.get("streamResults") or ()
    )


def settle(document: Document, now: datetime) -> None:
    """The recording is over: what still seems to run has finished, also where no recorder could say so."""
    for entry in document.get("streamResults") or ():
        if entry["status"] == "ACTIVE":
            ended = now.replace(microsecond=0)
            entry |= {"status": "FINISHED", "endedAt": format_time(ended)}
            if "startedAt" in entry:
                seconds = (ended - parse_time(entry["startedAt"])).total_seconds()
                entry["duration"] = format_duration(max(0.0, seconds))


def states(document: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return what of the results is worth a write and a webhook at once; retries are numbers."""
    return [
        (entry["key"], entry["status"], "startedAt" in entry) for entry in document.get("streamResults") or ()
    ]
