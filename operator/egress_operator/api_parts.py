"""Owns the parts of a spec: outputs, storage, connection, limits, with the CEL rules beside the fields. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from egress_operator.api_storage import KINDS, BackupStorage, Place, SecretRef, at_most_one
from egress_operator.schema import ApiModel, rule
from egress_operator.units import parse_duration
from egress_recorder.contract import (
    DEFAULT_FILETYPE,
    FILE_KINDS,
    SOUND_ONLY,
    TOKENS,
    TRACK_TOKENS,
    WITH_PICTURES,
    in_words,
)

DEFAULT_MAX_PARTS = 20
DEFAULT_MAX_FILE_DURATION = 6 * 3600.0
"""Seconds."""

_DURATION = r"^(0|([0-9]+([.][0-9]+)?(ms|s|m|h))+)$"


def duration_rule(field: str, *, zero: bool, least: str = "0s") -> dict[str, Any]:
    """Return the CEL rule of a duration field (Go syntax). `zero`: `least` itself is allowed."""
    comparison = ">=" if zero else ">"
    wanted = f"{least} or longer" if zero else f"longer than {least}"
    return {
        "x-kubernetes-validations": [
            rule(
                f"self.matches('{_DURATION}') && duration(self) {comparison} duration('{least}')"
                " && duration(self) <= duration('8760h')",
                f'{field} must be a duration {wanted} and at most 8760h: write for example "30s" or "1h30m"',
            )
        ]
    }


Text = Annotated[str, Field(max_length=256)]


_NAME = f"self.matches('^([^{{}}]|[{{]({'|'.join(TOKENS)})[}}])*$')"


def name_rule(field: str) -> dict[str, Any]:
    """Return the CEL rule of a field that names objects, with tokens."""
    return {
        "x-kubernetes-validations": [
            rule(_NAME, f"{field} has an unknown token or a lonely brace: the tokens are {in_words(TOKENS)}")
        ]
    }


_TRACK_TOKEN = f"matches('[{{]({'|'.join(TRACK_TOKENS)})[}}]')"


def _free_of_them(outputs: str, *names: str) -> str:
    each = " && ".join(f"(!has(output.{name}) || !output.{name}.{_TRACK_TOKEN})" for name in names)
    return f"(!has(self.{outputs}) || self.{outputs}.all(output, {each}))"


_NO_TRACK_TOKEN = " && ".join(
    (
        _free_of_them("fileOutputs", "filepath"),
        _free_of_them("segmentOutputs", "filenamePrefix", "playlistName", "livePlaylistName"),
        _free_of_them("imageOutputs", "filenamePrefix"),
    )
)


def no_track_tokens(why: str, *, when: str = "true") -> dict[str, Any]:
    """Return the rule of a spec that records more than one track (`when`): what names one track has no value there."""
    return rule(
        f"!({when}) || ({_NO_TRACK_TOKEN})", f"filepath: {in_words(TRACK_TOKENS)} name one track, and {why}"
    )


LONGEST_PRESIGNED = 7 * 24 * 3600.0
"""Seconds; AWS' limit, and how long LiveKit's are valid."""


class PresignedLocations(ApiModel):
    """Locations that let anybody read the file for a while."""

    expires_in: str | None = Field(
        default=None,
        max_length=32,
        description="How long; at most, and when absent, 168h. Never longer than the credentials that sign it.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"self.matches('{_DURATION}') && duration(self) >= duration('1s')"
                    " && duration(self) <= duration('168h')",
                    'presignedLocations.expiresIn must be a duration from 1s to 168h: write for example "24h"',
                )
            ]
        },
    )

    @property
    def seconds(self) -> float:
        """Seconds; default seven days."""
        return parse_duration(self.expires_in) if self.expires_in else LONGEST_PRESIGNED


_NOT_PRESIGNING = " || ".join(f"has(self.{kind})" for kind in KINDS if kind != "s3")


class FileOutput(Place):
    """LiveKit's EncodedFileOutput: one file, to one destination."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                at_most_one("fileOutputs"),
                rule(
                    f"!has(self.presignedLocations) || !({_NOT_PRESIGNING})",
                    "presignedLocations: only S3 gives such URLs: remove it, or use s3",
                ),
            ]
        }
    )

    file_type: Literal[(DEFAULT_FILETYPE, *FILE_KINDS)] | None = Field(  # type: ignore[valid-type]
        default=None,
        description="LiveKit's EncodedFileType: "
        + ", ".join(WITH_PICTURES)
        + " hold pictures and sound, "
        + ", ".join(SOUND_ONLY)
        + " sound only. Absent or DEFAULT_FILETYPE: MP4; OGG where only an audio track is recorded (docs/outputs).",
    )
    filepath: str | None = Field(
        default=None,
        max_length=512,
        description="Object key or path, its extension made that of fileType; absent or ending in /: {room_name}-{time} is appended. Tokens: "
        + in_words(TOKENS)
        + " (docs/names.md).",
        json_schema_extra=name_rule("filepath"),
    )
    disable_manifest: bool | None = Field(
        default=None,
        description="True: no manifest {egressId}.json beside this output's file. A next part then knows of earlier ones"
        " only what the status says.",
    )

    overwrite: bool | None = Field(
        default=None,
        description="True: an object that has the file's name already is replaced. Absent: it stays, and the file gets a"
        " name of its own.",
    )
    presigned_locations: PresignedLocations | None = Field(
        default=None,
        description="S3 only: status.fileResults[].location is a URL by which anybody can read the file for a while."
        " It is a secret: who may read the resource may read the file.",
    )
    backup_storage: BackupStorage | None = Field(
        default=None,
        description="As storage: where the file goes when its storage refuses it or does not answer within uploadTimeout."
        " Absent: the operator's backup storage, if it has one.",
    )


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
    """Ends the recording with LimitReached, the file complete; maxFileDuration ends only a file."""

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
    max_file_duration: str | None = Field(
        default=None,
        max_length=32,
        description="A new file begins, without a gap, when one is so long; absent: 6h. Up to a minute later where"
        " pictures and sound can be cut at the same moment (docs/outputs). Segments and streams go on.",
        json_schema_extra=duration_rule("limits.maxFileDuration", zero=True, least="5m"),
    )
    max_parts: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description=f"Highest number of files, those that maxFileDuration began not counted; absent: {DEFAULT_MAX_PARTS}.",
    )
