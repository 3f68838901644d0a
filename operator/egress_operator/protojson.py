"""Owns protobuf JSON as LiveKit's server (Go's protojson) writes it: fields as declared, no spaces, UTF-8. Pure.

Python's library knows the mapping (names, enums, int64 as text, nothing unpopulated); it orders fields by number, Go by
their place in the .proto file. A receiver that reads JSON sees no difference; one that compares texts does.
"""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.json_format import MessageToDict


def encode(message: Any) -> bytes:
    """Return the message's JSON."""
    document = _ordered(MessageToDict(message), message.DESCRIPTOR)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _ordered(document: dict[str, Any], descriptor: Any) -> dict[str, Any]:
    """Return the fields in the order of the declaration, also those of inner messages. Maps have theirs by key."""
    ordered = {}
    for field in descriptor.fields:
        if field.json_name not in document:
            continue
        value = document[field.json_name]
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            value = dict(sorted(value.items()))
        elif inner is not None:
            value = (
                [_ordered(one, inner) for one in value] if isinstance(value, list) else _ordered(value, inner)
            )
        ordered[field.json_name] = value
    return ordered
