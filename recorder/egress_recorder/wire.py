"""Owns the form of documents that operator and recorder exchange: frozen models, camelCase, tolerant to newer fields."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from egress_recorder.vocabulary import camel_case


class WireModel(BaseModel):
    """Frozen, camelCase on the wire, tolerant to fields of a newer version."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        alias_generator=camel_case,
        ser_json_timedelta="float",
    )

    def to_json(self) -> str:
        """Return one line of JSON, camelCase keys, empty fields left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, camelCase keys, empty fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ContractError(ValueError):
    """A document of the other side cannot be understood; the message names the field and the way out."""
