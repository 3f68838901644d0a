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
from egress_recorder.contract import FILE_KINDS, problem

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


def to(kind: str, **fields: Any) -> dict[str, Any]:
    """An output to a destination of a kind."""
    return {"fileOutputs": [{kind: fields}]}


def s3(**changes: Any) -> dict[str, Any]:
    return {"fileOutputs": [{"s3": {"bucket": "recordings", **changes}}]}


def segments(**changes: Any) -> dict[str, Any]:
    """HLS and no file."""
    return {"fileOutputs": _REMOVE, "segmentOutputs": [{**copy.deepcopy(PVC), **changes}]}


def images(**changes: Any) -> Change:
    return {"imageOutputs": [{**copy.deepcopy(PVC), **changes}]}


STREAMS: Change = {"streamOutputs": [{"urls": ["rtmp://h/app/key"]}]}
NO_OUTPUT = "a recording needs an output: set fileOutputs, segmentOutputs, imageOutputs or streamOutputs"


ACCEPTED: list[Change] = [
    images(),
    images(captureInterval=5, width=640, height=0, filenamePrefix="{room_name}/{time}", imageCodec="IC_JPEG"),
    images(filenameSuffix="IMAGE_SUFFIX_TIMESTAMP", imageCodec="IC_WEBP", disableManifest=True),
    {**images(), **output(fileType="OGG")},
    {**segments(), **images(filenamePrefix="{room_name}/still")},
    {"imageOutputs": [copy.deepcopy(PVC), copy.deepcopy(S3)]},
    {},
    {"identity": "../../etc/passwd"},
    {"screenShare": True},
    {"preset": "PORTRAIT_H264_1080P_60"},
    {"advanced": {"width": 640, "height": 360, "framerate": 15, "videoBitrate": 800, "audioBitrate": 64}},
    {"advanced": {}},
    {"advanced": {"videoCodec": "H264_BASELINE", "audioCodec": "OPUS", "keyFrameInterval": 0.5}},
    {"advanced": {"videoCodec": "H264_HIGH", "audioCodec": "AAC", "audioFrequency": 44100, "keyFrameInterval": 4}},
    {"advanced": {"videoCodec": "DEFAULT_VC", "audioCodec": "DEFAULT_AC", "audioFrequency": 0, "keyFrameInterval": 0}},
    {"advanced": {"depth": 24, "videoQuality": 1, "audioQuality": 0}},
    {"joinTimeout": "1h30m"},
    {"joinTimeout": "500ms"},
    {"rejoinTimeout": "0s"},
    {"uploadTimeout": "15m"},
    {"template": {"scratchSize": "20Gi"}},
    {"fileOutputs": [{"s3": {"bucket": "b"}, "presignedLocations": {"expiresIn": "24h"}}]},
    {"fileOutputs": [{"presignedLocations": {}}]},
    output(backupStorage={"gcp": {"bucket": "b", "credentialsSecretRef": {"name": "k"}}}),
    {"desiredState": "Stopped"},
    {"limits": {"maxDuration": "2h", "maxSize": "10Gi", "maxParts": 3}},
    {"limits": {"maxFileDuration": "5m"}},
    {"limits": {"maxSize": 1000000}},
    {"livekit": {"url": "wss://livekit.example.com", "credentialsSecretRef": {"name": "keys"}}},
    {
        "webhooks": [
            {"url": "https://app.example.com/egress?x=1"},
            {
                "url": "http://app.calls.svc:8080",
                "signingKey": "devkey",
                "filterParams": {"includeEvents": ["egress_ended"], "excludeEvents": ["egress_started"]},
            },
        ]
    },
    {"webhooks": []},
    segments(),
    segments(
        filenamePrefix="{room_name}/{publisher_identity}",
        playlistName="{room_name}/all-{part}",
        livePlaylistName="live",
        segmentDuration=6,
        filenameSuffix="TIMESTAMP",
        protocol="HLS_PROTOCOL",
        disableManifest=True,
        backupStorage=copy.deepcopy(S3),
    ),
    segments(playlistName="a/all", livePlaylistName="a/live", protocol="HLS_FMP4_PROTOCOL"),
    {"segmentOutputs": [{**PVC, "segmentDuration": 2}, {**S3, "segmentDuration": 6}, {**PVC, "segmentDuration": 0}]},
    {**segments(), "advanced": {"audioCodec": "AAC"}},
    {"streamOutputs": []},
    {"streamOutputs": [{"urls": []}, {"protocol": "SRT", "destinations": []}]},
    # Nothing else beside them; a list that is filled later waits.
    {"fileOutputs": _REMOVE, **STREAMS},
    {"fileOutputs": _REMOVE, **STREAMS, "advanced": {"audioCodec": "AAC"}},
    {"fileOutputs": _REMOVE, "streamOutputs": [{"urls": []}]},
    {"fileOutputs": _REMOVE, **images()},
    {"fileOutputs": _REMOVE, **images(), **STREAMS},
    {
        "streamOutputs": [
            {
                "protocol": "RTMP",
                "urls": ["rtmp://h/app/key", "rtmps://h:443/a/b/key?x=1 live=1", "mux://key", "twitch://key"],
                "destinations": [
                    {"id": "a", "url": "rtmp://h/app/key"},
                    {"id": "b", "urlSecretRef": {"name": "urls", "key": "b"}},
                ],
            },
            {"urls": ["srt://h:9000", "srt://h:9000?streamid=x&latency=200", "rtmp://h/app/key"]},
        ]
    },
    {"fileOutputs": [copy.deepcopy(PVC), copy.deepcopy(S3)]},
    {"fileOutputs": [{**copy.deepcopy(PVC), "disableManifest": True}]},
    output(filepath="{room_name}/{room_id}-{time}-{utc}-{publisher_identity}.mp4", fileType="MP4"),
    output(filepath="{namespace}/{name}/{egress_id}-{part}-{retry}", overwrite=True),
    output(filepath="calls/"),
    *[output(fileType=name) for name in ("DEFAULT_FILETYPE", *FILE_KINDS) if name != "WEBM"],
    {"fileOutputs": [{**copy.deepcopy(PVC), "fileType": name} for name in FILE_KINDS]},
    {**output(fileType="MP3"), "advanced": {"audioCodec": "AC_MP3"}},
    {**output(fileType="OGG"), "advanced": {"audioCodec": "OPUS"}},
    s3(
        region="eu-central-1",
        endpoint="http://127.0.0.1:9000",
        forcePathStyle=True,
        credentialsSecretRef={"name": "k"},
    ),
    s3(
        assumeRoleArn="arn:aws-cn:iam::123456789012:role/path/writer",
        assumeRoleExternalId="company-7",
        metadata={"team": "media", "x_y.z": ""},
        tagging="a=b&c=",
        contentDisposition='attachment; filename="a.mp4"',
        serverSideEncryption="aws:kms",
        sseKmsKeyId="alias/k",
        proxy={"url": "http://proxy:3128", "username": "u", "passwordSecretRef": {"name": "p", "key": "k"}},
    ),
    to("gcp", bucket="b", credentialsSecretRef={"name": "k"}),
    to("gcp", bucket="b", endpoint="https://storage-x.p.googleapis.com", proxy={"url": "http://p"}),
    to("aliOSS", bucket="bbb", region="cn-hangzhou", credentialsSecretRef={"name": "k"}),
    to("aliOSS", bucket="bbb", endpoint="https://oss-cn-hangzhou.aliyuncs.com", credentialsSecretRef={"name": "k"}),
    {"storage": {"aliOSS": {"bucket": "bbb", "region": "cn-hangzhou", "credentialsSecretRef": {"name": "k"}}}},
    to("azure", accountName="media1", containerName="c", credentialsSecretRef={"name": "k"}),
    to("azure", containerName="c", endpoint="http://127.0.0.1:10000/devstoreaccount1"),
    to("http", url="https://x.example.com/in?sig=1", headers={"X-Team": "a"}, credentialsSecretRef={"name": "k"}),
    {"storage": {"http": {"url": "http://127.0.0.1:80/{filepath}", "proxy": {"url": "http://p"}}}, "fileOutputs": [{}]},
    s3(serverSideEncryption="AES256", proxy={"url": "https://proxy.example.com"}),
    {"template": {"resources": {"requests": {"cpu": 2, "memory": "1Gi"}, "limits": {"memory": "2Gi"}}}},
    {"template": {"nodeSelector": {"disk": "ssd"}, "serviceAccountName": "recorder"}},
    {"template": {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]}},
    {"storage": copy.deepcopy(PVC), "fileOutputs": [{"filepath": "a"}, copy.deepcopy(S3)]},
    {"storage": {"s3": {"bucket": "b", "credentialsSecretRef": {"name": "k"}}}, "fileOutputs": [{}]},
    {"fileOutputs": [{}]},
    {"ttlSecondsAfterFinished": 0},
    {"ttlSecondsAfterFinished": 86400},
    {"template": {"labels": {"team": "media"}, "annotations": {"prometheus.io/scrape": "true"}}},
    {"template": {"annotations": {"karpenter.sh/do-not-disrupt": "30m"}}},
    {"template": {"priorityClassName": "high", "runtimeClassName": "gvisor"}},
    {"template": {"imagePullSecrets": [{"name": "registry"}]}},
    {"template": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]
    }}}}},
    {"template": {"topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
         "labelSelector": {"matchLabels": {"app.kubernetes.io/managed-by": "livekit-egress-operator"}}}
    ]}},
    {"template": {"env": [
        {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]}},
    {"template": {
        "volumes": [
            {"name": "ca", "configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"name": "more", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "keys", "secret": {"secretName": "keys", "optional": True}},
            {"name": "disk", "persistentVolumeClaim": {"claimName": "d"}},
            {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "s"}}]}},
            {"name": "store", "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True}},
        ],
        "volumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/certs", "readOnly": True}],
    }},
]  # fmt: skip


