"""What the real API server accepts and refuses: every rule of the schema, from both sides."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.controlplane import ControlPlane
from devstack.kubeapi import ApiError, KubeApi
from egress_operator.api import SPECS
from egress_operator.names import API_VERSION, PARTICIPANT_KIND, PLURALS, TRACK_COMPOSITE_KIND
from egress_operator.schema import camel

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PVC = {"pvc": {"claimName": "recordings"}}
S3 = {"s3": {"bucket": "recordings"}}

Change = dict[str, Any]
_REMOVE = object()


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> KubeApi:
    control_plane.apply_crds(ROOT / "crds")
    return control_plane.api


@pytest.fixture(scope="module")
def space(control_plane: ControlPlane, api: KubeApi) -> Iterator[str]:
    name = control_plane.create_namespace(f"crds-{secrets.token_hex(4)}")
    yield name
    api.delete("namespaces", "", name)


def spec_of(kind: str, **changes: Any) -> dict[str, Any]:
    source = {"identity": "alice"} if kind == PARTICIPANT_KIND else {"videoTrackId": "TR_video"}
    spec = {"roomName": "standup", "fileOutputs": [copy.deepcopy(PVC)], **source, **changes}
    return {key: value for key, value in spec.items() if value is not _REMOVE}


def send(
    api: KubeApi, space: str, kind: str, spec: dict[str, Any], *, name: str = "", dry: bool = True
) -> str:
    """Create as `kubectl apply` does, with strict field validation. Returns the API server's refusal, "" if none."""
    name = name or f"r-{secrets.token_hex(4)}"
    body = {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": space},
        "spec": spec,
    }
    query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry else {})
    path = f"/apis/{API_VERSION}/namespaces/{space}/{PLURALS[kind]}"
    try:
        api.request("POST", path, body, query=query)
    except ApiError as error:
        return str(error)
    return ""


def change(api: KubeApi, space: str, kind: str, name: str, patch: dict[str, Any]) -> str:
    path = f"/apis/{API_VERSION}/namespaces/{space}/{PLURALS[kind]}/{name}"
    query = {"dryRun": "All", "fieldValidation": "Strict"}
    try:
        api.request("PATCH", path, {"spec": patch}, content_type="application/merge-patch+json", query=query)
    except ApiError as error:
        return str(error)
    return ""


def output(**changes: Any) -> dict[str, Any]:
    return {"fileOutputs": [{**copy.deepcopy(PVC), **changes}]}


def s3(**changes: Any) -> dict[str, Any]:
    return {"fileOutputs": [{"s3": {"bucket": "recordings", **changes}}]}


ACCEPTED: list[Change] = [
    {},
    {"identity": "../../etc/passwd"},
    {"screenShare": True},
    {"preset": "PORTRAIT_H264_1080P_60"},
    {"advanced": {"width": 640, "height": 360, "framerate": 15, "videoBitrate": 800, "audioBitrate": 64}},
    {"advanced": {}},
    {"joinTimeout": "1h30m"},
    {"joinTimeout": "500ms"},
    {"rejoinTimeout": "0s"},
    {"desiredState": "Stopped"},
    {"limits": {"maxDuration": "2h", "maxSize": "10Gi", "maxParts": 3}},
    {"limits": {"maxSize": 1000000}},
    {"livekit": {"url": "wss://livekit.example.com", "credentialsSecretRef": {"name": "keys"}}},
    {"fileOutputs": [copy.deepcopy(PVC), copy.deepcopy(S3)]},
    output(filepath="{room_name}/{room_id}-{time}-{utc}-{publisher_identity}.mp4", fileType="MP4"),
    output(filepath="calls/"),
    s3(
        region="eu-central-1",
        endpoint="http://127.0.0.1:9000",
        forcePathStyle=True,
        credentialsSecretRef={"name": "k"},
    ),
    {"template": {"resources": {"requests": {"cpu": 2, "memory": "1Gi"}, "limits": {"memory": "2Gi"}}}},
    {"template": {"nodeSelector": {"disk": "ssd"}, "serviceAccountName": "recorder"}},
    {"template": {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]}},
]

REFUSED: list[tuple[Change, str]] = [
    ({"roomName": _REMOVE}, "spec.roomName: Required value"),
    ({"roomName": ""}, "spec.roomName"),
    ({"roomName": "x" * 257}, "spec.roomName"),
    ({"identity": _REMOVE}, "spec.identity: Required value"),
    ({"fileOutputs": _REMOVE}, "spec.fileOutputs: Required value"),
    ({"fileOutputs": []}, "spec.fileOutputs"),
    ({"fileOutputs": [copy.deepcopy(PVC)] * 11}, "spec.fileOutputs"),
    ({"preset": "PASSTHROUGH"}, "spec.preset"),
    (
        {"preset": "H264_720P_30", "advanced": {}},
        "preset and advanced exclude each other: remove one of them",
    ),
    ({"advanced": {"width": 641}}, "advanced.width must be even"),
    ({"advanced": {"height": 361}}, "advanced.height must be even"),
    ({"advanced": {"width": 14}}, "spec.advanced.width"),
    ({"advanced": {"framerate": 61}}, "spec.advanced.framerate"),
    ({"advanced": {"videoBitrate": 0}}, "spec.advanced.videoBitrate"),
    ({"desiredState": "Paused"}, "spec.desiredState"),
    (
        {"joinTimeout": "soon"},
        'joinTimeout must be a duration longer than 0s and at most 8760h: write for example "30s"',
    ),
    ({"joinTimeout": "0s"}, "joinTimeout must be a duration longer than 0s"),
    ({"joinTimeout": "-5s"}, "joinTimeout must be a duration longer than 0s"),
    ({"joinTimeout": "99999h"}, "joinTimeout must be a duration longer than 0s"),
    ({"rejoinTimeout": "5"}, "rejoinTimeout must be a duration 0s or longer"),
    ({"limits": {"maxDuration": "0s"}}, "limits.maxDuration must be a duration longer than 0s"),
    (
        {"limits": {"maxSize": "ten"}},
        'limits.maxSize must be a quantity greater than 0: write for example "500Mi"',
    ),
    ({"limits": {"maxSize": "0"}}, "limits.maxSize must be a quantity greater than 0"),
    ({"limits": {"maxSize": -1}}, "limits.maxSize must be a quantity greater than 0"),
    ({"limits": {"maxParts": 0}}, "spec.limits.maxParts"),
    ({"livekit": {"url": "wss://x"}}, "spec.livekit.credentialsSecretRef: Required value"),
    ({"livekit": {"credentialsSecretRef": {"name": "k"}}}, "spec.livekit.url: Required value"),
    (
        {"livekit": {"url": "livekit:7880", "credentialsSecretRef": {"name": "k"}}},
        "livekit.url must be a ws://",
    ),
    ({"livekit": {"url": "wss://u:p@x", "credentialsSecretRef": {"name": "k"}}}, "without user and password"),
    ({"livekit": {"url": "ftp://x", "credentialsSecretRef": {"name": "k"}}}, "livekit.url must be a ws://"),
    ({"fileOutputs": [{}]}, "exactly one destination: set either s3 or pvc"),
    ({"fileOutputs": [{**PVC, **S3}]}, "exactly one destination: set either s3 or pvc"),
    (output(fileType="OGG"), "fileOutputs[0].fileType"),
    (
        output(filepath="{track_id}"),
        "filepath has an unknown token or a lonely brace: the tokens are {room_name}",
    ),
    (output(filepath="a{room_name"), "filepath has an unknown token or a lonely brace"),
    (output(filepath="x" * 513), "fileOutputs[0].filepath"),
    (output(pvc={"claimName": "Recordings"}), "pvc.claimName must be the name of an object"),
    (output(pvc={}), "fileOutputs[0].pvc.claimName: Required value"),
    (s3(bucket=""), "fileOutputs[0].s3.bucket"),
    (s3(endpoint="minio:9000"), "s3.endpoint must be an http:// or https:// URL"),
    (
        s3(endpoint="https://key:secret@minio"),
        "s3.endpoint must be an http:// or https:// URL without user and password",
    ),
    (s3(credentialsSecretRef={"name": "a/b"}), "credentialsSecretRef.name must be the name of an object"),
    *[
        (
            s3(**{field: "hush"}),
            "must not stand in a manifest: put the keys access_key and secret into a Secret",
        )
        for field in ("access_key", "accessKey", "secret", "session_token", "sessionToken")
    ],
    ({"template": {"resources": {"requests": {"cpu": "much"}}}}, "template.resources must hold quantities"),
    ({"template": {"resources": {"limits": {"memory": "-1Gi"}}}}, "template.resources must hold quantities"),
    ({"template": {"serviceAccountName": "No"}}, "template.serviceAccountName must be the name of an object"),
    # Fields of later issues are absent and therefore refused, never accepted and ignored.
    ({"storage": {"s3": {"bucket": "x"}}}, 'unknown field "spec.storage"'),
    ({"segmentOutputs": []}, 'unknown field "spec.segmentOutputs"'),
    ({"streamOutputs": []}, 'unknown field "spec.streamOutputs"'),
    ({"imageOutputs": []}, 'unknown field "spec.imageOutputs"'),
    ({"webhooks": []}, 'unknown field "spec.webhooks"'),
    ({"encryption": {}}, 'unknown field "spec.encryption"'),
    ({"ttlSecondsAfterFinished": 1}, 'unknown field "spec.ttlSecondsAfterFinished"'),
    ({"room_name": "x"}, 'unknown field "spec.room_name"'),
    ({"audioTrackId": "TR_x"}, 'unknown field "spec.audioTrackId"'),
    (output(disableManifest=True), "disableManifest"),
    (output(gcp={}), "gcp"),
    ({"advanced": {"keyFrameInterval": 2}}, "keyFrameInterval"),
    ({"template": {"priorityClassName": "x"}}, "priorityClassName"),
]


