"""Webhooks of the real operator through the real API server to a real receiver that livekit-api's own code guards."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devstack.certificates import Certificate
from devstack.livekit import LiveKitServer
from devstack.process import LOOPBACK, free_port
from devstack.s3 import S3Server
from devstack.stack import Stack
from devstack.webhookserver import Received, WebhookServer
from egress_operator import names
from egress_operator.model import Recording
from egress_operator.settings import Settings
from egress_operator.webhook_event import event_id
from egress_operator.webhook_model import Answer, Receiver
from egress_operator.webhook_post import Poster
from support.operator_builders import recording as built
from support.operator_scene import FAKE_RECORDER, OperatorScene, Shown, scene_in

pytestmark = pytest.mark.integration

ALL = ["egress_started", "egress_updated", "egress_updated", "egress_ended"]
OTHER_KEY, OTHER_SECRET = "tenant", "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def everyone(livekit_server: LiveKitServer) -> Iterator[WebhookServer]:
    """The operator-wide receiver."""
    with WebhookServer({livekit_server.api_key: livekit_server.api_secret}) as server:
        yield server


@pytest.fixture
def receiver(livekit_server: LiveKitServer) -> Iterator[WebhookServer]:
    """A receiver of one recording."""
    keys = {livekit_server.api_key: livekit_server.api_secret, OTHER_KEY: OTHER_SECRET}
    with WebhookServer(keys) as server:
        yield server


@pytest.fixture(scope="module")
def webhook_stack(
    tmp_path_factory: pytest.TempPathFactory,
    livekit_server: LiveKitServer,
    s3_server: S3Server,
    everyone: WebhookServer,
) -> Iterator[Stack]:
    settings = FAKE_RECORDER | {
        "EGRESS_WEBHOOKS": json.dumps([{"url": f"{everyone.url}/all?token=hush"}]),
        "EGRESS_WEBHOOK_ALLOWED_HOSTS": f"*,{LOOPBACK}",
    }
    directory = tmp_path_factory.mktemp("webhooks")
    with Stack(directory, livekit=livekit_server, s3=s3_server, operator_settings=settings) as stack:
        yield stack


@pytest.fixture
def scene(webhook_stack: Stack) -> Iterator[OperatorScene]:
    with scene_in(webhook_stack, "hook") as made:
        yield made


def until(what: str, wanted: Callable[[], Any], *, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := wanted()):
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.05)
    return found


def events(received: list[Received]) -> list[str]:
    return [one.event.event for one in received]


def ended(server: WebhookServer, egress_id: str, *, seconds: float = 20) -> list[Received]:
    """Return what the receiver has taken of a recording once its end is among it."""
    until("egress_ended", lambda: "egress_ended" in events(server.taken(egress_id)), seconds=seconds)
    return server.taken(egress_id)


def released(recording: Shown) -> None:
    recording.until(lambda _: not recording.body()["metadata"].get("finalizers"), "release")


def id_of(recording: Shown) -> str:
    return names.egress_id(recording.body()["metadata"]["uid"])


def test_all_phases_arrive_in_order_at_the_recordings_receiver_and_at_the_operators(
    scene: OperatorScene, receiver: WebhookServer, everyone: WebhookServer
) -> None:
    scene.open_room()
    recording = scene.apply(
        identity="join=0.5,media=1,after=2,linger=1.5", webhooks=[{"url": f"{receiver.url}/mine?token=hush"}]
    )
    recording.until_phase("Complete")
    uid = recording.body()["metadata"]["uid"]

    for server, path in ((receiver, "/mine?token=hush"), (everyone, "/all?token=hush")):
        taken = ended(server, id_of(recording))
        assert events(taken) == ALL
        assert [one.event.egress_info.status for one in taken] == [0, 1, 2, 3]
        assert [one.sequence for one in taken] == [1, 2, 3, 4]
        assert [one.event.id for one in taken] == [event_id(uid, number) for number in (1, 2, 3, 4)]
        assert {one.path for one in taken} == {path}
        assert server.forged == 0
    started, active, ending, last = (one.event.egress_info for one in receiver.taken(id_of(recording)))
    assert started.room_name == active.room_name == scene.room
    assert started.participant.identity.startswith("join=")
    assert active.file_results[0].started_at > 0
    assert active.file_results[0].location == ""
    assert ending.details == last.details == "End reason: Source closed"
    assert last.file.location == f"fake://{scene.room}/x.mp4"
    assert last.file_results[0].duration > 10**9
    assert last.ended_at >= last.started_at
    assert last.manifest_location.startswith("fake://")
    released(recording)
    shown = recording.status()["webhooks"]
    assert shown["sequence"] == 4
    assert shown["events"] == []
    assert [one["sequence"] for one in shown["receivers"]] == [4, 4]
    assert "hush" not in json.dumps(recording.status())
    assert "hush" not in scene.stack.operator.log.read_text()


def test_an_event_is_sent_again_with_the_same_id_until_the_receiver_takes_it(
    scene: OperatorScene, receiver: WebhookServer, everyone: WebhookServer
) -> None:
    receiver.failing = 500
    scene.open_room()
    recording = scene.apply(webhooks=[{"url": receiver.url}])
    recording.until_phase("Active")
    until("three tries", lambda: len(receiver.received) >= 3)
    # The other receiver does not wait for this one.
    until("its two events", lambda: events(everyone.taken(id_of(recording))) == ALL[:2])
    assert {one.event.id for one in receiver.received} == {receiver.received[0].event.id}
    receiver.failing = 0

    until("two events", lambda: events(receiver.taken(id_of(recording))) == ALL[:2])
    recording.change(desiredState="Stopped")
    recording.until_phase("Complete")
    assert events(ended(receiver, id_of(recording))) == ALL
    released(recording)


def test_a_receiver_that_was_dead_gets_everything_in_order_when_it_is_back(
    scene: OperatorScene, receiver: WebhookServer
) -> None:
    receiver.stop()
    scene.open_room()
    recording = scene.apply(webhooks=[{"url": receiver.url}])
    recording.until_phase("Active")
    recording.change(desiredState="Stopped")
    recording.until_phase("Complete")
    time.sleep(1)
    assert recording.body()["metadata"]["finalizers"] == [names.FINALIZER]
    receiver.start()

    taken = ended(receiver, id_of(recording), seconds=40)
    assert events(taken) == ALL
    assert [one.sequence for one in taken] == [1, 2, 3, 4]
    released(recording)


def test_an_operator_killed_before_the_acknowledgement_of_the_end_sends_it_again_with_the_same_id(
    scene: OperatorScene, receiver: WebhookServer
) -> None:
    scene.open_room()
    recording = scene.apply(webhooks=[{"url": receiver.url}])
    recording.until_phase("Active")
    until("two events", lambda: len(receiver.taken()) == 2)
    receiver.failing = 503
    recording.change(desiredState="Stopped")
    refused = until(
        "the end, refused",
        lambda: [one for one in receiver.received if one.event.event == "egress_updated"][1:],
    )
    recording.until_phase("Complete")
    assert refused
    scene.stack.operator.kill()
    tried = {one.event.id for one in receiver.received if one.answer == 503}
    receiver.failing = 0
    scene.stack.operator.start()

    taken = ended(receiver, id_of(recording))
    assert {one.event.event for one in taken[2:]} == {"egress_updated", "egress_ended"}
    assert events(taken)[-1] == "egress_ended"
    uid = recording.body()["metadata"]["uid"]
    assert [one.event.id for one in taken if one.sequence > 2] == [event_id(uid, 3), event_id(uid, 4)]
    assert tried <= {one.event.id for one in taken}
    released(recording)


def test_an_operator_killed_while_a_receiver_is_dead_tells_the_end_that_came_meanwhile(
    scene: OperatorScene, receiver: WebhookServer
) -> None:
    scene.open_room()
    recording = scene.apply(identity="media=0.3,after=3", webhooks=[{"url": receiver.url}])
    recording.until_phase("Active")
    until("two events", lambda: len(receiver.taken()) == 2)
    scene.stack.operator.kill()
    time.sleep(4)
    scene.stack.operator.start()

    recording.until_phase("Complete")
    taken = ended(receiver, id_of(recording))
    assert events(taken)[-1] == "egress_ended"
    # What was acknowledged and not yet noted may come again, with its id.
    assert len({one.event.id for one in taken}) == len({one.sequence for one in taken})
    released(recording)


def test_a_receiver_gets_only_what_its_filter_lets_through(
    scene: OperatorScene, receiver: WebhookServer
) -> None:
    scene.open_room()
    filters = [{"includeEvents": ["egress_ended"]}, {"excludeEvents": ["egress_updated"]}]
    recording = scene.apply(
        identity="media=0.3,after=1",
        webhooks=[
            {"url": f"{receiver.url}/{number}", "filterParams": params}
            for number, params in enumerate(filters)
        ],
    )
    recording.until_phase("Complete")
    released(recording)

    by_path = {
        path: [one.event.event for one in receiver.taken() if one.path == path] for path in ("/0", "/1")
    }
    assert by_path == {"/0": ["egress_ended"], "/1": ["egress_started", "egress_ended"]}
    # What the filter holds back is not counted as lost.
    assert {one.event.num_dropped for one in receiver.taken()} == {0}


def test_a_key_of_the_recordings_secret_signs_and_an_unknown_name_is_refused_with_a_sentence(
    scene: OperatorScene, receiver: WebhookServer
) -> None:
    server = scene.stack.livekit
    values = {"api-key": server.api_key, "api-secret": server.api_secret, OTHER_KEY: OTHER_SECRET}
    scene.stack.api.create_secret(scene.namespace, "keys", values)
    livekit = {"url": server.url, "credentialsSecretRef": {"name": "keys"}}
    scene.open_room()
    unknown = scene.apply(
        "unknown", livekit=livekit, webhooks=[{"url": receiver.url, "signingKey": "nobody"}]
    )
    message = unknown.until_reason("UnknownSigningKey")
    assert "signingKey nobody names no key in Secret keys, or of the operator" in message
    assert unknown.children("jobs") == []

    signed = scene.apply(
        "signed",
        livekit=livekit,
        identity="media=0.3,after=1",
        webhooks=[{"url": receiver.url, "signingKey": OTHER_KEY}],
    )
    receiver.keys = {OTHER_KEY: OTHER_SECRET}
    signed.until_phase("Complete")
    assert events(ended(receiver, id_of(signed)))[-1] == "egress_ended"
    assert receiver.forged == 0


def test_a_host_that_is_not_allowed_is_refused_before_anything_is_sent(scene: OperatorScene) -> None:
    scene.open_room()
    recording = scene.apply(webhooks=[{"url": "http://169.254.169.254/latest/meta-data"}])

    message = recording.until_reason("WebhookNotAllowed")
    assert "spec.webhooks[0].url names host 169.254.169.254" in message
    assert recording.children("jobs") == []


def test_a_recording_that_is_deleted_in_the_middle_still_tells_its_end(
    scene: OperatorScene, receiver: WebhookServer
) -> None:
    scene.open_room()
    recording = scene.apply(webhooks=[{"url": receiver.url}])
    recording.until_phase("Active")
    egress_id = id_of(recording)
    recording.delete()

    last = ended(receiver, egress_id)[-1].event.egress_info
    assert last.status == 3
    assert last.file.location
    recording.until_gone()
    time.sleep(1)
    assert events(receiver.taken(egress_id)) == ALL


def test_a_recording_that_only_waited_tells_its_beginning_and_its_end(
    scene: OperatorScene, receiver: WebhookServer
) -> None:
    recording = scene.apply(webhooks=[{"url": receiver.url}])
    recording.until_reason("WaitingForRoom")
    assert recording.body()["metadata"]["finalizers"] == [names.FINALIZER]
    until("the start", receiver.taken)
    egress_id = id_of(recording)
    recording.delete()

    taken = ended(receiver, egress_id)
    assert events(taken) == ["egress_started", "egress_ended"]
    assert taken[-1].event.egress_info.status == 5
    recording.until_gone()
    time.sleep(1)
    assert events(receiver.taken(egress_id)) == ["egress_started", "egress_ended"]


def test_the_receiver_of_the_documentation_works(scene: OperatorScene, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/webhooks.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    server, port = scene.stack.livekit, free_port()
    for old, new in (
        ("devkey", server.api_key),
        ("the secret of this key", server.api_secret),
        ("port=8080", f"port={port}, print=None"),
    ):
        assert old in code
        code = code.replace(old, new)
    shown = tmp_path / "receiver.log"
    with shown.open("w") as out, subprocess.Popen([sys.executable, "-u", "-c", code], stdout=out) as process:
        try:
            scene.open_room()
            recording = scene.apply(
                identity="media=0.5,after=2,linger=1", webhooks=[{"url": f"http://{LOOPBACK}:{port}/egress"}]
            )
            recording.until_phase("Complete")
            released(recording)
        finally:
            process.terminate()

    lines = shown.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ALL
    assert lines[-1] == f"egress_ended {id_of(recording)} ['fake://{scene.room}/x.mp4']"


async def test_a_certificate_that_nobody_vouches_for_is_not_sent_to(tmp_path: Path) -> None:
    certificate = Certificate(tmp_path)
    keys = {"devkey": OTHER_SECRET}

    async def key_of(_: Recording, __: Receiver) -> tuple[str, str]:
        return next(iter(keys.items()))

    with WebhookServer(keys, tls=certificate.server_context()) as server:
        receiver = Receiver("spec-0", f"{server.url}/x?token=hush")
        async with Poster(Settings(webhook_allowed_hosts=(LOOPBACK,)), key_of=key_of) as poster:
            answer = await poster.send(built(), receiver, b"{}", sequence=1, event_id="EV_x")

    assert answer == Answer(f"{server.url} cannot be reached (ClientConnectorCertificateError)")
    assert server.received == []
    assert server.forged == 0


async def test_a_name_that_leads_to_loopback_is_not_sent_to(receiver: WebhookServer) -> None:
    async def key_of(_: Recording, __: Receiver) -> tuple[str, str]:
        return OTHER_KEY, OTHER_SECRET

    target = Receiver("spec-0", f"http://localhost:{receiver.port}/")
    body = b'{"event":"egress_started"}'
    async with Poster(Settings(), key_of=key_of) as poster:
        refused = await poster.send(built(), target, body, sequence=1, event_id="EV_x")
        by_operator = await poster.send(
            built(), replace(target, by_operator=True), body, sequence=1, event_id="EV_x"
        )

    assert refused.message.startswith(f"http://localhost:{receiver.port} cannot be reached (")
    assert by_operator == Answer()
    assert len(receiver.received) == 1


def test_redirects_are_not_followed(scene: OperatorScene, receiver: WebhookServer) -> None:
    receiver.failing = 307
    scene.open_room()
    recording = scene.apply(webhooks=[{"url": f"{receiver.url}/here"}])
    recording.until_phase("Active")
    until("two tries", lambda: len(receiver.received) >= 2)
    receiver.failing = 0
    until("both events", lambda: len(receiver.taken()) == 2)

    assert {one.path for one in receiver.received} == {"/here"}
