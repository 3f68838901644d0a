"""Owns the recorder's metrics: made from the status at each scrape, no labels that name a recording."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from egress_recorder.contract import RecorderStatus, Trouble

_PREFIX = "livekit_egress_recorder"


class _StatusCollector(Collector):
    def __init__(self, status: RecorderStatus) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers of the whole recording."""
        status, progress = self._status, self._status.progress
        fixed = progress.corrections
        parts = {part.part for part in status.parts}
        uploaded = {part.part for part in status.parts if part.location}
        gauges = {
            "in_room": ("1 while the recorder is in the room.", float(status.in_room)),
            "recording": ("1 while media is written.", float(status.recording)),
            "degraded": (
                "1 while the encoder saves on quality or pictures to keep up.",
                float(bool(status.degraded)),
            ),
            "parts": ("File parts so far, earlier recorders' included.", float(len(parts))),
            "parts_uploaded": ("File parts with at least one uploaded object.", float(len(uploaded))),
            "gap_seconds": (
                "Wall-clock time that is in no file.",
                sum(gap.duration for gap in status.gaps),
            ),
            "lip_sync_seconds": ("By how much pictures are moved now.", fixed.lip_sync),
            "lip_sync_seconds_max": ("The largest amount of it so far.", fixed.lip_sync_max),
            "axis_moved_seconds": ("By how much media time 0 was moved.", fixed.axis_moved),
            "receive_delay_seconds": ("Mean delay of the receiver's jitter buffer.", fixed.receive_delay),
        }
        counters = {
            "media_seconds": ("Recorded media.", progress.duration),
            "written_bytes": ("Bytes written to scratch files.", float(progress.bytes_written)),
            "uploaded_bytes": ("Bytes that storages have taken.", float(progress.bytes_uploaded)),
            "backup_storage_writes": (
                "Files that went to a backup storage.",
                float(status.backup_storage_writes),
            ),
            "frames": ("Video frames written.", float(progress.frames)),
            "frames_dropped": ("Video frames left out.", float(progress.frames_dropped)),
            "frames_duplicated": ("Video frames repeated.", float(progress.frames_duplicated)),
            "degraded_seconds": (
                "Media worse than asked for: the encoder could not keep up.",
                progress.degraded,
            ),
            "silence_seconds": ("Silence that no publisher sent.", progress.silence_inserted),
            "samples_added": ("Samples (48 kHz) by which sound was stretched.", float(fixed.samples_added)),
            "samples_removed": ("Samples by which sound was squeezed.", float(fixed.samples_removed)),
            "samples_cut": ("Samples that came after their place was written.", float(fixed.samples_cut)),
            "sound_dropped_seconds": ("Sound that a full queue dropped.", fixed.sound_dropped),
            "pictures_moved": ("Pictures moved by half a frame or more.", float(fixed.pictures_moved)),
            "lip_sync_slewed_seconds": ("Changes of the lip-sync added up.", fixed.lip_sync_slewed),
        }
        reasons = {
            "late": fixed.frames_late,
            "surplus": fixed.frames_surplus,
            "overflow": fixed.frames_overflow,
            "skipped": fixed.frames_skipped,
            "saved": fixed.frames_saved,
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=value)
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"{_PREFIX}_{name}", text, value=value)
        dropped = CounterMetricFamily(
            f"{_PREFIX}_frames_dropped_by_reason", "Video frames left out.", labels=["reason"]
        )
        for reason, count in reasons.items():
            dropped.add_metric([reason], float(count))
        yield dropped
        troubles = GaugeMetricFamily(
            f"{_PREFIX}_trouble", "1 for what the recorder has to report.", labels=["trouble"]
        )
        for trouble in Trouble:
            troubles.add_metric([trouble.value], float(trouble.value in status.troubles))
        yield troubles


def render(status: RecorderStatus) -> tuple[bytes, str]:
    """Return the exposition text of a status and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatusCollector(status))
    ProcessCollector(registry=registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST
