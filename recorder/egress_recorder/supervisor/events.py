"""Owns reading the capture process's events: nothing from a process with native code is believed unchecked."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from egress_recorder import ipc

_events: TypeAdapter[ipc.Event] = TypeAdapter(Annotated[ipc.Event, Field(discriminator="event")])


def parse_event(line: bytes) -> ipc.Event:
    """Parse one line of the event pipe. Raises ValueError."""
    return _events.validate_json(line)
