"""Delivery under a simulated clock: order, back-off, its end, and that no receiver waits for another."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from egress_operator.metrics import Metrics
from egress_operator.model import PhaseEvent, Recording
from egress_operator.names import Key
from egress_operator.units import format_time
from egress_operator.webhook_model import Answer, Receiver
from egress_operator.webhooks import Webhooks
from support.operator_builders import NOW, recording

pytestmark = [pytest.mark.unit, pytest.mark.looptime]

GOOD = Receiver("spec-0", "https://good.example.com")
BAD = Receiver("spec-1", "https://bad.example.com/?token=hush")
REFUSED = Answer("HTTP 500", answered=True)
DEAD = Answer("cannot be reached")


class Receivers:
    """Stands for the network: answers by origin; remembers (time, receiver, body's event, id, numDropped)."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.slow: dict[str, float] = {}
        self.sent: list[tuple[float, str, str, str, int]] = []
        self.at_once: dict[str, int] = {}
        self.most: dict[str, int] = {}

    async def send(
        self, _: Recording, receiver: Receiver, body: bytes, *, sequence: int, event_id: str
    ) -> Answer:
        event = json.loads(body)
        assert event["id"] == event_id
        assert sequence > 0
        now = asyncio.get_running_loop().time()
        name = receiver.origin
        self.sent.append((now, receiver.id, event["event"], event_id, event.get("numDropped", 0)))
        self.at_once[name] = self.at_once.get(name, 0) + 1
        self.most[name] = max(self.most.get(name, 0), self.at_once[name])
        await asyncio.sleep(self.slow.get(name, 0.01))
        self.at_once[name] -= 1
        return self.answers.get(name, Answer())

    def events(self, receiver: Receiver) -> list[str]:
        return [event for _, name, event, _, _ in self.sent if name == receiver.id]


class Scene:
    """One dispatcher, its network, and what it tells."""

    def __init__(self) -> None:
        self.network = Receivers()
        self.woken: list[Key] = []
        self.told: list[PhaseEvent] = []
        self.metrics = Metrics()
        start = asyncio.get_running_loop().time()
        self.webhooks = Webhooks(
            self.network,
            self.metrics,
            wake=self.woken.append,
            tell=self._tell,
            clock=lambda: NOW + timedelta(seconds=asyncio.get_running_loop().time() - start),
        )

    async def _tell(self, _: Recording, event: PhaseEvent) -> None:
        self.told.append(event)

    def count(self, outcome: str) -> float:
        return (
            self.metrics.registry.get_sample_value("egress_operator_webhooks_total", {"outcome": outcome})
            or 0.0
        )


NAMES = ("egress_started", "egress_updated", "egress_updated", "egress_ended")


def status(last: int = 4, phase: str = "Complete", first: int = 1) -> dict[str, Any]:
    """Return a status with the events from `first` to `last` waiting."""
    events = [
        {"sequence": n, "event": NAMES[n - 1], "status": "EGRESS_ACTIVE", "at": format_time(NOW)}
        for n in range(first, last + 1)
    ]
    return {"phase": phase, "webhooks": {"sequence": last, "events": events, "receivers": []}}


async def test_events_go_in_order_and_the_recording_is_woken_at_its_end() -> None:
    scene, made = Scene(), recording()
    scene.webhooks.offer(made, status(2, "Active"), [GOOD])
    await asyncio.sleep(1)
    assert scene.woken == []
    scene.webhooks.offer(made, status(4), [GOOD])
    await asyncio.sleep(1)

    assert scene.network.events(GOOD) == list(NAMES)
    assert scene.woken == [made.key]
    assert scene.webhooks.delivered(made.uid)["spec-0"].sequence == 4
    assert scene.count("delivered") == 4


async def test_what_the_status_says_was_taken_is_not_sent_again() -> None:
    scene, shown = Scene(), status(4)
    shown["webhooks"]["receivers"] = [{"receiver": "spec-0", "sequence": 3}]
    scene.webhooks.offer(recording(), shown, [GOOD])
    await asyncio.sleep(1)

    assert scene.network.events(GOOD) == ["egress_ended"]


async def test_a_dead_receiver_delays_no_other_and_is_tried_ever_more_seldom() -> None:
    scene = Scene()
    scene.network.answers[BAD.origin] = DEAD
    scene.webhooks.offer(recording(), status(2, "Active"), [BAD, GOOD])
    await asyncio.sleep(30)

    assert scene.network.events(GOOD) == list(NAMES[:2])
    times = [time for time, name, *_ in scene.network.sent if name == BAD.id]
    assert len({one[3] for one in scene.network.sent if one[1] == BAD.id}) == 1
    pauses = [later - time for time, later in itertools.pairwise(times)]
    assert len(pauses) in {4, 5}  # with jitter
    assert all(2**n * 0.75 <= pause <= 2**n + 0.05 for n, pause in enumerate(pauses))

    scene.network.answers.clear()
    await asyncio.sleep(40)
    assert scene.network.events(BAD)[-2:] == list(NAMES[:2])
    assert scene.told == []


async def test_after_ten_minutes_without_an_answer_an_event_is_given_up_and_told() -> None:
    scene, made = Scene(), recording()
    scene.network.answers[BAD.origin] = DEAD
    scene.webhooks.offer(made, status(1, "Active"), [BAD])
    await asyncio.sleep(590)
    assert scene.webhooks.delivered(made.uid)["spec-1"].sequence == 0
    await asyncio.sleep(20)
    done = scene.webhooks.delivered(made.uid)["spec-1"]
    assert (done.sequence, done.dropped, done.message) == (1, 1, "cannot be reached")
    assert scene.count("dropped") == 1
    assert [event.reason for event in scene.told] == ["WebhookDropped"]
    assert "hush" not in scene.told[0].message

    scene.network.answers.clear()
    later = status(4, first=2)
    for entry in later["webhooks"]["events"]:
        entry["at"] = format_time(NOW + timedelta(seconds=610))
    scene.webhooks.offer(made, later, [BAD])
    await asyncio.sleep(1)
    assert [dropped for *_, dropped in scene.network.sent[-3:]] == [1, 0, 0]


async def test_an_event_that_is_answered_ten_times_with_an_error_does_not_keep_the_next_one_back() -> None:
    scene, made = Scene(), recording()
    scene.network.answers[BAD.origin] = REFUSED
    scene.webhooks.offer(made, status(2, "Active"), [BAD])
    await asyncio.sleep(300)

    assert scene.network.events(BAD).count("egress_started") == 10
    assert scene.network.events(BAD)[10] == "egress_updated"


async def test_after_a_long_stop_of_the_operator_each_event_is_still_tried_once() -> None:
    scene, shown = Scene(), status(4)
    for entry in shown["webhooks"]["events"]:
        entry["at"] = format_time(NOW - timedelta(hours=1))
    scene.network.answers[BAD.origin] = DEAD
    scene.webhooks.offer(recording(), shown, [BAD, GOOD])
    await asyncio.sleep(5)

    assert scene.network.events(GOOD) == list(NAMES)
    assert scene.network.events(BAD) == list(NAMES)
    assert scene.webhooks.delivered(recording().uid)["spec-1"].dropped == 4
    assert len(scene.told) == 1


async def test_a_deletion_is_held_up_for_a_minute_only() -> None:
    scene, made = Scene(), recording(finalizer=True)
    scene.network.answers[BAD.origin] = DEAD
    scene.webhooks.offer(made, status(4), [BAD])
    await asyncio.sleep(50)
    scene.webhooks.offer(replace(made, deleting=True), status(4), [BAD])
    await asyncio.sleep(15)

    assert scene.woken == [made.key]
    assert scene.webhooks.delivered(made.uid)["spec-1"].dropped == 4


async def test_a_deletion_in_mid_recording_is_held_up_for_a_minute_after_the_end() -> None:
    scene, made = Scene(), recording(finalizer=True, deleting=True)
    scene.network.answers[BAD.origin] = DEAD
    scene.webhooks.offer(made, status(2, "Active"), [BAD])
    await asyncio.sleep(200)
    over = status(4)
    for entry in over["webhooks"]["events"][2:]:
        entry["at"] = format_time(NOW + timedelta(seconds=200))
    tried = len(scene.network.sent)
    scene.webhooks.offer(made, over, [BAD])
    await asyncio.sleep(1)
    # Not only at the end of a pause of a minute.
    assert len(scene.network.sent) == tried + 1
    await asyncio.sleep(62)

    assert scene.woken == [made.key]
    assert scene.webhooks.delivered(made.uid)["spec-1"].dropped == 4


async def test_an_event_that_cannot_be_made_or_sent_is_given_up_and_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene, made = Scene(), recording()

    async def fault(*_: Any, **__: Any) -> Answer:
        raise RuntimeError

    monkeypatch.setattr(scene.network, "send", fault)
    scene.webhooks.offer(made, status(1), [GOOD])
    await asyncio.sleep(300)
    assert scene.woken == [made.key]
    broken = status(2, first=2)
    broken["webhooks"]["events"][0]["status"] = "EGRESS_DANCING"
    scene.webhooks.offer(made, broken, [GOOD])
    await asyncio.sleep(1)

    assert scene.webhooks.delivered(made.uid)["spec-0"].dropped == 2
    assert len(scene.woken) == 2


async def test_a_filtered_event_is_passed_over_in_silence() -> None:
    scene = Scene()
    only = replace(GOOD, include=frozenset({"egress_ended"}))
    scene.webhooks.offer(recording(), status(4), [only])
    await asyncio.sleep(1)

    assert scene.network.events(only) == ["egress_ended"]
    assert scene.network.sent[0][4] == 0
    assert len(scene.woken) == 1


async def test_events_that_went_by_when_too_many_waited_are_counted() -> None:
    scene = Scene()
    shown = status(4)
    del shown["webhooks"]["events"][1:3]
    scene.webhooks.offer(recording(), shown, [GOOD])
    await asyncio.sleep(1)

    assert [(event, dropped) for *_, event, _, dropped in scene.network.sent] == [
        ("egress_started", 0),
        ("egress_ended", 2),
    ]


async def test_a_slow_receiver_has_four_places_and_takes_none_of_the_others() -> None:
    scene = Scene()
    scene.network.slow[BAD.origin] = 10.0
    for number in range(20):
        made = replace(recording(), uid=f"uid-{number}", key=Key("K", "ns", f"r{number}"))
        scene.webhooks.offer(made, status(1, "Active"), [BAD, GOOD])
    await asyncio.sleep(1)

    assert scene.network.events(GOOD) == ["egress_started"] * 20
    assert scene.network.most == {BAD.origin: 4, GOOD.origin: 4}
    await asyncio.sleep(60)
    assert scene.network.events(BAD) == ["egress_started"] * 20
    assert not scene.webhooks._origins


async def test_another_resource_of_the_same_name_takes_the_place_of_the_one_before() -> None:
    scene, made = Scene(), recording()
    scene.network.answers[BAD.origin] = DEAD
    scene.webhooks.offer(made, status(1, "Active"), [BAD])
    await asyncio.sleep(1)
    other = replace(made, uid="another")
    scene.webhooks.offer(other, status(1, "Active"), [GOOD])
    await asyncio.sleep(100)

    assert scene.webhooks.delivered(made.uid) == {}
    assert scene.webhooks.delivered("another")["spec-0"].sequence == 1
    assert scene.metrics.registry.get_sample_value("egress_operator_webhook_queue") == 0


async def test_a_recording_that_is_gone_leaves_nothing() -> None:
    scene, made = Scene(), recording()
    scene.network.answers[BAD.origin] = DEAD
    scene.webhooks.offer(made, status(1, "Active"), [BAD])
    await asyncio.sleep(5)
    scene.webhooks.forget(made.key)
    tried = len(scene.network.sent)
    await asyncio.sleep(100)

    assert len(scene.network.sent) == tried
    assert scene.webhooks.delivered(made.uid) == {}
    assert scene.metrics.registry.get_sample_value("egress_operator_webhook_queue") == 0
    await scene.webhooks.close()
