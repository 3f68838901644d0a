"""Owns the Kubernetes Events of recordings: one per change of phase, best effort."""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime

from egress_operator import names
from egress_operator.errors import ApiError
from egress_operator.kube import EVENTS, Kube
from egress_operator.model import PhaseEvent, Recording
from egress_operator.units import format_time

_LOG = logging.getLogger(__name__)
_MESSAGE_LIMIT = 1024
"""The API server refuses longer notes."""


async def post(kube: Kube, recording: Recording, event: PhaseEvent) -> None:
    """Write one Event about a recording. A refusal is logged and nothing else: Events are no state."""
    now = format_time(datetime.now(UTC).replace(microsecond=0))
    key = recording.key
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{key.name[:200]}.{time.time_ns():x}", "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": key.kind,
            "name": key.name,
            "namespace": key.namespace,
            "uid": recording.uid,
            "resourceVersion": recording.resource_version,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:_MESSAGE_LIMIT],
        "source": {"component": names.MANAGED_BY},
        "reportingComponent": names.MANAGED_BY,
        "reportingInstance": os.uname().nodename,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await kube.create(EVENTS, body)
    except ApiError as error:
        _LOG.warning("event not written", extra={"fields": {"status": error.status, "reason": error.reason}})
