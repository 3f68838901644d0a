"""Cases of what breaks between publisher, server and recorder: the recording goes on, or says what is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from livekit import api

from devstack.conformance.actor import Effect
from devstack.conformance.case import Case, Expect
from devstack.conformance.plan import OURS
from devstack.conformance.recording import recorder_token
from devstack.conformance.scene import Scene
from devstack.netrelay import Impairment
from egress_recorder.contract import EndReason

FAULTY = Expect(score=None, sync_mean=30.0, sync_p95=60.0, frozen=1e9, missing=100_000, phase_breaks=1000)
"""With a fault in it a file is asked for what the plan says outside of the fault, not for smoothness."""
SLOW = replace(OURS, publish=2.0, edge=0.8)
LOSSY = replace(SLOW, publish=5.0)
"""A first key frame of 20 to 50 packets has lost some; a receiver that asks for another one within 200 ms, as libwebrtc does, stops
livekit-server's retransmissions until that comes (`FlagStopRTXOnPLI`), and it is asked of the publisher once a second."""
CODECS = (("vp8", "", ""), ("h264", "-h264", " (H264)"))
"""Where the next key frame decides when a picture is back."""
AWAY = Effect("*", "away", off=True)


def _call(scene: Scene, action: Callable[[api.LiveKitAPI], Awaitable[object]]) -> None:
    async def run() -> None:
        server = scene.server
        async with api.LiveKitAPI(server.http_url, server.api_key, server.api_secret) as client:
            await action(client)

    asyncio.run(run())


# ---- the publisher -------------------------------------------------------------------------------------------


def _killed_and_back(scene: Scene) -> None:
    alice = scene.publisher()
    scene.record(rejoin_timeout=30.0)
    scene.until(alice, 5.5)
    with scene.disturbance("the publisher is killed", settle=3.0, kind="video"):
        scene.command(alice, "kill")
    scene.sleep(6)
    again = scene.publisher()
    scene.until(again, 6.5)


