"""Owns the streams of a spec: LiveKit's StreamOutput with its rules, and what of it may change while recording. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from egress_operator.schema import ApiModel, dns_name, rule

MAX_OUTPUTS, MAX_STREAMS = 5, 10
_RTMP = "^(rtmps?://[^/ ]+/[^ ]*[^/ ]/[^/ ][^ ]*|(mux|twitch)://[^ ]+)( live=1)?$"
_SRT = "^srt://[^/? ]+:[0-9]{1,5}([/?][^ ]*)?$"
_FORMS = "rtmp://host/app/key, rtmps://host/app/key, mux://key, twitch://key or srt://host:port?streamid=…"
_URL_RULE = {
    "x-kubernetes-validations": [
        rule(f"self.matches('{_RTMP}') || self.matches('{_SRT}')", f"a stream's URL is {_FORMS}")
    ]
}
_Url = Annotated[str, Field(min_length=1, max_length=2048, json_schema_extra=_URL_RULE)]


class SecretKeyRef(ApiModel):
    """One key of a Secret of the resource's namespace."""

    name: str = Field(
        min_length=1, max_length=253, description="Secret.", json_schema_extra=dns_name("urlSecretRef.name")
    )
    key: str = Field(min_length=1, max_length=253, description="Its key; the value is the URL.")


class StreamDestination(ApiModel):
    """LiveKit's StreamDestination; the URL may lie in a Secret."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "has(self.url) != has(self.urlSecretRef)",
                    "each entry of destinations needs url or urlSecretRef, and not both",
                )
            ]
        }
    )

    id: str = Field(min_length=1, max_length=64, description="Names the stream in status and webhooks.")
    url: _Url | None = Field(
        default=None, description="Whoever reads the resource reads the key: see urlSecretRef."
    )
    url_secret_ref: SecretKeyRef | None = Field(default=None, description="Where the URL is.")


_FITS = (
    "!has(self.protocol) || self.protocol == 'DEFAULT_PROTOCOL'"
    " || ((!has(self.urls) || self.urls.all(url, url.startsWith('srt://') == (self.protocol == 'SRT')))"
    " && (!has(self.destinations) || self.destinations.all(one, !has(one.url)"
    " || one.url.startsWith('srt://') == (self.protocol == 'SRT'))))"
)


class StreamOutput(ApiModel):
    """LiveKit's StreamOutput: the recording's pictures and sound, live, to any number of receivers."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "has(self.urls) || has(self.destinations)",
                    "each entry of streamOutputs needs urls or destinations; either may be empty and filled later",
                ),
                rule(
                    _FITS,
                    "streamOutputs: a URL's scheme does not fit protocol: correct one, or remove protocol",
                ),
            ]
        }
    )

    protocol: Literal["DEFAULT_PROTOCOL", "RTMP", "SRT"] | None = Field(
        default=None, description="LiveKit's StreamProtocol; absent or DEFAULT_PROTOCOL: what each URL says."
    )
    urls: list[_Url] | None = Field(
        default=None,
        max_length=MAX_STREAMS,
        description=f"{_FORMS}. Entries may be added and removed while recording. Whoever reads the resource reads the keys:"
        " destinations can name a Secret.",
    )
    destinations: list[StreamDestination] | None = Field(
        default=None,
        max_length=MAX_STREAMS,
        description="As urls, with an id and, if wanted, the URL in a Secret. May change while recording.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]},
    )


_SHAPE = "streamOutputs.map(one, has(one.protocol) ? one.protocol : '')"
UNCHANGED = (
    "has(self.streamOutputs) == has(oldSelf.streamOutputs)"
    f" && (!has(self.streamOutputs) || self.{_SHAPE} == oldSelf.{_SHAPE})"
)
"""What must hold of a change: the outputs and their protocols stay, because the encoder was opened for them."""

STREAMED_SOUND: dict[str, Any] = rule(
    "!has(self.streamOutputs) || !has(self.advanced) || !has(self.advanced.audioCodec)"
    " || self.advanced.audioCodec in ['AAC', 'OPUS']",
    "advanced.audioCodec AC_MP3 beside streamOutputs: streams carry AAC; give the file fileType MP3 instead",
)
