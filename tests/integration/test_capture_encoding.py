"""What `advanced` asks for is in the file, and a machine that is too slow costs quality, never time."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from devstack.livekit import LiveKitServer
from devstack.mediacheck import MediaReport, check
from egress_recorder import ipc
from egress_recorder.contract import Degradation, Encoding, ParticipantSource, Phase
from support.capture_process import CaptureProcess, publisher
from support.realtime import MEASURES, REALTIME

pytestmark = [pytest.mark.integration, REALTIME, MEASURES]
ALICE = ParticipantSource(identity="alice")


def parameter_sets(path: Path) -> set[bytes]:
    """Every SPS and PPS in the samples of the file (length-prefixed NAL units)."""
    found: set[bytes] = set()
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            data = bytes(packet)
            while data:
                size = int.from_bytes(data[:4])
                unit, data = data[4 : 4 + size], data[4 + size :]
                if unit[0] & 31 in {7, 8}:
                    found.add(unit)
    return found


def key_frames(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
    return [float(packet.pts * packet.time_base) for packet in packets if packet.is_keyframe]


def kbits(path: Path) -> float:
    """Of the video stream."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
        return (
            sum(packet.size for packet in packets)
            * 8
            / 1000
            / (len(packets) / container.streams.video[0].average_rate)
        )


@pytest.mark.parametrize(
    ("encoding", "profile", "audio", "rate"),
    [
        (
            Encoding(
                width=640, height=360, framerate=25, video_bitrate=700, video_codec="H264_HIGH", audio_frequency=44_100,
                key_frame_interval=1.5, audio_bitrate=96,
            ),
            "High", "aac", 44_100,
        ),
        (
            Encoding(
                width=360, height=640, framerate=15, video_bitrate=300, video_codec="H264_BASELINE", audio_codec="OPUS",
                key_frame_interval=4.0, audio_bitrate=64,
            ),
            "Constrained Baseline", "opus", 48_000,
        ),
    ],
    ids=["high-aac-44100", "baseline-opus"],
)  # fmt: skip
def test_the_file_is_encoded_as_advanced_says(
    livekit_server: LiveKitServer, room: str, tmp_path: Path, encoding: Encoding, profile: str, audio: str, rate: int
) -> None:  # fmt: skip
    with (
        publisher(livekit_server, room),
        CaptureProcess(livekit_server, room, ALICE, tmp_path, encoding=encoding) as capture,
    ):
        capture.wait(ipc.Started)
        capture.media_time(9)
        capture.stop()
        assert capture.ended().phase is Phase.COMPLETE
    report = check(capture.file)
    assert report.errors == []
    assert (report.width, report.height, report.framerate) == (
        encoding.width,
        encoding.height,
        encoding.framerate,
    )
    assert (report.audio_codec, report.channels) == (audio, 2)
    with av.open(str(capture.file)) as container:
        assert container.streams.video[0].profile == profile
        assert container.streams.audio[0].rate == rate
    assert kbits(capture.file) <= 1.05 * encoding.video_bitrate
    expected = [index * encoding.key_frame_interval for index in range(len(key_frames(capture.file)))]
    assert key_frames(capture.file) == pytest.approx(expected, abs=1.001 / encoding.framerate)
    offsets = report.offsets_ms[2:]
    assert len(offsets) >= 5
    assert abs(float(np.median(offsets))) < 45


# ---- a machine that is too slow


@contextmanager
def taken(core: int, shares: int) -> Iterator[None]:
    """Keep a core busy with so many processes."""
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=lambda: os.sched_setaffinity(0, {core}))  # noqa: PLW1509
        for _ in range(shares)
    ]  # fmt: skip
    try:
        yield
    finally:
        for process in busy:
            process.send_signal(signal.SIGKILL)
            process.wait()


def on_core(process: psutil.Process, core: int) -> None:
    """Let a process with all its threads run on one core only."""
    for thread in process.threads():
        os.sched_setaffinity(thread.id, {core})


def saved(capture: CaptureProcess) -> list[str]:
    """What the reports say is saved on, without repetitions."""
    reports = [event.degraded for _, event in [*capture.events] if isinstance(event, ipc.ProgressReport)]
    return [now for number, now in enumerate(reports) if not number or now != reports[number - 1]]


def assert_nothing_is_lost_in_time(report: MediaReport, framerate: int) -> None:
    assert report.errors == []
    ticks = [round(at * framerate) for at in report.frame_times]
    assert ticks == list(range(len(ticks))), "one frame per tick"
    assert report.audio.shape[1] / 48_000 == pytest.approx(len(ticks) / framerate, abs=0.1)
    numbers = report.counted()
    backwards = [after for before, after in itertools.pairwise(numbers) if (after - before) % 65_536 > 32_768]
    assert not backwards, "never an older picture after a newer one"


@pytest.mark.timeout(150)
def test_an_encoder_without_cpu_saves_on_quality_and_returns_and_the_file_keeps_its_time(
    livekit_server: LiveKitServer, room: str, tmp_path: Path
) -> None:
    # 720p60: what one of two cores can do beside the publisher. 1080p60 is too much for some machines before anything is taken.
    big = Encoding(framerate=60, video_bitrate=4500)
    core = max(os.sched_getaffinity(0))
    with (
        publisher(livekit_server, room, "--framerate", "60"),
        CaptureProcess(livekit_server, room, ALICE, tmp_path, encoding=big) as capture,
    ):
        started = capture.wait(ipc.Started)
        capture.media_time(3)
        on_core(psutil.Process(capture.process.pid), core)
        with taken(core, 4):
            starved = capture.wait(ipc.ProgressReport, 40, where=lambda report: bool(report.degraded))
            capture.media_time(5)
        events = len(capture.events)
        capture.wait(ipc.ProgressReport, 60, where=lambda report: not report.degraded, after=events)
        capture.media_time(3)
        stopped_at = time.time()
        capture.stop()
        ended = capture.ended()
    assert ended.phase is Phase.COMPLETE
    words = saved(capture)
    assert words[0] == words[-1] == ""
    assert set(words) <= {"", *Degradation}
    assert starved.degraded in {*Degradation}
    assert 5 < ended.progress.degraded < ended.progress.duration
    fixed = ended.progress.corrections
    assert fixed.frames_skipped == 0, "the last resort was not needed"
    assert bool(fixed.frames_saved) == (Degradation.PICTURES in words)
    report = check(capture.file)
    assert_nothing_is_lost_in_time(report, 60)
    assert report.duration == pytest.approx(stopped_at - started.started_at.timestamp(), abs=0.3)
    assert len(parameter_sets(capture.file)) == 2, "one SPS and one PPS, from the first to the last picture"
    assert kbits(capture.file) <= 1.05 * big.video_bitrate
    offsets = report.offsets_ms
    print(words, ended.progress, [round(value) for value in offsets])
    assert abs(float(np.median(offsets[-3:]))) < 45, "no drift"
    assert sum(abs(value) < 100 for value in offsets[2:]) >= 0.8 * len(offsets[2:])
