"""Owns the parts of a spec: outputs, storage, encoding, connection, limits, with the CEL rules beside the fields. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from egress_operator.schema import ApiModel, dns_name, rule
from egress_recorder.contract import TOKENS

DEFAULT_MAX_PARTS = 20

_DURATION = r"^(0|([0-9]+([.][0-9]+)?(ms|s|m|h))+)$"
_KEYS_HINT = "put the keys access_key and secret into a Secret of this namespace and name it in s3.credentialsSecretRef.name"


def duration_rule(field: str, *, zero: bool) -> dict[str, Any]:
    """Return the CEL rule of a duration field (Go syntax)."""
    comparison = ">=" if zero else ">"
    wanted = "0s or longer" if zero else "longer than 0s"
    return {
        "x-kubernetes-validations": [
            rule(
                f"self.matches('{_DURATION}') && duration(self) {comparison} duration('0s')"
                " && duration(self) <= duration('8760h')",
                f'{field} must be a duration {wanted} and at most 8760h: write for example "30s" or "1h30m"',
            )
        ]
    }


def _even(field: str) -> dict[str, Any]:
    return {
        "x-kubernetes-validations": [
            rule(
                "self % 2 == 0",
                f"{field} must be even, as H.264 needs it: use the next even number, for example 1280",
            )
        ]
    }


Text = Annotated[str, Field(max_length=256)]
SecretText = Annotated[str | None, Field(default=None, max_length=4096)]


class SecretRef(ApiModel):
    """Names a Secret in the resource's own namespace."""

    name: str = Field(
        min_length=1,
        max_length=253,
        description="Name of a Secret in the same namespace.",
        json_schema_extra=dns_name("credentialsSecretRef.name"),
    )


INLINE_SECRETS = ("access_key", "accessKey", "secret", "session_token", "sessionToken")
_FILEPATH_RULE = "self" + "".join(f".replace('{{{token}}}', '')" for token in TOKENS) + ".matches('^[^{}]*$')"


class S3(ApiModel):
    """LiveKit's S3Upload; keys come from a Secret or from the pod's workload identity."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    " && ".join(f"!has(self.{name})" for name in INLINE_SECRETS),
                    "s3.access_key, s3.secret and s3.session_token must not stand in a manifest: "
                    + _KEYS_HINT,
                ),
                rule(
                    "!has(self.endpoint) || (isURL(self.endpoint) && !self.endpoint.contains('@')"
                    " && url(self.endpoint).getScheme() in ['http', 'https'])",
                    "s3.endpoint must be an http:// or https:// URL without user and password:"
                    " write for example https://minio.example.com:9000",
                ),
            ]
        }
    )

    bucket: str = Field(min_length=1, max_length=255, description="Bucket; it must exist.")
    region: str | None = Field(default=None, max_length=64, description="Region of the bucket.")
    endpoint: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="URL of an S3-compatible server; absent: AWS.",
    )
    force_path_style: bool | None = Field(
        default=None, description="Address the bucket in the path, as most S3-compatible servers want it."
    )
    credentials_secret_ref: SecretRef | None = Field(
        default=None,
        description="Secret with the keys access_key, secret and optionally session_token (or AWS_ACCESS_KEY_ID,"
        " AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN). Absent: the workload identity of the pod's service account.",
    )
    access_key: SecretText = Field(
        default=None, alias="access_key", description="Refused: " + _KEYS_HINT + "."
    )
    access_key_camel: SecretText = Field(
        default=None, alias="accessKey", description="Refused, as access_key."
    )
    secret: SecretText = Field(default=None, description="Refused, as access_key.")
    session_token: SecretText = Field(
        default=None, alias="session_token", description="Refused, as access_key."
    )
    session_token_camel: SecretText = Field(
        default=None, alias="sessionToken", description="Refused, as access_key."
    )


class VolumeClaim(ApiModel):
    """A PersistentVolumeClaim of the resource's namespace; the file is written below its root."""

    claim_name: str = Field(
        min_length=1,
        max_length=253,
        description="Name of a PersistentVolumeClaim in the same namespace.",
        json_schema_extra=dns_name("pvc.claimName"),
    )


