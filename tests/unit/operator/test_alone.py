"""Recordings without any file: no storage is needed, parts are times, and the last stream to be removed ends them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from egress_operator import filenames, jobs, names, parts, storage, webhook_event
from egress_operator.model import CreateJob, Plan, Reason
from egress_operator.plan import plan
from egress_operator.settings import Settings
from egress_operator.units import format_time
from egress_recorder.contract import Part, Phase
from support.operator_builders import (
    NOW,
    at,
    ended_pod,
    job,
    observed,
    pod,
    recording,
    result,
    said,
    status,
)

pytestmark = pytest.mark.unit

URL = "rtmp://h/app/abcdefghijklm"
STREAMS: dict[str, Any] = {"fileOutputs": None, "streamOutputs": [{"urls": [URL]}]}
EMPTY: dict[str, Any] = {"fileOutputs": None, "streamOutputs": [{"urls": [], "protocol": "RTMP"}]}
IMAGES: dict[str, Any] = {"fileOutputs": None, "imageOutputs": [{"pvc": {"claimName": "c"}}]}
BARE = Part(part=1, filename="", started_at=at(-50), ended_at=at(-2), duration=48.0, end_reason="Interrupted")


def of(spec: dict[str, Any], phase: str = "", **fields: Any) -> Any:
    """A recording of a spec, as its status would be with its names resolved."""
    resolved = status()["resolved"]
    del resolved["filepaths"]
    known = status(phase, resolved={**resolved, "storage": []}, **fields) if phase else {}
    return recording(finalizer=True, status=known, **spec)


def message(made: Plan) -> tuple[str, str, str]:
    assert made.status is not None
    ready = next(one for one in made.status["conditions"] if one["type"] == names.READY)
    return made.status["phase"], ready["reason"], ready["message"]


def word(*told: Part, **fields: Any) -> str:
    return result(Phase.INTERRUPTED, parts=told, file_results=(), **fields).to_json()


def test_streams_alone_start_without_any_storage_and_their_recorder_is_told_of_none() -> None:
    one = of(STREAMS)
    made = plan(observed(of=one, storage=Reason("NoStorage", "no default storage")), now=NOW)

    assert any(isinstance(action, CreateJob) for action in made.before)
    assert made.status is not None
    assert made.status["resolved"]["storage"] == []
    config = jobs.recorder_config(one, made.status, part=1, settings=Settings())
    assert (config.every_output, config.streaming, config.has_files, config.streams_alone) == (
        (),
        True,
        False,
        True,
    )
    assert config.min_contract_version == 2
    assert storage.every_place(one.spec, made.status) == ()


def test_images_alone_need_their_storage_and_keep_the_names_of_the_first_part() -> None:
    lacks = {**IMAGES, "imageOutputs": [{}]}
    waits = plan(observed(of=of(lacks), storage=Reason("NoStorage", "no default storage")), now=NOW)
    assert message(waits)[:2] == ("Pending", "NoStorage")
    one = of({**IMAGES, "imageOutputs": [{"filenamePrefix": "{room_id}/a", "pvc": {"claimName": "c"}}]})
    facts = plan(observed(of=one), now=NOW).status
    assert facts is not None
    assert facts["resolved"]["images"] == [{"filenamePrefix": "RM_1/a"}]
    facts["roomId"] = "RM_2"
    filenames.resolve_names(one, facts)
    assert facts["resolved"]["images"] == [{"filenamePrefix": "RM_1/a"}]
    config = jobs.recorder_config(one, facts, part=1, settings=Settings())
    assert (len(config.images), config.has_files, config.streams_alone) == (1, False, False)


def test_a_list_without_streams_waits_without_a_pod_and_names_the_field() -> None:
    made = plan(observed(of=of(EMPTY)), now=NOW)

    assert message(made)[:2] == ("Pending", "InvalidStream")
    assert "spec.streamOutputs" in message(made)[2]
    assert made.before == ()


@pytest.mark.parametrize("beside", [{"fileOutputs": [{"pvc": {"claimName": "c"}}]}, IMAGES])
def test_beside_another_output_a_list_may_begin_empty(beside: dict[str, Any]) -> None:
    made = plan(observed(of=of({**EMPTY, **beside})), now=NOW)

    assert any(isinstance(action, CreateJob) for action in made.before)


def test_a_list_that_is_emptied_between_two_parts_ends_the_recording() -> None:
    one = of(EMPTY, "Active")
    gone = ended_pod(code=75, message=word(BARE))
    made = plan(observed(job(), gone, of=one), now=NOW)

    assert made.status is not None
    assert made.status["phase"] == "Complete"
    assert made.status["details"] == "End reason: All streams stopped"
    # Nobody knows what became of a recorder without a record.
    unknown = plan(observed(job(), ended_pod(code=137), of=one), now=NOW)
    assert message(unknown)[:2] == ("Failed", "ResultUnknown")


def test_a_list_that_is_emptied_before_any_media_is_waited_for_again_and_the_part_does_not_count() -> None:
    aborted = result(Phase.ABORTED, media=False, details="End reason: All streams stopped")
    seen = observed(job(), ended_pod(code=0, message=aborted.to_json()), of=of(EMPTY, "Starting"))
    made = plan(seen, now=NOW)

    assert message(made)[:2] == ("Pending", "InvalidStream")
    assert made.status is not None
    assert made.status["roomWaits"] == 1
    # Looked at again, it is still the one part: there is nothing to write.
    waiting = recording(finalizer=True, status=made.status, **EMPTY)
    again = plan(observed(job(), ended_pod(code=0, message=aborted.to_json()), of=waiting), now=at(30))
    assert again.status is None
    filled = recording(finalizer=True, status=made.status, **STREAMS)
    next_one = plan(observed(job(), ended_pod(code=0, message=aborted.to_json()), of=filled), now=at(60))
    assert [action.part for action in next_one.before if isinstance(action, CreateJob)] == [2]


def test_a_part_without_a_file_has_nothing_that_could_be_missing_at_a_stop() -> None:
    stopped = of({**STREAMS, "desiredState": "Stopped"}, "Active")
    made = plan(observed(job(), ended_pod(code=75, message=word(BARE)), of=stopped), now=NOW)

    assert message(made)[0] == "Complete"


def test_a_running_part_is_noted_at_once_and_its_end_when_it_leaves_no_record() -> None:
    made = plan(observed(job(), pod(ready=True), of=of(STREAMS, "Starting")), now=NOW)
    assert made.status is not None
    assert made.status["parts"] == [{"part": 1, "output": 0}]
    lost = plan(observed(job(), ended_pod(code=137), of=of(STREAMS, "Active")), now=NOW)
    assert lost.status is not None
    [part] = lost.status["parts"]
    assert part["endReason"].startswith("Process killed: pod ")
    assert part["endedAt"] == format_time(at(-1))


def test_a_part_whose_end_only_a_poll_told_is_not_lost_and_its_pod_says_why() -> None:
    gone = ended_pod(code=None, end_reason="Evicted")
    seen = observed(job(), gone, polled=said(parts=(BARE,)), polled_part=1, of=of(STREAMS, "Active"))
    made = plan(seen, now=NOW)

    assert made.status is not None
    [part] = made.status["parts"]
    assert part["endReason"].startswith("Interrupted: pod ")
    assert "Evicted" in part["endReason"]


def test_of_a_file_whose_name_nobody_knows_yet_the_loss_is_told() -> None:
    document: dict[str, Any] = {
        "resolved": {"filepaths": ["{track_source}.mp4"]},
        "parts": [{"part": 1, "output": 0, "endReason": "Interrupted"}],
    }
    assert parts._is_lost(document, document["parts"][0])
    assert not parts._is_lost({"resolved": {}}, document["parts"][0])


def test_a_later_part_knows_when_the_streams_were_sent() -> None:
    facts = {"parts": [{"part": 1, "output": 0, "startedAt": format_time(at(-50)), "duration": "48s"}]}
    [told] = parts.prior(facts).parts

    assert (told.filename, told.duration, told.started_at) == ("", 48.0, at(-50))


def body(spec: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    entry: Any = {
        "sequence": 4,
        "event": "egress_ended",
        "status": "EGRESS_COMPLETE",
        "at": "2026-11-22T10:00:00Z",
    }
    made: dict[str, Any] = json.loads(webhook_event.body(recording(**spec), document, entry))["egressInfo"]
    return made


RESULTS = [{"key": "0/a", "url": "rtmp://h/app/{abc...klm}", "status": "FINISHED"}]
TWO_PARTS = [{"part": number, "output": 0, "duration": "5s"} for number in (1, 2)]


def test_a_webhook_tells_streams_alone_as_livekit_does_and_no_file() -> None:
    info = body(STREAMS, {"streamResults": RESULTS, "parts": TWO_PARTS})

    assert info["streamResults"][0]["url"] == RESULTS[0]["url"]
    # LiveKit's older field, where there is no other output.
    assert info["stream"]["info"] == info["streamResults"]
    assert not info.get("fileResults")
    assert not {"file", "segments", "manifestLocation"} & {key for key, value in info.items() if value}


def test_images_beside_streams_have_no_older_field() -> None:
    images = [{"filenamePrefix": "a", "imageCount": 3}]
    info = body({**STREAMS, **IMAGES}, {"imageResults": images, "streamResults": RESULTS, "parts": TWO_PARTS})

    assert info["imageResults"][0]["imageCount"] == "3"
    assert not {"file", "segments", "stream"} & info.keys()
    assert not info.get("fileResults")


def test_a_stream_beside_hls_leaves_the_older_field_out_as_livekit_does() -> None:
    spec = {**STREAMS, "segmentOutputs": [{"pvc": {"claimName": "c"}}]}
    segments = {"segmentResults": [{"playlistName": "a.m3u8"}], "streamResults": RESULTS}

    assert "segments" not in body(spec, segments)
    assert "segments" in body({**spec, "streamOutputs": None}, segments)
