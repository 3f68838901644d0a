"""Owns the Prometheus metrics. No label names an object: cardinality stays bounded."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """All metrics of one operator process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.api_calls = Counter(
            "egress_operator_api_calls",
            "Requests to the Kubernetes API server, watches apart.",
            ("verb", "resource", "code"),
            registry=self.registry,
        )
        self.reconciles = Counter(
            "egress_operator_reconciles", "Reconciliations by outcome.", ("outcome",), registry=self.registry
        )
        self.reconcile_seconds = Histogram(
            "egress_operator_reconcile_seconds", "Duration of a reconciliation.", registry=self.registry
        )
        self.queue_depth = Gauge(
            "egress_operator_queue_depth", "Recordings that wait for a worker.", registry=self.registry
        )
        self.recordings = Gauge(
            "egress_operator_recordings",
            "Recordings by phase, counted at resync.",
            ("phase",),
            registry=self.registry,
        )
        self.finished = Counter(
            "egress_operator_recordings_finished",
            "Recordings that ended.",
            ("phase",),
            registry=self.registry,
        )
        self.backed_up = Counter(
            "egress_operator_recordings_in_backup_storage",
            "Recordings that ended with a file in a backup storage.",
            registry=self.registry,
        )
        self.parts = Counter(
            "egress_operator_parts_started", "Recorder Jobs created.", registry=self.registry
        )
        self.polls = Counter(
            "egress_operator_recorder_polls", "Requests to recorders.", ("outcome",), registry=self.registry
        )
        self.room_lists = Counter(
            "egress_operator_list_rooms", "ListRooms calls to LiveKit.", ("outcome",), registry=self.registry
        )
        self.webhooks = Counter(
            "egress_operator_webhooks",
            "Webhooks by outcome: delivered, failed (tried again), dropped (given up).",
            ("outcome",),
            registry=self.registry,
        )
        for outcome in ("delivered", "failed", "dropped"):
            # From the beginning: an increase from nothing to 1 is none to Prometheus.
            self.webhooks.labels(outcome)
        self.webhook_queue = Gauge(
            "egress_operator_webhook_queue",
            "Receivers that have not got all events of a recording.",
            registry=self.registry,
        )

    def render(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self.registry)
