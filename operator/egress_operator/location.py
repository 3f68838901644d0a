"""Owns `status.location`: the one place that says where a recording can be found, for the printer column. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def location_of(document: Mapping[str, Any]) -> str:
    """Return where the newest file is; without files that of the HLS playlist; of images alone what they are called, else "".

    Never a presigned URL: who reads a table of recordings did not ask for one. What was found once stays while the next part's
    file grows.
    """
    resolved = document.get("resolved") or {}
    files = len(resolved.get("filepaths") or ())
    stored = [part for part in document.get("parts") or () if part.get("location")]
    # Until the first file is stored, a playlist beside it is what can be looked at.
    of_files = [part for part in stored if part["output"] < files]
    found = _newest(of_files or stored)
    if found or files or resolved.get("segments"):
        return found or str(document.get("location", ""))
    return _prefix(document.get("imageResults") or ()) or _prefix(resolved.get("images") or ())


def _newest(parts: Sequence[Mapping[str, Any]]) -> str:
    """Of the newest part the first output's."""
    best = max(parts, key=lambda part: (part["part"], -part["output"]), default=None)
    return "" if best is None else str(best["location"])


def _prefix(outputs: Sequence[Mapping[str, Any]]) -> str:
    return str(outputs[0].get("filenamePrefix", "")) if outputs else ""
