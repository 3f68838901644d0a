"""Owns what a recorder's container requests and is limited to: the built-in table, the operator's, the resource's. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from egress_operator.api import Spec
from egress_operator.facts import encoding_of
from egress_operator.model import Document
from egress_operator.settings import Settings
from egress_operator.units import exact_quantity, parse_quantity
from egress_recorder.contract import DEFAULT_PRESET, PRESETS, Encoding

_REQUESTS: Final = {
    # preset: CPU, memory
    "H264_720P_30": ("600m", "384Mi"),
    "H264_720P_60": ("1100m", "512Mi"),
    "H264_1080P_30": ("1200m", "512Mi"),
    "H264_1080P_60": ("2200m", "768Mi"),
}
"""In the order of their pixels per second. A portrait preset has the row of the landscape one with as many pixels;
`advanced` takes the first row that holds its pixel rate, the last one beyond."""


def of_recorder(spec: Spec, settings: Settings, asked: Mapping[str, Any]) -> Document:
    """Return requests and limits. `asked`: those of the pod's template, which win name by name."""
    own = _of_operator(spec, settings)
    cpu, memory = _REQUESTS[_row(encoding_of(spec))]
    requests: dict[str, int | str] = {
        "cpu": cpu,
        "memory": memory,
        **(own.get("requests") or {}),
        **(asked.get("requests") or {}),
    }
    # Memory alone is limited: a throttled encoder drops frames, a leaking one must not take the node.
    limits: dict[str, int | str] = {
        "memory": 2 * parse_quantity(requests["memory"]),
        **(own.get("limits") or {}),
        **(asked.get("limits") or {}),
    }
    for name in requests.keys() & limits.keys():
        # A limit given alone must not be refused because the table asks for more.
        if exact_quantity(requests[name]) > exact_quantity(limits[name]):
            requests[name] = limits[name]
    return {
        "requests": {name: str(value) for name, value in requests.items()},
        "limits": {name: str(value) for name, value in limits.items()},
    }


def _of_operator(spec: Spec, settings: Settings) -> Document:
    """Return what the operator's table says of this preset, else of the row that it falls into."""
    table = settings.recorder_resources
    preset = None if spec.advanced is not None else spec.preset or DEFAULT_PRESET
    found = table.get(preset or "") or table.get(_row(encoding_of(spec)))
    return found.model_dump(mode="json", by_alias=True, exclude_none=True) if found else {}


def _row(encoding: Encoding) -> str:
    rate = _pixel_rate(encoding)
    fitting = (name for name in _REQUESTS if rate <= _pixel_rate(PRESETS[name]))
    return next(fitting, list(_REQUESTS)[-1])


def _pixel_rate(encoding: Encoding) -> int:
    return encoding.width * encoding.height * encoding.framerate
