"""Owns the log: one JSON object per line on stderr, a static message and fields; no token ever passes."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from egress_operator.errors import redact
from egress_operator.units import format_time


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, and what `extra={"fields": {…}}` holds."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        document = {
            "time": format_time(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            document |= {
                key: redact(value) if isinstance(value, str) else value for key, value in fields.items()
            }
        if record.exc_info:
            document["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(document, ensure_ascii=False, default=str)


def configure(level: str) -> None:
    """Send everything to stderr as JSON; kopf's line per event is not of interest."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    # The Kubernetes client logs whole bodies at DEBUG, Secrets among them: never, at any level of ours.
    for noisy in ("aiohttp.access", "asyncio", "kubernetes", "livekit", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