def volume(**changes: Any) -> Change:
    return {"template": {"volumes": [{"name": "x", "emptyDir": {}, **changes}]}}


def mount(path: str, name: str = "x") -> Change:
    return {
        "template": {
            "volumes": [{"name": "x", "emptyDir": {}}],
            "volumeMounts": [{"name": name, "mountPath": path}],
        }
    }


REFUSED: list[tuple[Change, str]] = [
    ({"roomName": _REMOVE}, "spec.roomName: Required value"),
    ({"roomName": ""}, "spec.roomName"),
    ({"roomName": "x" * 257}, "spec.roomName"),
    ({"identity": _REMOVE}, "spec.identity: Required value"),
    ({"fileOutputs": _REMOVE}, NO_OUTPUT),
    ({"fileOutputs": _REMOVE, "streamOutputs": []}, NO_OUTPUT),
    (
        {"fileOutputs": _REMOVE, **STREAMS, "advanced": {"audioCodec": "OPUS"}},
        "advanced.audioCodec fits no output",
    ),
    (
        {"fileOutputs": _REMOVE, **images(), "advanced": {"audioCodec": "AAC"}},
        "segments and streams have AAC, images no sound",
    ),
    ({"segmentOutputs": []}, "spec.segmentOutputs"),
    (
        {"segmentOutputs": [copy.deepcopy(PVC)] * 10},
        "fileOutputs, segmentOutputs and imageOutputs take 10 entries together: use a second resource for the others",
    ),
    (segments(playlistName="{room}"), "playlistName has an unknown token or a lonely brace"),
    (segments(filenamePrefix="{"), "filenamePrefix has an unknown token or a lonely brace"),
    (segments(livePlaylistName="}"), "livePlaylistName has an unknown token or a lonely brace"),
    (
        segments(playlistName="a/all", livePlaylistName="b/live"),
        "livePlaylistName must be in the directory of playlistName: write it without a directory",
    ),
    (
        segments(playlistName="all", livePlaylistName="all"),
        "livePlaylistName cannot be the same as playlistName: choose another one",
    ),
    (segments(segmentDuration=61), "segmentOutputs[0].segmentDuration"),
    (segments(filenameSuffix="UTC"), "segmentOutputs[0].filenameSuffix"),
    (segments(protocol="DASH"), "segmentOutputs[0].protocol"),
    (segments(**S3), "each entry of segmentOutputs takes at most one destination"),
    (segments(backupStorage={}), "backupStorage needs exactly one destination"),
    (
        {"segmentOutputs": [{**PVC, "segmentDuration": 4}, {**PVC, "segmentDuration": 6}]},
        "each segmentDuration must be a multiple of the smallest one",
    ),
    (
        {"segmentOutputs": [copy.deepcopy(PVC), {**PVC, "segmentDuration": 6}]},
        "segmentOutputs: each segmentDuration must be a multiple of the smallest one",
    ),
    ({**segments(), "advanced": {"audioCodec": "OPUS"}}, "advanced.audioCodec fits no output"),
    ({**segments(), "advanced": {"audioCodec": "AC_MP3"}}, "advanced.audioCodec fits no output"),
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
    ({"advanced": {"videoCodec": "VP8"}}, "VP8 does not fit an MP4 file: use H264_MAIN, or remove it"),
    ({"advanced": {"videoCodec": "H265"}}, 'spec.advanced.videoCodec: Unsupported value: "H265"'),
    (
        {"advanced": {"audioCodec": "AC_MP3"}},
        "advanced.audioCodec fits no output: AAC goes into MP4, MKV, M4A; OPUS goes into",
    ),
    ({**output(fileType="OGG"), "advanced": {"audioCodec": "AAC"}}, "advanced.audioCodec fits no output"),
    ({**output(fileType="FLAC"), "advanced": {"audioCodec": "OPUS"}}, "advanced.audioCodec fits no output"),
    (output(fileType="WEBM"), "WEBM would hold the sound only, because pictures are H.264"),
    (
        {"advanced": {"audioFrequency": 44000}},
        "advanced.audioFrequency cannot have this value: AAC knows 8000",
    ),
    ({"advanced": {"audioFrequency": -1}}, "advanced.audioFrequency cannot have this value"),
    ({"advanced": {"depth": 32}}, "advanced.depth cannot have this value: use 24, or remove it"),
    ({"advanced": {"keyFrameInterval": -1}}, "advanced.keyFrameInterval must be between 0 and 3600 seconds"),
    ({"advanced": {"keyFrameInterval": 3601.5}}, "write for example 2 or 0.5"),
    ({"advanced": {"keyFrameInterval": "2s"}}, "spec.advanced.keyFrameInterval"),
    ({"desiredState": "Paused"}, "spec.desiredState"),
    (
        {"joinTimeout": "soon"},
        'joinTimeout must be a duration longer than 0s and at most 8760h: write for example "30s"',
    ),
    ({"joinTimeout": "0s"}, "joinTimeout must be a duration longer than 0s"),
    ({"joinTimeout": "-5s"}, "joinTimeout must be a duration longer than 0s"),
    ({"joinTimeout": "99999h"}, "joinTimeout must be a duration longer than 0s"),
    ({"uploadTimeout": "0s"}, "uploadTimeout must be a duration longer than 0s"),
    ({"template": {"scratchSize": "much"}}, "template.scratchSize must be a quantity greater than 0"),
    (
        output(presignedLocations={}),
        "presignedLocations: only S3 gives such URLs: remove it, or use s3",
    ),
    (
        {"fileOutputs": [{"presignedLocations": {"expiresIn": "169h"}}]},
        "presignedLocations.expiresIn must be a duration from 1s to 168h",
    ),
    (output(backupStorage={}), "backupStorage needs exactly one destination: set one of backupStorage.s3"),
    (
        output(backupStorage={"s3": {"bucket": "b", "secret": "hush"}}),
        "s3.access_key, s3.secret and s3.session_token must not stand in a manifest",
    ),
    ({"rejoinTimeout": "5"}, "rejoinTimeout must be a duration 0s or longer"),
    ({"limits": {"maxDuration": "0s"}}, "limits.maxDuration must be a duration longer than 0s"),
    (
        {"limits": {"maxSize": "ten"}},
        'limits.maxSize must be a quantity greater than 0: write for example "500Mi"',
    ),
    ({"limits": {"maxSize": "0"}}, "limits.maxSize must be a quantity greater than 0"),
    ({"limits": {"maxSize": -1}}, "limits.maxSize must be a quantity greater than 0"),
    ({"limits": {"maxParts": 0}}, "spec.limits.maxParts"),
    ({"limits": {"maxFileDuration": "299s"}}, "limits.maxFileDuration must be a duration 5m or longer"),
    ({"limits": {"maxFileDuration": "6"}}, "limits.maxFileDuration must be a duration"),
    ({"livekit": {"url": "wss://x"}}, "spec.livekit.credentialsSecretRef: Required value"),
    ({"livekit": {"credentialsSecretRef": {"name": "k"}}}, "spec.livekit.url: Required value"),
    (
        {"livekit": {"url": "livekit:7880", "credentialsSecretRef": {"name": "k"}}},
        "livekit.url must be a ws://",
    ),
    ({"livekit": {"url": "wss://u:p@x", "credentialsSecretRef": {"name": "k"}}}, "without user and password"),
    ({"livekit": {"url": "ftp://x", "credentialsSecretRef": {"name": "k"}}}, "livekit.url must be a ws://"),
    (
        {"fileOutputs": [{**PVC, **S3}]},
        "at most one destination: set one of s3, gcp, azure, aliOSS, http or pvc",
    ),
    (
        {"storage": {}},
        "storage needs exactly one destination: set one of storage.s3, storage.gcp, storage.azure, storage.aliOSS, storage.http or storage.pvc",
    ),
    ({"storage": {**PVC, **S3}}, "storage needs exactly one destination"),
    ({"storage": {"s3": {"bucket": "b", "secret": "hush"}}}, "must not stand in a manifest"),
    ({"storage": {"gcp": {}}}, "gcp.bucket: Required value"),
    ({"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished"),
    ({"ttlSecondsAfterFinished": "1h"}, "spec.ttlSecondsAfterFinished"),
    (output(fileType="AVI"), "fileOutputs[0].fileType"),
    (
        output(filepath="{track_identity}"),
        "filepath has an unknown token or a lonely brace: the tokens are {room_name}",
    ),
    (
        output(filepath="{track_id}"),
        "filepath: {track_id}, {track_type}, {track_source} name one track, and a ParticipantEgress records all",
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
    (to("gcp"), "fileOutputs[0].gcp.bucket: Required value"),
    (
        to("gcp", bucket="b", credentials="hush"),
        "gcp.credentials must not stand in a manifest: put the key file",
    ),
    (to("gcp", bucket="b", endpoint="x"), "gcp.endpoint must be an http:// or https:// URL"),
    (
        to("aliOSS", bucket="bbb", region="cn-hangzhou"),
        "fileOutputs[0].aliOSS.credentialsSecretRef: Required value",
    ),
    (
        to("aliOSS", bucket="bbb", credentialsSecretRef={"name": "k"}),
        "aliOSS.region is required where aliOSS.endpoint does not say it",
    ),
    (
        to("aliOSS", bucket="bbb", region="Hangzhou", credentialsSecretRef={"name": "k"}),
        "aliOSS.region must be the name of a region",
    ),
    *[
        (
            to(
                "aliOSS",
                bucket="bbb",
                region="cn-hangzhou",
                credentialsSecretRef={"name": "k"},
                **{field: "hush"},
            ),
            "aliOSS.access_key and aliOSS.secret must not stand in a manifest: put the keys",
        )
        for field in ("access_key", "accessKey", "secret")
    ],
    (to("azure", accountName="media"), "fileOutputs[0].azure.containerName: Required value"),
    (to("azure", containerName="c"), "azure.accountName is required where no azure.endpoint is given"),
    (to("azure", containerName="c", accountName="Media"), "azure.accountName must be 3 to 24 lower case"),
    (
        to("azure", containerName="c", endpoint="https://u:hush@x"),
        "azure.endpoint must be an http:// or https://",
    ),
    *[
        (
            to("azure", containerName="c", accountName="media", **{field: "hush"}),
            "azure.accountKey must not stand in a manifest: put the key account_key or sas_token into a Secret",
        )
        for field in ("accountKey", "account_key", "sasToken", "sas_token")
    ],
    (to("http"), "fileOutputs[0].http.url: Required value"),
    (to("http", url="ftp://x"), "http.url must be an http:// or https:// URL"),
    (
        to("http", url="https://u:hush@x"),
        "http.url must be an http:// or https:// URL without user and password",
    ),
    (to("http", url="https://x", headers={"authorization": "hush"}), "http.headers must hold no secret: put"),
    (to("http", url="https://x", headers={"Content-Length": "1"}), "http.headers: names are letters"),
    (to("http", url="https://x", headers={"a b": "1"}), "http.headers: names are letters"),
    (
        s3(assumeRoleArn="writer"),
        "s3.assumeRoleArn must be the ARN of a role: arn:aws:iam::ACCOUNT:role/NAME",
    ),
    (s3(assumeRoleExternalId="x7"), "s3.assumeRoleExternalId goes with s3.assumeRoleArn: add it"),
    (s3(metadata={"a b": "c"}), "s3.metadata: names are letters, digits"),
    (s3(metadata={"Egress-Upload": "c"}), "egress-upload is the recorder's own"),
    (s3(metadata={f"m{n}": "x" for n in range(21)}), "s3.metadata"),
    (s3(tagging="team"), "s3.tagging must be key=value pairs joined by &"),
    (s3(serverSideEncryption="AES128"), "s3.serverSideEncryption"),
    (s3(sseKmsKeyId="k"), "s3.sseKmsKeyId goes with s3.serverSideEncryption: aws:kms"),
    (s3(serverSideEncryption="AES256", sseKmsKeyId="k"), "s3.sseKmsKeyId goes with"),
    (s3(proxy={"url": "http://u:hush@proxy"}), "proxy.url must be an http:// or https:// URL without user"),
    (s3(proxy={"url": "socks5://proxy"}), "proxy.url must be an http:// or https:// URL"),
    (
        s3(proxy={"url": "http://p", "username": "u", "password": "hush"}),
        "proxy.password must not stand in a manifest: put the password into a Secret",
    ),
    (
        s3(proxy={"url": "http://p", "passwordSecretRef": {"name": "p"}}),
        "proxy.passwordSecretRef needs proxy.username: add it",
    ),
    (
        s3(proxy={"url": "http://p", "username": "u", "passwordSecretRef": {"name": "p", "key": "../k"}}),
        "passwordSecretRef.key must be a key of a Secret",
    ),
    ({"template": {"resources": {"requests": {"cpu": "much"}}}}, "template.resources must hold quantities"),
    ({"template": {"resources": {"limits": {"memory": "-1Gi"}}}}, "template.resources must hold quantities"),
    ({"template": {"serviceAccountName": "No"}}, "template.serviceAccountName must be the name of an object"),
    # Fields of later issues are absent and therefore refused, never accepted and ignored.
    ({"streamOutputs": [{}]}, "needs urls or destinations"),
    *[
        ({"streamOutputs": [{"urls": [url]}]}, "a stream's URL is rtmp://host/app/key")
        for url in (
            "http://h/app/key",
            "ws://h/x",
            "rtmp://h/key",
            "rtmp:///app/key",
            "srt://h",
            "rtmp://h/a/k y",
        )
    ],
    ({"streamOutputs": [{"protocol": "SRT", "urls": ["rtmp://h/app/key"]}]}, "scheme does not fit protocol"),
    (
        {"streamOutputs": [{"protocol": "RTMP", "destinations": [{"id": "a", "url": "srt://h:1"}]}]},
        "scheme does not fit protocol",
    ),
    ({"streamOutputs": [{"protocol": "WEBSOCKET", "urls": []}]}, "supported values"),
    ({"streamOutputs": [{"destinations": [{"id": "a"}]}]}, "needs url or urlSecretRef"),
    ({"streamOutputs": [{"destinations": [{"url": "srt://h:1"}]}]}, "id: Required value"),
    (
        {
            "streamOutputs": [
                {"destinations": [{"id": "a", "url": "srt://h:1"}, {"id": "a", "url": "srt://h:2"}]}
            ]
        },
        "Duplicate value",
    ),
    (
        {"streamOutputs": [{"urls": []}], **output(fileType="MP3"), "advanced": {"audioCodec": "AC_MP3"}},
        "streams carry AAC",
    ),
    ({"webhooks": [{"url": "https://x", "secret": "hush"}]}, 'unknown field "spec.webhooks[0].secret"'),
    ({"webhooks": [{"signingKey": "k"}]}, "webhooks[0].url: Required value"),
    ({"webhooks": [{"url": "ftp://x"}]}, "webhooks.url must be an http:// or https:// URL"),
    (
        {"webhooks": [{"url": "https://u:hush@x"}]},
        "webhooks.url must be an http:// or https:// URL without user",
    ),
    ({"webhooks": [{"url": "https://x"}] * 6}, "spec.webhooks"),
    (
        {"webhooks": [{"url": "https://x", "filterParams": {"includeEvents": ["room_started"]}}]},
        'supported values: "egress_started", "egress_updated", "egress_ended"',
    ),
    ({"encryption": {}}, 'unknown field "spec.encryption"'),
    ({"room_name": "x"}, 'unknown field "spec.room_name"'),
    ({"audioTrackId": "TR_x"}, 'unknown field "spec.audioTrackId"'),
    (output(gcp={"bucket": "b"}), "at most one destination"),
    # What the template may not take away from the recorder.
    *[
        (
            {"template": {"env": [{"name": name, "value": "x"}]}},
            "template.env must not set POD_IP, HOME, TMPDIR",
        )
        for name in ("POD_IP", "HOME", "TMPDIR")
    ],
    ({"template": {"env": [{"name": "A"}, {"name": "A"}]}}, "Duplicate value"),
    (
        {"template": {"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}]}},
        "template.env takes either value or valueFrom",
    ),
    ({"template": {"env": [{"name": "A", "valueFrom": {}}]}}, "valueFrom needs exactly one of"),
    ({"template": {"labels": {"egress.livekit.io/uid": "x"}}}, "template.labels must not set"),
    ({"template": {"labels": {"batch.kubernetes.io/job-name": "x"}}}, "template.labels must not set"),
    ({"template": {"labels": {"app.kubernetes.io/managed-by": "x"}}}, "template.labels must not set"),
    ({"template": {"labels": {f"l{n}": "x" for n in range(33)}}}, "template.labels"),
    ({"template": {"annotations": {"egress.livekit.io/name": "x"}}}, "template.annotations must not set"),
    *[
        (volume(name=name), "template.volumes must not be named recording, scratch, tmp or begin with")
        for name in ("recording", "scratch", "tmp", "credentials-0", "volume-7")
    ],
    (volume(hostPath={"path": "/"}), "hostPath"),
    ({"template": {"volumes": [{"name": "x"}]}}, "needs exactly one of configMap, secret, emptyDir"),
    (volume(secret={"secretName": "k"}), "needs exactly one of configMap, secret, emptyDir"),
    *[
        (mount(path), "template.volumeMounts.mountPath must lie apart from /etc/egress, /mnt/egress")
        for path in (
            "/scratch",
            "/tmp",
            "/tmp/x",
            "/etc",
            "/etc/egress",
            "/mnt/egress/0",
            "/mnt",
            "/dev/shm",
            "/proc",
        )
    ],
    *[
        (mount(path), "template.volumeMounts.mountPath must be an absolute path")
        for path in ("/", "data", "/a/", "/a/../tmp", "/a:b")
    ],
    (mount("/data", name="other"), "template.volumeMounts must name entries of template.volumes"),
    ({"template": {"affinity": {"podAffinityy": {}}}}, "podAffinityy"),
    ({"template": {"topologySpreadConstraints": [{"maxSkew": 1}]}}, "topologyKey: Required value"),
    ({"template": {"priorityClassName": "No"}}, "template.priorityClassName must be the name of an object"),
    ({"template": {"hostNetwork": True}}, "hostNetwork"),
    (images(filenamePrefix="{room}"), "filenamePrefix has an unknown token or a lonely brace"),
    (images(filenamePrefix="{track_id}"), "name one track, and a ParticipantEgress records all"),
    (images(filenameSuffix="INDEX"), 'supported values: "IMAGE_SUFFIX_INDEX"'),
    (images(imageCodec="IC_GIF"), 'supported values: "IC_DEFAULT"'),
    (images(captureInterval=-1), "captureInterval"),
    (images(width=5000), "width"),
    (images(s3={"bucket": "b"}), "each entry of imageOutputs takes at most one destination"),
    ({"imageOutputs": []}, "imageOutputs"),
    (
        {"imageOutputs": [copy.deepcopy(PVC) for _ in range(10)]},
        "fileOutputs, segmentOutputs and imageOutputs take 10 entries together",
    ),
    ({"template": {"securityContext": {}}}, "securityContext"),
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


AUDIO_TRACK: Change = {"audioTrackId": "TR_audio", "videoTrackId": _REMOVE}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"audioTrackId": "TR_audio"},
        AUDIO_TRACK,
        {"trackTimeout": "2m"},
        images(filenamePrefix="{track_id}"),
        *[{**AUDIO_TRACK, **output(fileType=name)} for name in FILE_KINDS],
        {**AUDIO_TRACK, "advanced": {"audioCodec": "AC_MP3"}},
        {**AUDIO_TRACK, "advanced": {"audioCodec": "AAC"}},
        {
            "audioTrackId": "TR_audio",
            "fileOutputs": [{**copy.deepcopy(PVC), "fileType": name} for name in ("OGG", "MKV")],
        },
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
        (
            {"audioTrackId": "TR_audio", **output(fileType="OGG")},
            "fileOutputs: the video track would be in no file, these types hold sound only: add an output with MP4",
        ),
        (output(fileType="OGG"), "a fileType that holds sound only needs audioTrackId"),
        (
            {"fileOutputs": [{**copy.deepcopy(PVC), "fileType": name} for name in ("MP4", "OGG")]},
            "a fileType that holds sound only needs audioTrackId",
        ),
        ({"advanced": {"audioCodec": "AC_MP3"}}, "advanced.audioCodec fits no output"),
        (
            {**AUDIO_TRACK, **images()},
            "imageOutputs: only an audio track is recorded, of which there are no images",
        ),
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


@pytest.mark.parametrize("codec", ["", "AAC", "OPUS", "AC_MP3"])
def test_the_schema_refuses_the_files_that_a_recorder_would_refuse(
    api: KubeApi, space: str, codec: str
) -> None:
    sources: list[tuple[str, Change, dict[str, bool]]] = [
        (PARTICIPANT_KIND, {}, {"pictures": True, "sound": True, "named": False}),
        (TRACK_COMPOSITE_KIND, {}, {"pictures": True, "sound": False}),
        (TRACK_COMPOSITE_KIND, {"audioTrackId": "TR_audio"}, {"pictures": True, "sound": True}),
        (TRACK_COMPOSITE_KIND, AUDIO_TRACK, {"pictures": False, "sound": True}),
    ]
    advanced = {"advanced": {"audioCodec": codec}} if codec else {}
    for types in [*((name,) for name in FILE_KINDS), ("MP3", "OGG"), ("OGG", "MP4"), ("WEBM", "MKV")]:
        outputs = {"fileOutputs": [{**copy.deepcopy(PVC), "fileType": name} for name in types]}
        for kind, source, asked in sources:
            refusal = send(api, space, kind, spec_of(kind, **source, **outputs, **advanced))
            expected = problem(types, codec=codec, **asked)
            assert bool(refusal) == bool(expected), (types, kind, source, refusal, expected)


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
    "segmentOutputs": ([PVC], [S3]),
    "imageOutputs": ([PVC], [S3]),
    "livekit": (
        {"url": "wss://a", "credentialsSecretRef": {"name": "k"}},
        {"url": "wss://b", "credentialsSecretRef": {"name": "k"}},
    ),
    "rejoinTimeout": ("10s", "20s"),
    "uploadTimeout": ("10m", "20m"),
    "limits": ({"maxParts": 2}, {"maxParts": 3}),
    "storage": (PVC, S3),
    "streamOutputs": ([{"urls": []}], [{"urls": []}, {"urls": []}]),
    "webhooks": ([{"url": "https://a"}], [{"url": "https://b"}]),
}
MUTABLE: dict[str, tuple[Any, Any]] = {
    "desiredState": ("Recording", "Stopped"),
    "template": ({"serviceAccountName": "a"}, {"serviceAccountName": "b"}),
    "ttlSecondsAfterFinished": (60, 3600),
}


def test_the_immutability_tables_hold_every_field() -> None:
    for kind in SPECS:
        fields = {camel(name) for name in SPECS[kind].model_fields}
        assert fields <= VALUES.keys() | MUTABLE.keys()


@pytest.mark.parametrize("kind", list(SPECS))
def test_every_field_but_three_is_immutable(api: KubeApi, space: str, kind: str) -> None:
    fields = [camel(name) for name in SPECS[kind].model_fields]
    required = {"roomName", "identity"}
    for field in fields:
        old, new = (VALUES | MUTABLE)[field]
        # Both track ids, so that removing one leaves a valid composite.
        others = {"audioTrackId": "TR_a", "videoTrackId": "TR_v"} if kind == TRACK_COMPOSITE_KIND else {}
        if field == "fileOutputs":
            others = {**others, "segmentOutputs": [copy.deepcopy(PVC)]}
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
                expected = f"spec.{field} cannot be changed (only spec.desiredState, urls and destinations of"
                assert expected in refusal, f"{what} {field}: {refusal}"
        for name in (with_field, without):
            api.delete(PLURALS[kind], space, name)


STREAM_CHANGES: list[tuple[Any, Any, bool]] = [
    ([{"urls": ["rtmp://h/app/a"]}], [{"urls": ["rtmp://h/app/b", "srt://h:1"]}], True),
    ([{"urls": ["rtmp://h/app/a"]}], [{"destinations": [{"id": "b", "url": "srt://h:1"}]}], True),
    ([{"protocol": "RTMP", "urls": []}], [{"protocol": "SRT", "urls": []}], False),
    ([{"urls": []}], [{"protocol": "SRT", "urls": []}], False),
    ([{"urls": []}], [], False),
]


@pytest.mark.parametrize(("old", "new", "fine"), STREAM_CHANGES)
def test_the_streams_of_an_output_may_change_and_the_outputs_may_not(
    api: KubeApi, space: str, old: Any, new: Any, fine: bool
) -> None:
    name = f"r-{secrets.token_hex(4)}"
    spec = spec_of(PARTICIPANT_KIND, streamOutputs=old)
    assert send(api, space, PARTICIPANT_KIND, spec, name=name, dry=False) == ""

    refusal = change(api, space, PARTICIPANT_KIND, name, {"streamOutputs": new})

    assert (refusal == "") == fine, refusal
    assert fine or "spec.streamOutputs cannot be changed" in refusal
    api.delete(PLURALS[PARTICIPANT_KIND], space, name)


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


@pytest.mark.parametrize("kind", sorted(PLURALS))
def test_the_column_location_shows_where_the_recording_is(api: KubeApi, space: str, kind: str) -> None:
    name = f"r-{secrets.token_hex(4)}"
    place = "https://s3.example/recordings/hls/all.m3u8"
    spec = spec_of(kind, **segments(playlistName="hls/all"))
    assert send(api, space, kind, spec, name=name, dry=False) == ""
    path = f"/apis/{API_VERSION}/namespaces/{space}/{PLURALS[kind]}/{name}"
    patch = {"status": {"location": place}}
    api.request("PATCH", f"{path}/status", patch, content_type="application/merge-patch+json")

    # As kubectl asks.
    table = api.request("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io")

    names = [column["name"] for column in table["columnDefinitions"]]
    assert table["rows"][0]["cells"][names.index("Location")] == place