def _killed(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record()
    scene.until(alice, 5.5)
    with scene.disturbance("the publisher is killed", settle=3.0, kind="video"):
        scene.command(alice, "kill")
    recording.finish(timeout=60)
    recording.expected_end = scene.log.changes[-1].begin + 20.6


def _publisher_offline(scene: Scene) -> None:
    relay = scene.own_server(relayed=True)
    assert relay is not None
    proxy = scene.signal_proxy()
    alice = scene.publisher("alice", url=proxy.url)
    scene.record(rejoin_timeout=60.0)
    scene.until(alice, 5.5)
    with scene.disturbance("the publisher's network is gone for 8 s", settle=12.0):
        proxy.cut(refuse=True)
        relay.outage("publisher", 8.0)
        scene.sleep(8.0)
        proxy.heal()
    scene.until(alice, 32.5)


def _data_loss(scene: Scene, codec: str) -> None:
    relay = scene.own_server(relayed=True)
    assert relay is not None
    alice = scene.publisher("alice", "--codec", codec)
    scene.record()
    scene.until(alice, 5.5)
    with scene.disturbance("no media packet reaches the recorder for 10 s", settle=8.0):
        relay.outage("recorder", 10.0)
        scene.sleep(10.0)
    scene.until(alice, 30.5)


def _bad_network(scene: Scene, codec: str) -> None:
    relay = scene.own_server(relayed=True)
    assert relay is not None
    relay.impair("both", Impairment(loss=0.02, delay=0.05, jitter=0.01))
    alice = scene.publisher("alice", "--codec", codec)
    scene.record()
    scene.until(alice, 20.5)


# ---- the server ----------------------------------------------------------------------------------------------


def _server_killed(seconds: float) -> Callable[[Scene], None]:
    def script(scene: Scene) -> None:
        scene.own_server()
        alice = scene.publisher()
        recording = scene.record(rejoin_timeout=60.0)
        scene.until(alice, 5.5)
        with scene.disturbance(f"the server is killed and back after {seconds:g} s", settle=0.0):
            scene.server.kill()
            scene.sleep(seconds)
            scene.server.start()
            recording.until(lambda status: status.in_room and status.recording, "media is back", 60)
            scene.sleep(6.0)
        scene.sleep(6.0)

    return script


def _room_deleted(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record()
    scene.until(alice, 5.5)
    recording.expected_end = time.time()
    _call(scene, lambda client: client.room.delete_room(api.DeleteRoomRequest(room=scene.room)))
    recording.finish()


def _recorder_removed(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record()
    scene.until(alice, 5.5)
    recording.expected_end = time.time()
    who = api.RoomParticipantIdentity(room=scene.room, identity=recording.egress_id)
    _call(scene, lambda client: client.room.remove_participant(who))
    recording.finish()


# ---- the recorder's connection -------------------------------------------------------------------------------


def _signal_cut(scene: Scene) -> None:
    proxy = scene.signal_proxy()
    alice = scene.publisher()
    scene.record(url=proxy.url)
    scene.until(alice, 5.5)
    with scene.disturbance("the recorder's signal connection is cut", settle=1.0):
        proxy.cut()
    scene.until(alice, 12.5)


def _token_expired(scene: Scene) -> None:
    scene.own_server()
    alice = scene.publisher()
    recording = scene.record(join=False, rejoin_timeout=60.0)
    recording.renew_token(recorder_token(scene.server, scene.room, recording.egress_id, ttl=4.0))
    recording.until_in_room()
    scene.until(alice, 6.5)
    with scene.disturbance("the token has expired and the server is started anew", settle=0.0):
        scene.server.restart()
        scene.sleep(3.0)
        recording.renew_token(recorder_token(scene.server, scene.room, recording.egress_id))
        recording.until(lambda status: status.in_room and status.recording, "media is back", 60)
        scene.sleep(6.0)
    scene.sleep(5.0)


CASES = (
    Case(
        name="publisher-killed-and-back",
        proves="A publisher that is killed and joins again within rejoinTimeout is recorded into the same file.",
        script=_killed_and_back,
        expect=replace(FAULTY, gaps=(0.0, 12.0)),
        grace=SLOW,
        seconds=24,
    ),
    Case(
        name="publisher-killed",
        proves="A publisher that is killed and stays away ends the recording when the server counts it as gone (20 s).",
        script=_killed,
        expect=replace(FAULTY, reason=EndReason.SOURCE_CLOSED.value, gaps=(0.0, 30.0), end=3.0),
        grace=SLOW,
        seconds=35,
    ),
    Case(
        name="publisher-offline",
        proves="A publisher whose network is gone for 8 s goes on in the same file.",
        script=_publisher_offline,
        expect=replace(FAULTY, gaps=(0.0, 25.0)),
        grace=SLOW,
        seconds=40,
    ),
    *(
        Case(
            name=f"data-loss{suffix}",
            proves=f"Media that is lost for 10 s comes back into the same file{words}.",
            script=partial(_data_loss, codec=codec),
            expect=replace(FAULTY, gaps=(0.0, 20.0)),
            grace=SLOW,
            seconds=38,
        )
        for codec, suffix, words in CODECS
    ),
    *(
        Case(
            name=f"bad-network{suffix}",
            proves="With 2 % loss and 50 ± 10 ms delay on both ways no second after the first picture is black or silent, and all "
            f"is in sync within ±60 ms{words}.",
            script=partial(_bad_network, codec=codec),
            # The two legs take up to 60 ms each (no packet overtakes another), which no receiver knows (docs/manifest.md).
            expect=replace(FAULTY, start=2.0, clock=60.0 + 2 * 60.0),
            grace=LOSSY,
            seconds=28,
            alone=True,
        )
        for codec, suffix, words in CODECS
    ),
    *(
        Case(
            name=f"server-killed-{seconds:g}s",
            proves=f"A LiveKit server that is killed and back after {seconds:g} s: the same file goes on.",
            script=_server_killed(seconds),
            expect=replace(FAULTY, gaps=(0.0, 45.0)),
            grace=SLOW,
            seconds=35 + seconds,
            alone=True,
        )
        for seconds in (2.0, 15.0)
    ),
    Case(
        name="room-deleted",
        proves="A deleted room completes the recording.",
        script=_room_deleted,
        expect=Expect(reason=EndReason.SOURCE_CLOSED.value, end=0.8),
    ),
    Case(
        name="recorder-removed",
        proves="A recorder that is removed from the room completes its recording.",
        script=_recorder_removed,
        expect=Expect(reason=EndReason.SOURCE_CLOSED.value, end=0.8),
    ),
    Case(
        name="signal-cut",
        proves="A cut signal connection of the recorder is restored without a hole.",
        script=_signal_cut,
        expect=Expect(score=None, gaps=(0.0, 1.0)),
        seconds=15,
    ),
    Case(
        name="token-expired",
        proves="When the recorder's token has expired, the operator's renewed one is used for the next join.",
        script=_token_expired,
        expect=replace(FAULTY, gaps=(0.0, 60.0)),
        grace=SLOW,
        seconds=60,
        alone=True,
    ),
)