def _name(change_: Any) -> str:
    return "-".join(str(key) for key in change_) if isinstance(change_, dict) else str(change_)[:40]


@pytest.mark.parametrize("changes", ACCEPTED, ids=_name)
def test_a_participant_egress_is_accepted(api: KubeApi, space: str, changes: Change) -> None:
    assert send(api, space, PARTICIPANT_KIND, spec_of(PARTICIPANT_KIND, **changes)) == ""


@pytest.mark.parametrize(("changes", "sentence"), REFUSED, ids=_name)
def test_a_participant_egress_is_refused_with_a_sentence(
    api: KubeApi, space: str, changes: Change, sentence: str
) -> None:
    refusal = send(api, space, PARTICIPANT_KIND, spec_of(PARTICIPANT_KIND, **changes))

    assert sentence in refusal
    assert "hush" not in refusal


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"audioTrackId": "TR_audio"},
        {"audioTrackId": "TR_audio", "videoTrackId": _REMOVE},
        {"trackTimeout": "2m"},
    ],
    ids=_name,
)
def test_a_track_composite_egress_is_accepted(api: KubeApi, space: str, changes: Change) -> None:
    assert send(api, space, TRACK_COMPOSITE_KIND, spec_of(TRACK_COMPOSITE_KIND, **changes)) == ""


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"videoTrackId": _REMOVE},
            "a track composite needs a track: set audioTrackId, videoTrackId or both",
        ),
        ({"audioTrackId": ""}, "spec.audioTrackId"),
        ({"trackTimeout": "0s"}, "trackTimeout must be a duration longer than 0s"),
        ({"identity": "alice"}, 'unknown field "spec.identity"'),
        ({"joinTimeout": "1m"}, 'unknown field "spec.joinTimeout"'),
        ({"preset": "H264_720P_30", "advanced": {}}, "preset and advanced exclude each other"),
    ],
    ids=_name,
)
def test_a_track_composite_egress_is_refused_with_a_sentence(
    api: KubeApi, space: str, changes: Change, sentence: str
) -> None:
    assert sentence in send(api, space, TRACK_COMPOSITE_KIND, spec_of(TRACK_COMPOSITE_KIND, **changes))


# ---- immutability: add, change and remove of each field --------------------------------------------------------

