"""Configuration, status and result survive the way between two releases and the kubelet's 4096 bytes."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress_recorder import contract

pytestmark = pytest.mark.unit

AT = datetime(2026, 11, 22, 9, 8, 7, tzinfo=UTC)


def config(**changes: Any) -> contract.RecorderConfig:
    document: dict[str, Any] = {
        "egress_id": "EG_abc",
        "url": "ws://livekit:7880",
        "room_name": "standup",
        "source": contract.ParticipantSource(identity="alice"),
        "outputs": (
            contract.FileOutputConfig(filepath="a.mp4", destination=contract.S3Destination(bucket="b")),
        ),
        "requested_at": AT,
    }
    return contract.RecorderConfig(**{**document, **changes})


def test_a_configuration_reads_back_as_it_was_written() -> None:
    written = config(
        source=contract.TrackCompositeSource(audio_track_id="TR_A"),
        outputs=(
            contract.FileOutputConfig(filepath="a.mp4", destination=contract.VolumeDestination(volume="0")),
        ),
        limits=contract.Limits(max_duration=3.5, max_size=10),
        prior=contract.Prior(
            parts=(contract.Part(part=1, filename="a.mp4", started_at=AT),),
            gaps=(contract.Gap(started_at=AT, duration=1.5, reason="Process killed"),),
        ),
    )

    assert contract.RecorderConfig.parse(written.to_json()) == written


def test_a_field_of_the_next_release_is_ignored() -> None:
    document = {**config().to_dict(), "hologram": True, "contractVersion": contract.CONTRACT_VERSION}

    assert contract.RecorderConfig.parse(json.dumps(document)) == config()


def test_a_document_without_a_new_field_takes_its_default() -> None:
    document = config().to_dict()
    for key in ("trackTimeout", "rejoinTimeout", "limits", "prior", "maxParts", "encoding"):
        del document[key]

    assert contract.RecorderConfig.parse(json.dumps(document)) == config()


def test_a_release_too_far_away_is_refused_with_the_way_out() -> None:
    document = {**config().to_dict(), "contractVersion": contract.CONTRACT_VERSION + 2}

    with pytest.raises(contract.ContractError, match="at most one release apart"):
        contract.RecorderConfig.parse(json.dumps(document))


@pytest.mark.parametrize("version", ["1", True, [], {}, 1.5])
def test_a_version_that_is_no_number_is_a_contract_error(version: object) -> None:
    document = {**config().to_dict(), "contractVersion": version}

    with pytest.raises(contract.ContractError, match="contractVersion"):
        contract.RecorderConfig.parse(json.dumps(document))


def test_an_invalid_document_names_the_field_and_not_its_value() -> None:
    document = {**config().to_dict(), "url": {"secret": "hunter2"}}

    with pytest.raises(contract.ContractError, match="url") as caught:
        contract.RecorderConfig.parse(json.dumps(document))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '"x"', "7"])
def test_what_is_not_a_document_is_a_contract_error(text: str) -> None:
    with pytest.raises(contract.ContractError):
        contract.RecorderResult.parse(text)


@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.text(max_size=6000),
    st.integers(0, 40),
)
def test_a_result_always_fits_a_termination_message_and_keeps_its_verdict(
    parts: int, gaps: int, error: str, tracks: int
) -> None:
    result = contract.RecorderResult(
        egress_id="EG_abc",
        phase=contract.Phase.FAILED,
        error=error,
        error_code=503,
        exit_code=69,
        parts=tuple(
            contract.Part(part=n + 1, filename="f" * 120, location="s3" * 60, started_at=AT)
            for n in range(parts)
        ),
        gaps=tuple(contract.Gap(started_at=AT, duration=1, reason="Process killed") for _ in range(gaps)),
        tracks=tuple(contract.Track(sid=f"TR_{n}", kind="audio") for n in range(tracks)),
    )

    message = result.to_termination_message()
    read = contract.RecorderResult.parse(message)

    assert len(message) <= contract.TERMINATION_MESSAGE_LIMIT
    assert (read.phase, read.error_code, read.exit_code) == (contract.Phase.FAILED, 503, 69)
    assert read.truncated == (read.model_copy(update={"truncated": False}) != result)


def test_the_newest_parts_are_the_last_to_go() -> None:
    result = contract.RecorderResult(
        egress_id="EG_abc",
        parts=tuple(contract.Part(part=n, filename="f" * 300, location="l" * 300) for n in range(1, 21)),
    )

    read = contract.RecorderResult.parse(result.to_termination_message())

    assert read.truncated
    assert read.parts[-1].part == 20


def test_the_eight_presets_are_livekits() -> None:
    sizes = {
        name: (e.width, e.height, e.framerate, e.video_bitrate, e.audio_bitrate)
        for name, e in contract.PRESETS.items()
    }

    assert sizes == {
        "H264_720P_30": (1280, 720, 30, 3000, 128),
        "H264_720P_60": (1280, 720, 60, 4500, 128),
        "H264_1080P_30": (1920, 1080, 30, 4500, 128),
        "H264_1080P_60": (1920, 1080, 60, 6000, 128),
        "PORTRAIT_H264_720P_30": (720, 1280, 30, 3000, 128),
        "PORTRAIT_H264_720P_60": (720, 1280, 60, 4500, 128),
        "PORTRAIT_H264_1080P_30": (1080, 1920, 30, 4500, 128),
        "PORTRAIT_H264_1080P_60": (1080, 1920, 60, 6000, 128),
    }


@pytest.mark.parametrize("code", list(contract.ExitCode))
def test_only_failures_that_repeating_cannot_mend_are_final(code: contract.ExitCode) -> None:
    assert code.is_final_failure == (code in {64, 65, 77, 78})


def test_a_track_composite_without_tracks_is_refused() -> None:
    with pytest.raises(ValueError, match="audioTrackId or videoTrackId"):
        contract.TrackCompositeSource()
