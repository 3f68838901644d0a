"""A perfect file of ten seconds, its plan, its manifest, and the judge's verdict on it; tests make one of them wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from devstack.conformance.actor import Kind, Layout, Stimulus, effects
from devstack.conformance.case import Expect
from devstack.conformance.judge import Verdict, judge
from devstack.conformance.judge_container import Remains
from devstack.conformance.observe import Observation, Piece, Sight
from devstack.conformance.plan import OURS, Cast, Change, Log, Plan, build
from devstack.mediacheck import MediaReport
from devstack.testpattern import SAMPLE_RATE, sound
from egress_recorder.contract import Encoding, Manifest, Part, Phase, Progress, RecorderResult
from egress_recorder.spans import MediaGap, PartMedia, Span, TrackSpan

START, LENGTH, FPS = 1000.0, 10.0, 30
ENCODING = Encoding(width=640, height=360)
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def planned(*steps: tuple[float, str], layout: Layout = "both") -> Plan:
    """Alice is recorded from her second 0 to 10."""
    stimuli = (
        Stimulus("video", "video", "CAMERA", 0),
        Stimulus("audio", "audio", "MICROPHONE", 0, layout=layout),
    )
    alice = Cast("alice", "alice", START, FPS, stimuli, frozenset({"video", "audio"}), START)
    changes = [
        Change(START + at, START + at, "alice", effect) for at, line in steps for effect in effects(line)
    ]
    return build(Log({"alice": alice}, changes), lambda *_: True, (START, START + LENGTH), OURS)


def recorded() -> MediaReport:
    """A perfect file of it."""
    count = int(LENGTH * FPS)
    report = MediaReport(Path("media.mp4"), LENGTH, "h264", "aac", 640, 360, float(FPS), 2)
    report.frame_times = [index / FPS for index in range(count)]
    report.counters = list(range(count))
    report.variants = [0] * count
    report.lit = [index % FPS < 3 for index in range(count)]
    report.areas = [(0, 0, 640, 360)] * count
    report.profile, report.audio_rate, report.video_bitrate = "Main", 48000, 1e6
    mono = sound(0, int(LENGTH * SAMPLE_RATE)).mean(1) / 32768
    report.audio = np.stack((mono, mono)).astype(np.float32)
    return report


def listed(
    kind: Kind = "video",
    start: float = 0.0,
    end: float | None = LENGTH,
    *,
    muted: tuple[Span, ...] = (),
    stalled: tuple[Span, ...] = (),
    identity: str = "alice",
) -> TrackSpan:
    """A track of the manifest."""
    return TrackSpan(
        number=1,
        sid=f"TR_{kind}",
        kind=kind,
        source="CAMERA" if kind == "video" else "MICROPHONE",
        identity=identity,
        start=start,
        end=end,
        muted=muted,
        stalled=stalled,
    )


BOTH = (listed("video"), listed("audio"))


def remains(
    *,
    exit_code: int = 0,
    phase: Phase = Phase.COMPLETE,
    dropped: int = 0,
    silence: float = 0.0,
    tracks: tuple[TrackSpan, ...] = BOTH,
    gaps: tuple[MediaGap, ...] = (),
    seen: dict[str, float] | None = None,
) -> Remains:
    part = Part(part=1, filename="media.mp4", location="x", started_at=NOW, duration=LENGTH)
    progress = Progress(frames_dropped=dropped, silence_inserted=silence)
    zero = datetime.fromtimestamp(START, UTC)
    media = PartMedia(part=1, zero_at=zero, duration=LENGTH, tracks=tracks, gaps=gaps)
    manifest = Manifest(
        egress_id="EG_x",
        room_name="r",
        phase=phase,
        updated_at=NOW,
        parts=(part,),
        media=(media,),
        progress=progress,
    )
    result = RecorderResult(egress_id="EG_x", phase=phase, details="End reason: StopEgress API")
    return Remains(exit_code, result, manifest, ENCODING, seen=seen or {})


def verdict(
    report: MediaReport, plan: Plan | None = None, left: Remains | None = None, expect: Expect | None = None
) -> Verdict:
    sights = tuple(
        Sight(START + at, at, 0, variant, number, lit, area)
        for at, variant, number, lit, area in zip(
            report.frame_times, report.variants, report.counters, report.lit, report.areas, strict=True
        )
    )
    observation = Observation((Piece(START, START, report),), sights)
    return judge(expect or Expect(), plan or planned(), observation, left or remains())


def blacken(report: MediaReport, first: float, last: float) -> None:
    for index in range(int(first * FPS), int(last * FPS)):
        report.variants[index] = report.counters[index] = report.areas[index] = None
        report.lit[index] = False


def silence(report: MediaReport, first: float, last: float) -> None:
    report.audio[:, int(first * SAMPLE_RATE) : int(last * SAMPLE_RATE)] = 0
