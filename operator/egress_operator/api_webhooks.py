"""Owns `webhooks[]` of a spec, which is also the shape of the operator-wide receivers: LiveKit's WebhookConfig. Pure."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field

from egress_operator.api_s3 import http_url
from egress_operator.schema import ApiModel

EventName = Literal["egress_started", "egress_updated", "egress_ended"]
EVENT_NAMES: tuple[str, ...] = get_args(EventName)
MAX_RECEIVERS = 5

_Names = Annotated[list[EventName] | None, Field(default=None, max_length=3)]


class FilterParams(ApiModel):
    """Which events a receiver gets."""

    include_events: _Names = Field(
        default=None, max_length=3, description="Only these; absent or empty: all."
    )
    exclude_events: _Names = Field(
        default=None, max_length=3, description="All but these; includeEvents goes before it."
    )


class WebhookConfig(ApiModel):
    """LiveKit's WebhookConfig: a receiver of the recording's events."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                http_url("webhooks.url", "https://app.example.com/egress", optional=False)
            ]
        }
    )

    url: str = Field(
        min_length=1,
        max_length=1024,
        description="Where events are sent by POST; redirects are not followed.",
    )
    signing_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Name of the API key that signs: that of the recording's LiveKit Secret, another key of this Secret"
        " (its name there; the value is the key's secret), or the operator's. Absent: the key of the recording's connection.",
    )
    filter_params: FilterParams | None = Field(default=None, description="Absent: all events.")
