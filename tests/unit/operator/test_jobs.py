"""What a recorder is given: its configuration, its Secret, and a pod under Pod Security *restricted*."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from egress_operator import facts, filenames, jobs, names
from egress_operator.settings import Settings
from egress_recorder.contract import DesiredState, Encoding, Progress, RecorderConfig
from support.operator_builders import ABSENT, UID, observed, recording, status

pytestmark = pytest.mark.unit

SETTINGS = Settings(recorder_image="recorder:1", termination_grace_seconds=77)


def resolved(**spec: Any) -> tuple[Any, dict[str, Any]]:
    one = recording(**spec)
    document = facts.gather(observed(of=one, room=ABSENT))
    document["roomId"] = "RM_1"
    document["resolved"]["url"] = "ws://livekit"
    filenames.resolve_names(one, document)
    return one, document


def config_of(part: int = 1, **spec: Any) -> RecorderConfig:
    one, document = resolved(**spec)
    return jobs.recorder_config(one, document, part=part, settings=Settings())


def job_of(**spec: Any) -> dict[str, Any]:
    return jobs.job_manifest(recording(**spec), SETTINGS, part=1)


def container_of(**spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = job_of(**spec)["spec"]["template"]["spec"]["containers"][0]
    return container


def test_names_are_resolved_once_and_later_parts_find_them() -> None:
    one, document = resolved(
        fileOutputs=[{"filepath": "{room_name}/{time}-{room_id}", "pvc": {"claimName": "c"}}]
    )
    assert document["resolved"]["filepaths"] == ["standup/2026-11-22T090000-RM_1.mp4"]
    document["roomId"] = "RM_2"
    filenames.resolve_names(one, document)

    assert document["resolved"]["filepaths"] == ["standup/2026-11-22T090000-RM_1.mp4"]


def test_the_recorder_is_told_the_type_of_each_file_and_which_release_it_must_be() -> None:
    outputs = [{"filepath": "a", "fileType": name, "pvc": {"claimName": "c"}} for name in ("MP4", "OGG")]
    config = config_of(fileOutputs=outputs)

    assert [(output.filepath, output.file_type) for output in config.outputs] == [
        ("a.mp4", "MP4"),
        ("a.ogg", "OGG"),
    ]
    assert config.min_contract_version == 2
    assert config_of(fileOutputs=outputs[:1]).min_contract_version == 1


def test_the_recorder_is_told_of_segments_after_the_files() -> None:
    config = config_of(
        fileOutputs=[{"filepath": "a", "pvc": {"claimName": "c"}}],
        segmentOutputs=[
            {
                "filenamePrefix": "{publisher_identity}/seg",
                "livePlaylistName": "live",
                "segmentDuration": 6,
                "protocol": "HLS_FMP4_PROTOCOL",
                "filenameSuffix": "TIMESTAMP",
                "pvc": {"claimName": "d"},
            }
        ],
    )
    (segments,) = config.segments
    assert (segments.playlist, segments.prefix, segments.live_playlist) == (
        "alice/seg.m3u8",
        "alice/seg",
        "alice/live.m3u8",
    )
    assert (segments.duration, segments.suffix, segments.container) == (6, "TIMESTAMP", "FMP4")
    assert [getattr(one.destination, "claim_name", "") for one in config.every_output] == ["c", "d"]
    assert config.min_contract_version == 2


@pytest.mark.parametrize(
    ("interval", "durations", "streamed", "become"),
    [
        (2.5, [4], True, [2]),
        (6, [4], True, [4]),
        (0.5, [4], True, [1]),
        (None, [4], True, [4]),
        (0, [4], True, [4]),
        (2, [4], False, [4]),
        (3, [4, 8], True, [3, 3]),
        (5, [2, 8], True, [2, 4]),
    ],
    ids=[
        "whole seconds of the interval",
        "never longer than was asked for",
        "never shorter than a second",
        "no interval",
        "0 is none",
        "no stream",
        "all of several",
        "of several each keeps a multiple of the shortest",
    ],
)
def test_an_interval_of_key_frames_beside_a_stream_shortens_the_segments_as_in_livekit(
    interval: float | None, durations: list[int], streamed: bool, become: list[int]
) -> None:
    """E:pkg/config/pipeline.go, reference livekit-egress.md §3.6."""
    config = config_of(
        fileOutputs=None,
        segmentOutputs=[
            {"playlistName": f"{index}", "segmentDuration": seconds, "pvc": {"claimName": "c"}}
            for index, seconds in enumerate(durations)
        ],
        streamOutputs=[{"protocol": "RTMP", "urls": ["rtmp://h/app/key"]}] if streamed else None,
        advanced=None if interval is None else {"keyFrameInterval": interval},
    )

    assert [segments.duration for segments in config.segments] == become


def test_segments_need_no_file_beside_them() -> None:
    config = config_of(fileOutputs=None, segmentOutputs=[{"pvc": {"claimName": "c"}}])
    assert (config.outputs, config.segments[0].playlist) == ((), "standup-2026-11-22T090000.m3u8")
    assert RecorderConfig.parse(config.to_json()) == config


def test_a_recording_whose_names_an_earlier_operator_resolved_stays_what_it_is() -> None:
    one, document = resolved(fileOutputs=[{"filepath": "a", "pvc": {"claimName": "c"}}])
    del document["resolved"]["fileTypes"]

    config = jobs.recorder_config(one, document, part=2, settings=Settings())

    assert [output.file_type for output in config.outputs] == ["MP4"]


def test_a_participants_configuration_carries_the_whole_spec() -> None:
    config = config_of(
        screenShare=True,
        joinTimeout="2m",
        rejoinTimeout="30s",
        advanced={"width": 640, "framerate": 15},
        limits={"maxDuration": "1h", "maxSize": "1Gi", "maxParts": 5},
    )

    assert asdict(config.source) == {"kind": "participant", "identity": "alice", "screen_share": True}
    assert (config.join_timeout, config.rejoin_timeout, config.max_parts) == (120.0, 30.0, 5)
    assert (config.limits.max_duration, config.limits.max_size) == (3600.0, 2**30)
    assert config.max_file_duration == 6 * 3600, "also where nobody asked for it"
    assert (config.encoding.width, config.encoding.height, config.encoding.framerate) == (640, 720, 15)


@pytest.mark.parametrize(
    ("advanced", "encoding", "version"),
    [
        ({}, Encoding(), 1),
        ({"depth": 24, "audioQuality": 3, "videoQuality": 3}, Encoding(), 1),
        (
            {"videoCodec": "DEFAULT_VC", "audioCodec": "DEFAULT_AC", "audioFrequency": 0, "keyFrameInterval": 0},
            Encoding(),
            1,
        ),
        ({"videoCodec": "H264_BASELINE"}, Encoding(video_codec="H264_BASELINE"), 2),
        ({"audioFrequency": 44100, "keyFrameInterval": 4},
         Encoding(audio_frequency=44_100, key_frame_interval=4.0), 2),
        # As LiveKit: Opus has one frequency, whatever is asked for.
        ({"audioCodec": "OPUS", "audioFrequency": 44100}, Encoding(audio_codec="OPUS"), 2),
    ],
)  # fmt: skip
def test_advanced_becomes_the_encoding_as_livekit_takes_it(
    advanced: dict[str, Any], encoding: Encoding, version: int
) -> None:
    config = config_of(advanced=advanced)

    assert config.encoding == encoding
    assert config.stamped().min_contract_version == version


def test_how_long_a_file_may_be_needs_no_newer_recorder() -> None:
    config = config_of(limits={"maxFileDuration": "90m"})
    assert (config.max_file_duration, config.min_contract_version) == (5400.0, 1)


def test_a_track_composite_waits_thirty_seconds_unless_told_otherwise() -> None:
    kind = names.TRACK_COMPOSITE_KIND

    assert config_of(kind=kind).track_timeout == 30.0
    assert config_of(kind=kind, trackTimeout="5m").track_timeout == 300.0


def test_destinations_name_the_mounted_directories() -> None:
    outputs = [
        {"s3": {"bucket": "a", "credentialsSecretRef": {"name": "one"}}},
        {"s3": {"bucket": "b"}},
        {"s3": {"bucket": "c", "credentialsSecretRef": {"name": "two"}}},
        {"s3": {"bucket": "d", "credentialsSecretRef": {"name": "one"}}},
        {"pvc": {"claimName": "disk"}},
    ]
    destinations = [output.destination for output in config_of(fileOutputs=outputs).outputs]
    pod = job_of(fileOutputs=outputs)["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}

    assert [getattr(one, "credentials", None) for one in destinations] == ["0", "", "1", "0", None]
    assert volumes[mounts["/etc/egress/credentials/0"]]["secret"]["secretName"] == "one"
    assert volumes[mounts["/etc/egress/credentials/1"]]["secret"]["secretName"] == "two"
    assert volumes[mounts["/mnt/egress/0"]]["persistentVolumeClaim"] == {"claimName": "disk"}


def test_an_output_can_go_without_a_manifest() -> None:
    place = {"pvc": {"claimName": "recordings"}}
    outputs = [{"filepath": "a", "disableManifest": True, **place}, {"filepath": "b", **place}]
    assert [output.disable_manifest for output in config_of(fileOutputs=outputs).outputs] == [True, False]


def test_a_later_part_is_told_what_the_earlier_ones_left() -> None:
    entry = {
        "part": 1,
        "output": 0,
        "filename": "a.mp4",
        "duration": "1m2.5s",
        "size": 7,
        "endReason": "Killed",
    }
    gap = {"startedAt": "2026-11-22T09:05:00Z", "duration": "3s", "reason": "crash"}
    numbers = {"duration": "1m2.5s", "frames": 1870, "framesDropped": 5, "silenceInserted": "250ms"}
    one = recording(status=status(parts=[entry], gaps=[gap], progress=numbers))
    config = jobs.recorder_config(one, facts.gather(observed(of=one)), part=2, settings=Settings())

    assert config.part == 2
    assert [(part.part, part.duration, part.size) for part in config.prior.parts] == [(1, 62.5, 7)]
    assert [gap.duration for gap in config.prior.gaps] == [3.0]
    assert config.prior.started_at is not None
    assert config.prior.progress == Progress(frames=1870, frames_dropped=5, silence_inserted=0.25)


def test_the_secret_holds_the_contracts_files_and_dies_with_the_recording() -> None:
    one, document = resolved()
    config = jobs.recorder_config(one, document, part=1, settings=Settings())
    secret = jobs.secret_manifest(one, config, token="t", control_token="c")

    assert set(secret["stringData"]) == {"config.json", "token", "control-token", "desired-state.json"}
    assert RecorderConfig.parse(secret["stringData"]["config.json"]) == config
    assert secret["metadata"]["ownerReferences"][0]["uid"] == UID
    assert secret["stringData"]["config.json"] != "t"
    stop = DesiredState.parse(jobs.stop_patch(4)["stringData"]["desired-state.json"])
    assert (stop.generation, stop.desired_state) == (4, "Stopped")


def test_the_pod_is_restricted_and_without_a_kubernetes_token() -> None:
    pod = job_of()["spec"]["template"]["spec"]
    container = pod["containers"][0]

    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not any("hostPath" in volume for volume in pod["volumes"])
    assert pod["terminationGracePeriodSeconds"] == 77


def test_the_job_never_restarts_anything_by_itself() -> None:
    spec = job_of()["spec"]

    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert "ttlSecondsAfterFinished" not in spec
    assert "podFailurePolicy" not in spec


def test_only_two_ends_together_make_a_deadline() -> None:
    assert "activeDeadlineSeconds" not in job_of(joinTimeout="1m")["spec"]
    assert "activeDeadlineSeconds" not in job_of(limits={"maxDuration": "1h"})["spec"]
    both = job_of(joinTimeout="1m", rejoinTimeout="30s", limits={"maxDuration": "1h"})

    week = 7 * 24 * 3600
    assert both["spec"]["activeDeadlineSeconds"] == 60 + 30 + 3600 + 2 * 3600 + week + 600


def test_names_are_deterministic_and_short_enough_for_labels() -> None:
    long = names.job_name("a" * 253, UID, 20)

    assert long == names.job_name("a" * 253, UID, 20)
    assert len(long) <= 63
    assert names.job_name("a.b", UID, 1).startswith("a-b-0a1b2c3d-1")
    assert names.egress_id(UID) == names.egress_id(UID)
    assert len(names.egress_id(UID)) == 15


@pytest.mark.parametrize(
    ("spec", "cpu", "memory"),
    [
        ({}, "600m", "384Mi"),
        ({"preset": "H264_720P_60"}, "1100m", "512Mi"),
        ({"preset": "PORTRAIT_H264_1080P_30"}, "1200m", "512Mi"),
        ({"preset": "H264_1080P_60"}, "2200m", "768Mi"),
        ({"advanced": {"width": 640, "height": 360}}, "600m", "384Mi"),
        ({"advanced": {"width": 4096, "height": 2160, "framerate": 60}}, "2200m", "768Mi"),
    ],
)
def test_requests_follow_the_pixel_rate(spec: dict[str, Any], cpu: str, memory: str) -> None:
    resources = container_of(**spec)["resources"]

    assert resources["requests"] == {"cpu": cpu, "memory": memory}
    assert "cpu" not in resources["limits"]


@pytest.mark.parametrize(
    ("given", "requests", "limits"),
    [
        ({"requests": {"memory": "1Gi"}}, {"cpu": "600m", "memory": "1Gi"}, {"memory": str(2 * 2**30)}),
        (
            {"limits": {"cpu": "500m"}},
            {"cpu": "500m", "memory": "384Mi"},
            {"cpu": "500m", "memory": str(768 * 2**20)},
        ),
        ({"limits": {"memory": "256Mi"}}, {"cpu": "600m", "memory": "256Mi"}, {"memory": "256Mi"}),
        (
            {"requests": {"cpu": 1}, "limits": {"cpu": 2}},
            {"cpu": "1", "memory": "384Mi"},
            {"cpu": "2", "memory": str(768 * 2**20)},
        ),
    ],
)
def test_the_template_overrides_resources_by_name(
    given: dict[str, Any], requests: dict[str, str], limits: dict[str, str]
) -> None:
    resources = container_of(template={"resources": given})["resources"]

    assert resources["requests"] == requests
    assert resources["limits"] == limits


def test_the_template_places_the_pod() -> None:
    template = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 5}],
        "serviceAccountName": "recorder",
    }
    pod = job_of(template=template)["spec"]["template"]["spec"]

    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists", "tolerationSeconds": 5}]
    assert pod["serviceAccountName"] == "recorder"


def test_no_secret_stands_in_a_job() -> None:
    text = json.dumps(job_of(fileOutputs=[{"s3": {"bucket": "b", "credentialsSecretRef": {"name": "keys"}}}]))

    assert "secretKeyRef" not in text
    assert "token" not in text.lower().replace("automountserviceaccounttoken", "")
