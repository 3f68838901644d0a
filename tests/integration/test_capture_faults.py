"""What breaks between publisher, server and recorder: the recording goes on in the same file, or says what is wrong."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from livekit import api

from devstack.livekit import LiveKitServer
from devstack.mediacheck import MediaReport, check
from devstack.netrelay import Impairment, NetRelay
from devstack.publisher import PublisherProcess
from devstack.signalproxy import SignalProxy
from egress_recorder import ipc
from egress_recorder.contract import EndReason, ExitCode, ParticipantSource, Phase
from support.capture_process import CaptureProcess, recorder_token

pytestmark = pytest.mark.integration
ALICE = ParticipantSource(identity="alice")
FPS = 30


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name}-{time.time_ns()}"


def publisher(server: LiveKitServer, room: str, *arguments: str) -> PublisherProcess:
    return PublisherProcess(
        server.url, server.api_key, server.api_secret, room, "alice", ("--size", "640x360", *arguments)
    )


@pytest.fixture
def alice(livekit_server: LiveKitServer, room: str) -> Iterator[PublisherProcess]:
    with publisher(livekit_server, room) as process:
        yield process


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


def call(server: LiveKitServer, action: Callable[[api.LiveKitAPI], object]) -> None:
    async def run() -> None:
        async with api.LiveKitAPI(server.http_url, server.api_key, server.api_secret) as client:
            await action(client)  # type: ignore[misc]

    asyncio.run(run())


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
    assert report.level(report.duration - 1, report.duration - 0.3) > 0.01


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


def test_a_removed_recorder_completes_its_recording(
    livekit_server: LiveKitServer, room: str, alice: PublisherProcess, tmp_path: Path
) -> None:
    with CaptureProcess(livekit_server, room, ALICE, tmp_path, identity="EG_out") as capture:
        capture.wait(ipc.Started)
        time.sleep(1.5)
        who = api.RoomParticipantIdentity(room=room, identity="EG_out")
        call(livekit_server, lambda client: client.room.remove_participant(who))
        ended = capture.ended(10)
    assert (ended.phase, ended.reason) == (Phase.COMPLETE, EndReason.SOURCE_CLOSED)
    assert check(capture.file).duration > 1.0


def test_media_that_is_lost_for_ten_seconds_comes_back_into_the_same_file(
    relayed: tuple[LiveKitServer, NetRelay], tmp_path: Path
) -> None:
    server, relay = relayed
    with publisher(server, "loss"), CaptureProcess(server, "loss", ALICE, tmp_path / "media") as capture:
        capture.wait(ipc.Started)
        time.sleep(3)
        relay.outage("recorder", 10)
        time.sleep(22)
        report = stop(capture)
    gaps = [(a, b) for a, b in holes(report, 2.0) if a > 0]
    assert len(gaps) == 1, gaps
    assert 9.5 < gaps[0][1] - gaps[0][0] < 17, gaps
    assert report.counted(report.duration - 1)
    assert report.level(report.duration - 2, report.duration - 0.5) > 0.01


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
    assert (ended.phase, ended.exit_code, ended.filename) == (Phase.INTERRUPTED, ExitCode.UNREACHABLE, "")
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


@pytest.mark.slow
@pytest.mark.parametrize("away", [2.0, 15.0])
def test_a_server_that_was_killed_and_is_back_leaves_one_file(tmp_path: Path, away: float) -> None:
    server = LiveKitServer(tmp_path / "server")
    server.start()
    try:
        with publisher(server, "back"), CaptureProcess(server, "back", ALICE, tmp_path / "media") as capture:
            capture.wait(ipc.Started)
            time.sleep(3)
            server.kill()
            time.sleep(away)
            server.start()
            time.sleep(25)
            report = stop(capture)
    finally:
        server.stop()
    gaps = [(a, b) for a, b in holes(report, 2.0) if a > 0]
    assert len(gaps) == 1, gaps
    assert gaps[0][1] - gaps[0][0] < away + 15, gaps
    assert report.counted(report.duration - 1)


@pytest.mark.slow
def test_an_expired_token_is_replaced_by_the_renewed_one(tmp_path: Path) -> None:
    server = LiveKitServer(tmp_path / "server")
    server.start()
    try:
        token = recorder_token(server, "expiry", "EG_test", ttl=3)
        with (
            publisher(server, "expiry"),
            CaptureProcess(server, "expiry", ALICE, tmp_path / "media", token=token) as capture,
        ):
            capture.wait(ipc.Started)
            time.sleep(5)
            server.restart()
            time.sleep(3)
            capture.renew(recorder_token(server, "expiry", "EG_test"))
            events = len(capture.events)
            capture.wait(ipc.ProgressReport, 60, where=lambda report: report.recording, after=events + 4)
            time.sleep(3)
            report = stop(capture)
    finally:
        server.stop()
    assert report.counted(report.duration - 1)


@pytest.mark.parametrize("codec", ["vp9", "av1", "h265"])
def test_other_codecs_are_recorded_or_refused_before_media_is_lost(
    livekit_server: LiveKitServer, room: str, tmp_path: Path, codec: str
) -> None:
    with (
        publisher(livekit_server, room, "--codec", codec),
        CaptureProcess(livekit_server, room, ALICE, tmp_path) as capture,
    ):
        capture.wait(ipc.Started)
        time.sleep(5)
        report = stop(capture)
    assert report.counted(report.duration - 1)
    tracks = [event for _, event in capture.events if isinstance(event, ipc.TracksChanged)][-1]
    assert codec in {track.codec for track in tracks.tracks}
