"""Owns the arithmetic of contract versions: what a side reads, what a document needs, in which version to answer. Pure.

A side of version N reads documents of N-1, N and N+1; unknown fields are ignored, new ones have defaults. A document of
N+1 may hold something that must not be ignored: it says so in `minContractVersion`, the lowest version that
understands all that is really used in it. So a newer operator and an older recorder work together, and the reverse, as
long as nothing new is asked for. What is new in version N says so: `json_schema_extra={"since": N}` at a field of a
document, `metadata={"since": N}` at one of a dataclass, `SINCE: ClassVar = N` in a whole new kind (a storage, a source).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from pydantic import BaseModel

FIRST = 1


def supported(own: int) -> frozenset[int]:
    """Return the versions whose documents a side of version `own` reads."""
    return frozenset({own - 1, own, own + 1} - {0})


def answering(own: int, asked: int) -> int:
    """Return the version of an answer to a document of version `asked`: never newer than whoever asks reads."""
    return min(own, asked)


def required(value: object) -> int:
    """Return the highest `since` of what is really used in a value; 1 when all of it is as old as the contract."""
    since = int(getattr(type(value), "SINCE", FIRST))
    if isinstance(value, BaseModel):
        since = max([since, *(_of_document_field(value, name) for name in type(value).model_fields)])
    elif is_dataclass(value) and not isinstance(value, type):
        since = max([since, *(_of_dataclass_field(value, one) for one in fields(value))])
    elif isinstance(value, Mapping):
        since = max([since, *(required(item) for item in value.values())])
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        since = max([since, *(required(item) for item in value)])
    return since


def _of_document_field(document: BaseModel, name: str) -> int:
    described = type(document).model_fields[name]
    value = getattr(document, name)
    if not described.is_required() and value == described.get_default(call_default_factory=True):
        return FIRST
    extra = described.json_schema_extra
    return max(int(str(extra.get("since", FIRST))) if isinstance(extra, dict) else FIRST, required(value))


def _of_dataclass_field(value: Any, one: Field[Any]) -> int:
    item = getattr(value, one.name)
    default = one.default if one.default_factory is MISSING else one.default_factory()
    if default is not MISSING and item == default:
        return FIRST
    return max(int(one.metadata.get("since", FIRST)), required(item))
