"""`imageOutputs` on the operator's side: names, destinations, the recorder's configuration, status, webhook bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from egress_operator import facts, filenames, jobs, parts, storage, webhook_event
from egress_operator.api import parse_spec
from egress_operator.names import PARTICIPANT_KIND
from egress_operator.settings import Settings
from egress_recorder.contract import ImageResult
from support.operator_builders import ABSENT, at, observed, recording, said, status

pytestmark = pytest.mark.unit

PVC = {"pvc": {"claimName": "recordings"}}
S3 = {"s3": {"bucket": "b", "credentialsSecretRef": {"name": "keys"}}}


def resolved(*outputs: dict[str, Any], **spec: Any) -> tuple[Any, dict[str, Any]]:
    one = recording(imageOutputs=list(outputs), **spec)
    document = facts.gather(observed(of=one, room=ABSENT))
    document["roomId"] = "RM_1"
    document["resolved"]["url"] = "ws://livekit"
    filenames.resolve_names(one, document)
    document["resolved"]["storage"] = storage.resolve(one.spec, None)
    filenames.refuse_same_names(one.spec, document)
    return one, document


def test_the_recorder_is_told_of_each_image_output_with_livekits_defaults() -> None:
    one, document = resolved(
        PVC,
        {
            "captureInterval": 2,
            "width": 320,
            "filenamePrefix": "stills/{publisher_identity}",
            "filenameSuffix": "IMAGE_SUFFIX_TIMESTAMP",
            "imageCodec": "IC_WEBP",
            "disableManifest": True,
            **S3,
        },
    )
    config = jobs.recorder_config(one, document, part=1, settings=Settings())
    plain, other = config.images
    assert plain.model_dump(exclude={"destination"}) == {
        "prefix": "standup-2026-11-22T090000",
        "codec": "JPEG",
        "interval": 10,
        "width": 0,
        "height": 0,
        "suffix": "IMAGE_SUFFIX_INDEX",
        "disable_manifest": False,
        "backup": None,
    }
    assert (other.prefix, other.codec, other.interval, other.width) == ("stills/alice", "WEBP", 2, 320)
    assert (other.suffix, other.disable_manifest) == ("IMAGE_SUFFIX_TIMESTAMP", True)
    assert (plain.destination.kind, other.destination.kind) == ("pvc", "s3")
    assert config.min_contract_version == 2
    assert [output.filepath for output in config.outputs] == ["standup/alice.mp4"]


def test_an_output_without_a_destination_has_the_specs() -> None:
    _, document = resolved({}, fileOutputs=[{}], storage=S3)
    assert [entry["origin"] for entry in document["resolved"]["storage"]] == ["spec.storage"] * 2
    with pytest.raises(ValueError, match=r"spec.imageOutputs\[0\] has no destination"):
        resolved({})


def test_two_outputs_of_one_prefix_are_refused_unless_they_go_elsewhere() -> None:
    with pytest.raises(
        ValueError, match=r"spec.imageOutputs\[1\].filenamePrefix gives standup-.*imageOutputs\[0\]"
    ):
        resolved(PVC, PVC)
    resolved(PVC, S3)


def test_the_numbers_of_outputs_are_files_then_segments_then_images() -> None:
    other = {"pvc": {"claimName": "other"}}
    one, document = resolved(
        {"filenamePrefix": "still", **S3}, segmentOutputs=[{"playlistName": "live", **other}]
    )
    assert [one.spec.name_of(index) for index in range(3)] == [
        "spec.fileOutputs[0]",
        "spec.segmentOutputs[0]",
        "spec.imageOutputs[0]",
    ]
    config = jobs.recorder_config(one, document, part=1, settings=Settings())
    assert [output.filepath for output in config.every_output] == ["standup/alice.mp4", "live.m3u8", "still"]
    assert [output.destination.kind for output in config.every_output] == ["pvc", "pvc", "s3"]
    assert config.name_of(2) == "imageOutputs[0]"


def test_a_recording_that_an_operator_without_images_began_goes_on_without_them() -> None:
    one, document = resolved(PVC)
    known = document["resolved"]
    del known["images"]
    known["storage"] = known["storage"][:1]
    config = jobs.recorder_config(one, document, part=2, settings=Settings())
    assert config.images == ()
    assert [output.filepath for output in config.outputs] == ["standup/alice.mp4"]
    jobs.job_manifest(one, Settings(), part=2, facts=document)


def test_a_name_of_a_file_is_no_name_of_images() -> None:
    resolved(
        {"filenamePrefix": "standup/alice.mp4", **PVC}, fileOutputs=[{"filepath": "standup/alice.mp4", **PVC}]
    )


def test_a_prefix_that_can_mean_nothing_is_refused_with_its_field() -> None:
    with pytest.raises(ValueError, match=r"spec.imageOutputs\[0\]: .*track_id"):
        resolved({"filenamePrefix": "{track_id}", **PVC})


def test_images_count_in_the_status_and_a_late_word_takes_nothing_back() -> None:
    def heard(count: int, old: dict[str, Any]) -> dict[str, Any]:
        news = said(
            image_results=(
                ImageResult(filename_prefix="a", image_count=count, started_at=at(0), ended_at=at(5)),
            )
        )
        return facts.gather(observed(of=recording(imageOutputs=[PVC], status=old), polled=news))

    document = heard(3, status())
    assert document["imageResults"] == [
        {
            "filenamePrefix": "a",
            "imageCount": 3,
            "startedAt": "2026-11-22T09:10:00Z",
            "endedAt": "2026-11-22T09:10:05Z",
        }
    ]
    assert heard(2, document)["imageResults"][0]["imageCount"] == 3
    [prior] = parts.prior(document).images
    assert (prior.image_count, prior.started_at) == (3, at(0))


def test_a_webhook_tells_livekits_images_info_and_echoes_the_request() -> None:
    one, document = resolved({"captureInterval": 5, "imageCodec": "IC_PNG", **S3})
    entry: Any = {
        "event": "egress_started",
        "sequence": 1,
        "status": "EGRESS_ACTIVE",
        "at": "2026-11-22T09:10:00Z",
    }

    def info(facts_: dict[str, Any]) -> Any:
        return json.loads(webhook_event.body(one, facts_, entry))["egressInfo"]

    assert info(document)["imageResults"] == [{"filenamePrefix": "standup-2026-11-22T090000"}]
    document["imageResults"] = [
        {
            "filenamePrefix": "a",
            "imageCount": 3,
            "startedAt": "2026-11-22T09:10:00Z",
            "endedAt": "2026-11-22T09:10:05Z",
        }
    ]
    told = info(document)
    [result] = told["imageResults"]
    assert (result["filenamePrefix"], result["imageCount"]) == ("a", "3")
    assert int(result["endedAt"]) - int(result["startedAt"]) == 5 * 10**9
    [echoed] = told["participant"]["imageOutputs"]
    assert (echoed["captureInterval"], echoed["s3"]["secret"]) == (5, "{secret}")
    assert "file" not in told, "LiveKit's older field is there where there is one output and nothing else"


def test_absent_and_zero_are_livekits_defaults() -> None:
    spec = parse_spec(
        PARTICIPANT_KIND,
        {
            "roomName": "r",
            "identity": "a",
            "fileOutputs": [PVC],
            "imageOutputs": [{"captureInterval": 0, "width": 0}],
        },
    )
    assert (spec.image_outputs[0].interval, spec.image_outputs[0].codec) == (10, "JPEG")
