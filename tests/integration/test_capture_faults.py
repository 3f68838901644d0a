"""What the recorder does when its own connection breaks or carries nothing; the conformance suite has the other faults."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.livekit import LiveKitServer
from devstack.mediacheck import MediaReport, check
from devstack.netrelay import Impairment, NetRelay
from devstack.publisher import PublisherProcess
from devstack.signalproxy import SignalProxy
from egress_recorder import ipc
from egress_recorder.contract import EndReason, ExitCode, ParticipantSource, Phase
from support.capture_process import CaptureProcess, publisher
from support.realtime import MEASURES, REALTIME

pytestmark = [pytest.mark.integration, REALTIME, MEASURES]
ALICE = ParticipantSource(identity="alice")
FPS = 30


@pytest.fixture
def relayed(tmp_path: Path) -> Iterator[tuple[LiveKitServer, NetRelay]]:
    server = LiveKitServer(tmp_path / "server", relayed=True)
    server.start()
    try:
        with NetRelay(server.media_port) as relay:
            yield server, relay
    finally:
        server.stop()


def holes(report: MediaReport, shortest: float = 0.25) -> list[tuple[float, float]]:
    """Begin and end of the stretches in which no new frame number is shown."""
    fresh = [0.0]
    last = None
    for at, number in zip(report.frame_times, report.counters, strict=True):
        if number is not None and number != last:
            fresh.append(at)
            last = number
    fresh.append(report.duration)
    return [(a, b) for a, b in itertools.pairwise(fresh) if b - a > shortest]


def whole(capture: CaptureProcess, stopped_at: float) -> MediaReport:
    """The file after a stop: it decodes, and is as long as the recording."""
    started = capture.wait(ipc.Started)
    report = check(capture.file)
    assert report.errors == []
    assert report.duration == pytest.approx(stopped_at - started.started_at.timestamp(), abs=0.3)
    assert report.frames == pytest.approx(report.duration * FPS, abs=2)
    return report


def stop(capture: CaptureProcess) -> MediaReport:
    stopped_at = time.time()
    capture.stop()
    ended = capture.ended()
    assert (ended.phase, ended.reason) == (Phase.COMPLETE, EndReason.STOP_REQUESTED)
    return whole(capture, stopped_at)


@pytest.mark.parametrize(
    ("scenario", "longest"), [("SIMULATE_SIGNAL_RECONNECT", 1.0), ("SIMULATE_FULL_RECONNECT", 3.5)]
)
def test_a_reconnect_of_our_own_costs_no_more_than_its_gap(
    livekit_server: LiveKitServer,
    room: str,
    alice: PublisherProcess,
    tmp_path: Path,
    scenario: str,
    longest: float,
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, reconnect=(scenario, 3.0)) as capture:
        capture.wait(ipc.Started)
        time.sleep(9)
        report = stop(capture)
    gaps = [(a, b) for a, b in holes(report) if a > 0]
    assert all(b - a < longest for a, b in gaps), gaps
    assert report.counted(report.duration - 1)
    # More than a second, so that a beep is in it: the tones alone are below this level.
    assert report.level(report.duration - 1.6, report.duration - 0.3) > 0.01


def test_a_cut_signal_connection_is_made_again_without_a_gap(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with (
        SignalProxy(livekit_server.port) as proxy,
        CaptureProcess(livekit_server, room, ALICE, tmp_path, url=proxy.url) as capture,
    ):
        capture.wait(ipc.Started)
        time.sleep(2)
        proxy.cut()
        time.sleep(6)
        assert proxy.accepted >= 2
        report = stop(capture)
    gaps = [(a, b) for a, b in holes(report) if a > 0]
    assert all(b - a < 1.0 for a, b in gaps), gaps
    assert report.counted(report.duration - 1)


def test_tracks_whose_media_does_not_arrive_are_named(
    relayed: tuple[LiveKitServer, NetRelay], tmp_path: Path
) -> None:
    server, relay = relayed
    relay.impair("recorder", Impairment(loss=1.0, only_media=True))
    with (
        publisher(server, "dead") as alice,
        CaptureProcess(server, "dead", ALICE, tmp_path / "media") as capture,
    ):
        ended = capture.ended(60)
    assert (ended.phase, ended.exit_code, ended.files) == (Phase.INTERRUPTED, ExitCode.UNREACHABLE, ())
    assert re.match(
        r"(audio|video) track TR_\w+ of alice \(\w+, (opus|red|vp8)\) is published, but no", ended.error
    )
    assert alice.sid("video") in ended.error or alice.sid("audio") in ended.error


def test_a_firewall_that_lets_only_the_signal_connection_through_is_suspected_first(
    relayed: tuple[LiveKitServer, NetRelay], tmp_path: Path
) -> None:
    server, relay = relayed
    relay.outage("new", 600)
    with CaptureProcess(server, "dead", ALICE, tmp_path / "media") as capture:
        ended = capture.ended(40)
    assert (ended.phase, ended.exit_code) == (Phase.INTERRUPTED, ExitCode.UNREACHABLE)
    assert "see first that UDP from here reaches LiveKit's media ports" in ended.error
