"""The body of a webhook beside what a real LiveKit Egress has sent: the same text, made from our spec and status.

livekit_webhooks/ holds bodies of LiveKit Egress 1.14.1 and livekit-server 1.13.5. Of each a spec and a status are made as our operator would
have them; ids are ours, times are cut to what a status holds (microseconds; durations: milliseconds).
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from livekit import api

from egress_operator import webhook_event
from egress_operator.names import PARTICIPANT_KIND, TRACK_COMPOSITE_KIND, egress_id
from egress_operator.units import format_duration, format_time
from egress_operator.webhook_post import signature
from support.operator_builders import UID, recording

pytestmark = pytest.mark.unit

SENT = sorted((Path(__file__).parent / "livekit_webhooks").glob("*.json"))
KEYED = {"s3": {"credentialsSecretRef": {"name": "keys"}}}
FILE_TIMES = ("startedAt", "endedAt")


def cut(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with its times as exact as ours and our ids."""
    info = document["egressInfo"]
    lists = [*info.get("fileResults", ()), *info.get("segmentResults", ())]
    for place in (info, *lists, info.get("file") or info["segments"]):
        for name in (*FILE_TIMES, "updatedAt"):
            if name in place:
                place[name] = place[name][:-3] + "000"
        if "duration" in place:
            place["duration"] = str(round(int(place["duration"]) / 10**6) * 10**6)
    info["egressId"] = egress_id(UID)
    # LiveKit's is that of the sending, one event's after the turn of a second.
    document["createdAt"] = str(int(info["updatedAt"]) // 10**9)
    document["id"] = webhook_event.event_id(UID, 3)
    return document


def text(nanoseconds: str) -> str:
    return format_time(instant(nanoseconds))


def instant(nanoseconds: str) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(nanoseconds) // 1000)


def as_ours(document: dict[str, Any]) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return recording, status and entry that tell what the document tells."""
    info = document["egressInfo"]
    kind = TRACK_COMPOSITE_KIND if "trackComposite" in info else PARTICIPANT_KIND
    spec = json.loads(json.dumps(info.get("trackComposite") or info["participant"]))
    for output in (*spec.get("fileOutputs", ()), *spec.get("segmentOutputs", ())):
        if "s3" in output:
            output["s3"] = {
                name: value for name, value in output["s3"].items() if not str(value).startswith("{")
            }
            output["s3"] |= KEYED["s3"]
        else:
            output["pvc"] = {"claimName": "recordings"}
    status = {
        name: info[name]
        for name in ("roomId", "roomName", "error", "errorCode", "details", "manifestLocation")
        if name in info
    }
    segments = "segmentResults" in info
    results = [dict(result) for result in info["segmentResults" if segments else "fileResults"]]
    if segments:
        spec["fileOutputs"] = None
        names = ("playlistName", "livePlaylistName")
        status["resolved"] = {"segments": [{name: one[name] for name in names} for one in results]}
    else:
        status["resolved"] = {"filepaths": [result["filename"] for result in results]}
    if "startedAt" in results[0]:
        status["startedAt"] = text(results[0]["startedAt"])
    if "endedAt" in info:
        status["endedAt"] = text(info["endedAt"])
    if {"duration", "size"} & results[0].keys():
        status["segmentResults" if segments else "fileResults"] = [
            result
            | {name: text(result[name]) for name in FILE_TIMES if name in result}
            | {"duration": format_duration(int(result.get("duration", 0)) / 10**9)}
            | {name: int(result[name]) for name in ("size", "segmentCount") if name in result}
            for result in results
        ]
    made = recording(kind, **spec)
    entry = {
        "sequence": 3,
        "event": document["event"],
        "status": info.get("status", "EGRESS_STARTING"),
        "at": text(info["updatedAt"]),
        "details": info.get("details", ""),
    }
    created = instant(info["startedAt"])
    return replace(made, created=created), status, entry


@pytest.mark.parametrize("path", SENT, ids=lambda path: path.stem)
def test_the_body_is_the_text_that_livekit_sends(path: Path) -> None:
    sent = cut(json.loads(path.read_text()))

    body = webhook_event.body(*as_ours(sent))

    assert body.decode() == json.dumps(sent, ensure_ascii=False, separators=(",", ":"))


def test_livekits_own_receiver_verifies_and_reads_it() -> None:
    sent = cut(json.loads(next(path for path in SENT if "ended_complete" in path.name).read_text()))
    body = webhook_event.body(*as_ours(sent))
    token = signature("devkey", "secret" * 6, body)
    receiver = api.WebhookReceiver(api.TokenVerifier("devkey", "secret" * 6))

    event = receiver.receive(body.decode(), token)

    assert event.event == "egress_ended"
    assert event.egress_info.file_results[0].size == 26582598
    with pytest.raises(Exception, match="hash mismatch"):
        receiver.receive(body.decode().replace("egress_ended", "egress_endet"), token)


ENTRY = {
    "sequence": 1,
    "event": "egress_started",
    "status": "EGRESS_STARTING",
    "at": "2026-11-22T09:00:01.5Z",
}
ENDED = {"sequence": 4, "event": "egress_ended", "status": "EGRESS_COMPLETE", "at": "2026-11-22T10:00:00Z"}


def shown(status: dict[str, Any] | None = None, entry: dict[str, Any] = ENTRY, **spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(webhook_event.body(recording(**spec), status or {}, entry))
    return made


def test_the_request_shows_placeholders_instead_of_each_destinations_keys_and_no_other_receiver() -> None:
    named = {"credentialsSecretRef": {"name": "keys"}}
    outputs = [
        {"s3": {"bucket": "b", "assumeRoleExternalId": "hush", "proxy": {"url": "http://p"}, **named}},
        {"gcp": {"bucket": "b", **named}},
        {"azure": {"accountName": "acc", "containerName": "c", **named}},
        {"aliOSS": {"bucket": "bbb", "region": "cn-x", "endpoint": "https://o", **named}},
        {"filepath": "x", "s3": {"bucket": "open", "region": "eu"}},
        {"filepath": "y", "http": {"url": "https://h"}},
    ]
    body = shown(fileOutputs=outputs, webhooks=[{"url": "https://other/?token=hush"}])
    echoed = body["egressInfo"]["participant"]

    assert "hush" not in json.dumps(body)
    assert "keys" not in json.dumps(body)
    assert "webhooks" not in echoed
    assert echoed["fileOutputs"][0]["s3"]["secret"] == "{secret}"
    assert echoed["fileOutputs"][0]["s3"]["assumeRoleExternalId"] == "{external_id}"
    assert echoed["fileOutputs"][1]["gcp"] == {"credentials": "{credentials}", "bucket": "b"}
    assert echoed["fileOutputs"][2]["azure"]["accountKey"] == "{account_key}"
    assert echoed["fileOutputs"][3]["aliOSS"]["accessKey"] == "{access_key}"
    assert echoed["fileOutputs"][4] == {"filepath": "x", "s3": {"region": "eu", "bucket": "open"}}
    assert echoed["fileOutputs"][5] == {"filepath": "y"}


def test_what_livekit_does_not_know_of_a_spec_is_left_out() -> None:
    body = shown(
        advanced={"width": 640, "keyFrameInterval": 0.5, "videoCodec": "H264_HIGH"},
        rejoinTimeout="30s",
        limits={"maxParts": 3},
        storage={"s3": {"bucket": "shared"}},
        fileOutputs=[{"filepath": "x"}],
    )

    assert body["egressInfo"]["participant"] == {
        "roomName": "standup",
        "identity": "alice",
        "advanced": {"width": 640, "videoCodec": "H264_HIGH", "keyFrameInterval": 0.5},
        "fileOutputs": [{"filepath": "x", "s3": {"bucket": "shared"}}],
    }


def test_the_first_event_has_no_file_name_before_the_names_are_resolved() -> None:
    info = shown({"roomName": "standup"})["egressInfo"]

    assert "fileResults" not in info
    assert "status" not in info  # EGRESS_STARTING is 0, which Go's protojson leaves out


def test_every_file_of_a_recording_of_several_parts_is_told_at_its_end() -> None:
    parts = [
        {
            "part": 1,
            "output": 0,
            "filename": "a.mp4",
            "location": "file:///a.mp4",
            "duration": "2s",
            "size": 2,
        },
        {"part": 2, "output": 0, "filename": "a-p2.mp4", "location": "file:///a-p2.mp4", "size": 3},
    ]
    status = {"parts": parts, "fileResults": [parts[1]], "retryCount": 1, "endedAt": "2026-11-22T10:00:00Z"}
    info = shown(status, ENDED)["egressInfo"]

    assert [file["location"] for file in info["fileResults"]] == ["file:///a.mp4", "file:///a-p2.mp4"]
    assert info["file"]["filename"] == "a-p2.mp4"
    assert info["retryCount"] == 1


def test_an_unreadable_spec_and_a_secret_in_an_error_do_no_harm() -> None:
    status = {"error": "PUT https://u:hush@host failed", "errorCode": 400}
    info = json.loads(webhook_event.body(_unparsed(), status, {**ENDED, "status": "EGRESS_FAILED"}))[
        "egressInfo"
    ]

    assert info["error"] == "PUT https://***@host failed"
    assert "participant" not in info


def _unparsed() -> Any:
    return replace(recording(), spec=None, spec_error="unknown")


def test_the_id_belongs_to_the_event_and_not_to_its_sending() -> None:
    ids = {webhook_event.event_id(UID, sequence) for sequence in range(100)}

    assert len(ids) == 100
    assert all(one.startswith("EV_") and len(one) == 15 for one in ids)
    assert shown(entry=ENTRY)["id"] == shown(entry=ENTRY)["id"] == webhook_event.event_id(UID, 1)


def test_events_that_went_by_are_counted() -> None:
    body = json.loads(webhook_event.body(recording(), {}, ENTRY, missed=2))

    assert body["numDropped"] == 2