class Storage(ApiModel):
    """Where files go that name no destination of their own."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "has(self.s3) != has(self.pvc)",
                    "storage needs exactly one destination: set either storage.s3 or storage.pvc",
                )
            ]
        }
    )

    s3: S3 | None = Field(default=None, description="Upload to S3.")
    pvc: VolumeClaim | None = Field(default=None, description="Write to a mounted volume.")


class FileOutput(ApiModel):
    """LiveKit's EncodedFileOutput: one file, to one destination."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!(has(self.s3) && has(self.pvc))",
                    "each entry of fileOutputs takes at most one destination: set either s3 or pvc, or none"
                    " for that of spec.storage or of the operator",
                )
            ]
        }
    )

    file_type: Literal["MP4"] | None = Field(default=None, description="Container; absent: MP4.")
    filepath: str | None = Field(
        default=None,
        max_length=512,
        description="Object key or path; absent or ending in /: {room_name}-{time} is appended. Tokens: "
        + ", ".join(f"{{{token}}}" for token in TOKENS)
        + ".",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    _FILEPATH_RULE,
                    "filepath has an unknown token or a lonely brace: the tokens are "
                    + ", ".join(f"{{{token}}}" for token in TOKENS),
                )
            ]
        },
    )
    disable_manifest: bool | None = Field(
        default=None,
        description="True: no manifest {egressId}.json beside this output's file. A next part then knows of earlier ones"
        " only what the status says.",
    )
    s3: S3 | None = Field(default=None, description="Upload to S3.")
    pvc: VolumeClaim | None = Field(default=None, description="Write to a mounted volume.")


class Advanced(ApiModel):
    """LiveKit's EncodingOptions; what is absent is as in H264_720P_30."""

    width: int | None = Field(
        default=None,
        ge=16,
        le=4096,
        description="Pixels, even; absent: 1280.",
        json_schema_extra=_even("advanced.width"),
    )
    height: int | None = Field(
        default=None,
        ge=16,
        le=4096,
        description="Pixels, even; absent: 720.",
        json_schema_extra=_even("advanced.height"),
    )
    framerate: int | None = Field(default=None, ge=1, le=60, description="Frames per second; absent: 30.")
    video_bitrate: int | None = Field(default=None, ge=1, le=100_000, description="kbit/s; absent: 3000.")
    audio_bitrate: int | None = Field(default=None, ge=8, le=512, description="kbit/s; absent: 128.")


class LiveKit(ApiModel):
    """Another LiveKit server than the operator's own; a foreign URL never receives a token of the default key."""

    url: str = Field(
        min_length=1,
        max_length=1024,
        description="LiveKit server.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "isURL(self) && !self.contains('@') && url(self).getScheme() in ['ws', 'wss', 'http', 'https']",
                    "livekit.url must be a ws://, wss://, http:// or https:// URL without user and password:"
                    " write for example wss://livekit.example.com",
                )
            ]
        },
    )
    credentials_secret_ref: SecretRef = Field(description="Secret with the keys api-key and api-secret.")


class Limits(ApiModel):
    """Ends the recording with LimitReached, the file complete."""

    max_duration: str | None = Field(
        default=None,
        max_length=32,
        description="Media time of the whole recording, for example 2h.",
        json_schema_extra=duration_rule("limits.maxDuration", zero=False),
    )
    max_size: int | str | None = Field(
        default=None,
        description="Bytes of the whole recording as a quantity, for example 10Gi.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "type(self) == int ? self > 0 :"
                    " (isQuantity(self) && quantity(self).isGreaterThan(quantity('0')))",
                    'limits.maxSize must be a quantity greater than 0: write for example "500Mi" or "10Gi"',
                )
            ]
        },
    )
    max_parts: int | None = Field(
        default=None, ge=1, le=1000, description=f"Highest number of files; absent: {DEFAULT_MAX_PARTS}."
    )