VALUES: dict[str, tuple[Any, Any]] = {
    "roomName": ("standup", "retro"),
    "identity": ("alice", "bob"),
    "screenShare": (True, False),
    "joinTimeout": ("1m", "2m"),
    "trackTimeout": ("1m", "2m"),
    "audioTrackId": ("TR_a", "TR_b"),
    "videoTrackId": ("TR_v", "TR_w"),
    "preset": ("H264_720P_30", "H264_1080P_30"),
    "advanced": ({"width": 640}, {"width": 320}),
    "fileOutputs": ([PVC], [S3]),
    "livekit": (
        {"url": "wss://a", "credentialsSecretRef": {"name": "k"}},
        {"url": "wss://b", "credentialsSecretRef": {"name": "k"}},
    ),
    "rejoinTimeout": ("10s", "20s"),
    "limits": ({"maxParts": 2}, {"maxParts": 3}),
}
MUTABLE: dict[str, tuple[Any, Any]] = {
    "desiredState": ("Recording", "Stopped"),
    "template": ({"serviceAccountName": "a"}, {"serviceAccountName": "b"}),
}


def test_the_immutability_tables_hold_every_field() -> None:
    for kind in SPECS:
        fields = {camel(name) for name in SPECS[kind].model_fields}
        assert fields <= VALUES.keys() | MUTABLE.keys()


@pytest.mark.parametrize("kind", list(SPECS))
def test_every_field_but_desired_state_and_template_is_immutable(api: KubeApi, space: str, kind: str) -> None:
    fields = [camel(name) for name in SPECS[kind].model_fields]
    required = {"roomName", "identity", "fileOutputs"}
    for field in fields:
        old, new = (VALUES | MUTABLE)[field]
        # Both track ids, so that removing one leaves a valid composite.
        others = {"audioTrackId": "TR_a", "videoTrackId": "TR_v"} if kind == TRACK_COMPOSITE_KIND else {}
        with_field, without = f"with-{field.lower()}", f"without-{field.lower()}"
        assert (
            send(api, space, kind, spec_of(kind, **others | {field: old}), name=with_field, dry=False) == ""
        )
        refusals = {"change": change(api, space, kind, with_field, {field: new})}
        if field not in required:
            refusals["remove"] = change(api, space, kind, with_field, {field: None})
            bare = spec_of(kind, **others | {field: _REMOVE})
            assert send(api, space, kind, bare, name=without, dry=False) == ""
            refusals["add"] = change(api, space, kind, without, {field: old})
        for what, refusal in refusals.items():
            if field in MUTABLE:
                assert refusal == "", f"{what} {field}"
            else:
                expected = f"spec.{field} cannot be changed (only spec.desiredState and spec.template can)"
                assert expected in refusal, f"{what} {field}: {refusal}"
        for name in (with_field, without):
            api.delete(PLURALS[kind], space, name)


# ---- examples and discovery ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_each_example_is_accepted(api: KubeApi, space: str, path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] in PLURALS:
            assert (
                send(api, space, document["kind"], document["spec"], name=document["metadata"]["name"]) == ""
            )


def test_both_kinds_have_short_names_a_category_and_columns(api: KubeApi) -> None:
    resources = {
        resource["name"]: resource for resource in api.request("GET", f"/apis/{API_VERSION}")["resources"]
    }

    assert resources["participantegresses"]["shortNames"] == ["pegress"]
    assert resources["trackcompositeegresses"]["shortNames"] == ["tcegress"]
    assert all(resources[plural]["categories"] == ["egress"] for plural in PLURALS.values())
    for plural in PLURALS.values():
        definition = api.get("customresourcedefinitions", "", f"{plural}.egress.livekit.io")
        columns = definition["spec"]["versions"][0]["additionalPrinterColumns"]
        who = "Identity" if plural == "participantegresses" else "Tracks"
        assert [column["name"] for column in columns if not column.get("priority")] == [
            "Phase", "Room", who, "Duration", "Size", "Age",
        ]  # fmt: skip
        assert [column["name"] for column in columns if column.get("priority")] == [
            "EgressId",
            "Location",
            "Message",
        ]
