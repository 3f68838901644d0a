"""Streams of a spec: what the recorder is told, what status and webhooks tell of them, when the list is written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from egress_operator import facts, streams, webhook_event, webhook_log
from egress_operator.api_streams import SecretKeyRef
from egress_operator.model import Plan, WriteStreams
from egress_operator.plan import plan
from egress_operator.status import is_worth_writing
from egress_recorder.contract import RecorderStatus, StreamResult
from support.operator_builders import NOW as LATER
from support.operator_builders import job, observed, pod, recording

pytestmark = pytest.mark.unit

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
KEY = "abcdefghijklm"
SECRETS = {"venue": "srt://venue:9000?streamid=abcdefghijklm"}


def read(ref: SecretKeyRef) -> str:
    if ref.key not in SECRETS:
        raise LookupError(f"Secret {ref.name} (urlSecretRef) has no key {ref.key}: add it")
    return SECRETS[ref.key]


def spec(*outputs: dict[str, Any]) -> Any:
    made = recording(streamOutputs=list(outputs)).spec
    assert made is not None
    return made


def ref(name: str) -> dict[str, Any]:
    return {"id": name, "urlSecretRef": {"name": "urls", "key": name}}


def test_a_spec_becomes_the_recorders_list_with_keys_that_hold_no_secret() -> None:
    found = streams.targets(
        spec(
            {"urls": [f"rtmp://h/app/{KEY}", f"mux://{KEY}"]},
            {"protocol": "SRT", "destinations": [ref("venue"), {"id": "b", "url": "srt://b:1"}]},
        ),
        read,
    )

    assert [(one.key, one.url, one.protocol, one.id, one.output) for one in found] == [
        ("0/rtmp://h/app/{abc...klm}", f"rtmp://h/app/{KEY}", "RTMP", "", 0),
        (
            "0/rtmps://global-live.mux.com:443/app/{abc...klm}",
            f"rtmps://global-live.mux.com:443/app/{KEY}",
            "RTMP",
            "",
            0,
        ),
        ("1/venue", SECRETS["venue"], "SRT", "venue", 1),
        ("1/b", "srt://b:1", "SRT", "b", 1),
    ]


def test_urls_that_look_alike_without_their_keys_have_keys_of_their_own() -> None:
    alike = [f"rtmp://h/app/abc{middle}xyz" for middle in ("111", "222", "333")]
    found = streams.targets(spec({"urls": [*alike, alike[0]]}), read)

    assert [one.url for one in found] == alike
    assert [one.key.rpartition("}")[2] for one in found] == ["", "#2", "#3"]


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            {"destinations": [ref("gone")]},
            "streamOutputs[0], destination gone: Secret urls (urlSecretRef) has no key",
        ),
        ({"protocol": "RTMP", "destinations": [ref("venue")]}, "does not fit protocol RTMP"),
    ],
)
def test_a_stream_that_cannot_be_says_why_and_leaves_the_others(
    output: dict[str, Any], sentence: str
) -> None:
    found = streams.targets(spec(output, {"urls": [f"rtmp://h/app/{KEY}"]}), read)

    assert sentence in found[0].error
    assert not found[0].url
    assert KEY not in found[0].error
    assert not found[1].error


def test_more_streams_than_a_pod_can_feed_are_refused_one_by_one() -> None:
    many = [f"rtmp://h/app/key-number-{number}" for number in range(6)]
    found = streams.targets(spec({"urls": many}, {"urls": [f"{url}-b" for url in many]}), read)

    assert [bool(one.error) for one in found] == [False] * 10 + [True] * 2
    assert "there are 10 streams already" in found[-1].error


# ---- status and webhooks --------------------------------------------------------------------------------------------

RESULT = StreamResult(
    key="0/venue",
    id="venue",
    url="srt://venue:9000?streamid={abc...klm}",
    status="FAILED",
    started_at=NOW,
    ended_at=NOW.replace(second=5),
    duration=5.0,
    error="gone",
    retries=2,
    last_retry_at=NOW.replace(second=3),
    dropped=7,
)


def absorbed(*results: StreamResult) -> dict[str, Any]:
    document: dict[str, Any] = {}
    streams.absorb(document, results)
    return document


def test_a_result_in_status_tells_a_later_part_the_same() -> None:
    [prior] = streams.prior(absorbed(RESULT))

    assert prior == RESULT.model_copy(update={"dropped": 0, "duration": 0.0})


def test_what_still_runs_has_finished_when_the_recording_is_over() -> None:
    document = absorbed(StreamResult(key="a", url="u", started_at=NOW), RESULT)
    streams.settle(document, NOW.replace(second=9))

    assert [(one["status"], one["duration"]) for one in document["streamResults"]] == [
        ("FINISHED", "9s"),
        ("FAILED", "5s"),
    ]


def test_a_stream_that_fails_is_written_and_told_at_once_and_a_retry_waits() -> None:
    running = StreamResult(key="0/venue", id="venue", url="u", started_at=NOW)
    retried = running.model_copy(update={"retries": 1, "last_retry_at": NOW})
    base = {"phase": "Active", "updatedAt": "2026-11-22T09:00:00Z"}
    before, again, failed = ({**base, **absorbed(one)} for one in (running, retried, RESULT))

    assert not is_worth_writing(before, again, NOW)
    assert is_worth_writing(before, failed, NOW)
    assert not list(webhook_log._news(before, again, first=False))
    assert list(webhook_log._news(before, failed, first=False)) == [("egress_updated", "EGRESS_ACTIVE")]


def test_the_webhook_has_livekits_stream_info_and_no_key() -> None:
    one = recording(
        streamOutputs=[{"urls": [f"rtmp://h/app/{KEY}"]}, {"destinations": [ref("venue")]}],
        fileOutputs=[{"filepath": "a", "pvc": {"claimName": "c"}}],
    )
    entry = {
        "sequence": 1,
        "event": "egress_updated",
        "status": "EGRESS_ACTIVE",
        "at": "2026-11-22T09:00:00Z",
    }
    text = webhook_event.body(one, absorbed(RESULT), entry)
    info = json.loads(text)["egressInfo"]

    assert KEY not in text.decode()
    [stream] = info["streamResults"]
    assert stream == {
        "id": "venue",
        "url": RESULT.url,
        "startedAt": "1795338000000000000",
        "endedAt": "1795338005000000000",
        "duration": "5000000000",
        "status": "FAILED",
        "error": "gone",
        "lastRetryAt": "1795338003000000000",
        "retries": 2,
    }
    assert info["participant"]["streamOutputs"] == [
        {"urls": ["rtmp://h/app/{abc...klm}"]},
        {"destinations": [{"id": "venue"}]},
    ]


def test_a_recorders_word_of_its_streams_comes_into_status() -> None:
    one = recording(streamOutputs=[{"urls": []}])
    polled = RecorderStatus(egress_id="EG_1", stream_results=(RESULT,))

    document = facts.gather(observed(of=one, polled=polled))

    assert document["streamResults"][0]["retries"] == 2


def test_the_list_is_outdated_when_the_spec_is_newer_than_what_was_written() -> None:
    one = recording(streamOutputs=[{"urls": []}])
    seen = observed(of=one)

    assert streams.is_outdated(seen, {"resolved": {"streamsGeneration": one.generation - 1}})
    assert not streams.is_outdated(seen, {"resolved": {"streamsGeneration": one.generation}})
    assert not streams.is_outdated(observed(of=recording()), {"resolved": {}})


def test_a_running_recorder_is_told_a_changed_list_once() -> None:
    def made(written: int) -> Plan:
        status = {"phase": "Active", "resolved": {"streamsGeneration": written}}
        one = recording(streamOutputs=[{"urls": []}], status=status, generation=2, finalizer=True)
        seen = observed(of=one, jobs=(job(),), pods=(pod(ready=True),))
        return plan(seen, now=LATER)

    assert WriteStreams(2) in made(1).before
    assert made(1).status is not None
    assert made(1).status["resolved"]["streamsGeneration"] == 2
    assert WriteStreams(2) not in made(2).before
