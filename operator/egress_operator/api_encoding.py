"""Owns `advanced` of a spec, LiveKit's EncodingOptions: its fields, and what of them fits the file. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, get_args

from pydantic import Field

from egress_operator.schema import ApiModel, rule
from egress_recorder.contract import (
    LONGEST_KEY_FRAME_INTERVAL,
    OPUS_FREQUENCY,
    AudioCodec,
    AudioFrequency,
    Encoding,
    VideoCodec,
)


def _even(field: str) -> dict[str, Any]:
    return {
        "x-kubernetes-validations": [
            rule(
                "self % 2 == 0",
                f"{field} must be even, as H.264 needs it: use the next even number, for example 1280",
            )
        ]
    }


def _one_of(field: str, values: str, way_out: str) -> dict[str, Any]:
    """Return the CEL rule of a field of `advanced`: LiveKit's enumeration has more than fits the file."""
    return {
        "x-kubernetes-validations": [
            rule(f"self in {values}", f"advanced.{field} cannot have this value: {way_out}")
        ]
    }


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
    depth: int | None = Field(
        default=None,
        description="0, 8, 16 or 24. Ignored, as LiveKit does where no browser is recorded.",
        json_schema_extra=_one_of("depth", "[0, 8, 16, 24]", "use 24, or remove it"),
    )
    framerate: int | None = Field(default=None, ge=1, le=60, description="Frames per second; absent: 30.")
    video_codec: Literal["DEFAULT_VC", *get_args(VideoCodec), "VP8"] | None = Field(  # type: ignore[valid-type]
        default=None,
        description="Profile of H.264; absent: H264_MAIN. H264_BASELINE is constrained baseline.",
        json_schema_extra=_one_of(
            "videoCodec", "['DEFAULT_VC', 'H264_BASELINE', 'H264_MAIN', 'H264_HIGH']",
            "VP8 does not fit an MP4 file: use H264_MAIN, or remove it",
        ),
    )  # fmt: skip
    video_bitrate: int | None = Field(default=None, ge=1, le=100_000, description="kbit/s; absent: 3000.")
    video_quality: int | None = Field(default=None, description="Ignored, as LiveKit does.")
    key_frame_interval: float | None = Field(
        default=None,
        description="Seconds from one key frame to the next, with decimals if need be; absent or 0: 2. Segments alone"
        " ignore it; beside streamOutputs they are at most so long.",
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    f"self >= 0.0 && self <= {LONGEST_KEY_FRAME_INTERVAL}",
                    "advanced.keyFrameInterval must be between 0 and"
                    f" {LONGEST_KEY_FRAME_INTERVAL:.0f} seconds: write for example 2 or 0.5",
                )
            ]
        },
    )
    audio_codec: Literal["DEFAULT_AC", *get_args(AudioCodec)] | None = Field(  # type: ignore[valid-type]
        default=None,
        description="Of the outputs that can hold it; the others have the codec of their fileType. Absent: AAC in MP4, MKV and M4A.",
    )
    audio_bitrate: int | None = Field(default=None, ge=8, le=512, description="kbit/s; absent: 128.")
    audio_quality: int | None = Field(default=None, description="Ignored, as LiveKit does.")
    audio_frequency: int | None = Field(
        default=None,
        description="Hz of AAC, WAV, FLAC and, up to 48000, MP3; absent: 48000, in which sound arrives (LiveKit: 44100)."
        " Opus is always 48000.",
        json_schema_extra=_one_of(
            "audioFrequency",
            str([0, *get_args(AudioFrequency)]),
            "AAC knows " + ", ".join(str(hz) for hz in get_args(AudioFrequency)),
        ),
    )

    def encoding(self) -> Encoding:
        """Return what it comes to, as LiveKit: 0 and DEFAULT_… are "not set", Opus has one frequency."""
        known = {field.name for field in fields(Encoding)}
        asked = self.model_dump(exclude_none=True, include=known)
        chosen = {
            name: value for name, value in asked.items() if value and not str(value).startswith("DEFAULT_")
        }
        if chosen.get("audio_codec") == "OPUS":
            chosen["audio_frequency"] = OPUS_FREQUENCY
        return Encoding(**chosen)
