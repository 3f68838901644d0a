"""The one status write: against the version that was observed, and never over another operator's word."""

from __future__ import annotations

from typing import Any, cast

import pytest

from egress_operator import names, views
from egress_operator.controller import Controller
from egress_operator.kube import Kube, Outcome
from egress_operator.metrics import Metrics
from egress_operator.model import Plan, RemoveFinalizer
from egress_operator.names import Key
from egress_operator.seen import Seen
from egress_operator.workqueue import WorkQueue
from support.operator_builders import body, observed, status

pytestmark = pytest.mark.unit

KEY = Key(names.PARTICIPANT_KIND, "calls", "alice")


class Server:
    """Answers to patches of the status; remembers them."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.patches: list[dict[str, Any]] = []

    async def patch(self, _: Any, namespace: str, name: str, patch: dict[str, Any], **__: Any) -> Any:
        self.patches.append(patch)
        return self.answer


def controller(server: Server, seen: Seen) -> Controller:
    nothing: Any = object()
    return Controller(
        kube=cast("Kube", server),
        seen=seen,
        queue=WorkQueue(),
        observer=nothing,
        actions=nothing,
        poller=nothing,
        rooms=nothing,
        webhooks=nothing,
        metrics=Metrics(),
    )


def versioned(version: str, **fields: Any) -> dict[str, Any]:
    made = body(**fields)
    made["metadata"]["resourceVersion"] = version
    return made


async def test_the_status_is_written_against_the_version_that_our_own_finalizer_made() -> None:
    shown, seen = status("Pending"), Seen()
    watched = observed(of=views.recording(KEY.kind, versioned("7", status=shown)))
    seen.put(KEY, versioned("8", status=dict(shown), finalizer=True))
    server = Server(versioned("9", status={**shown, "message": "new"}))

    assert await controller(server, seen)._write(watched, {**shown, "message": "new"})
    assert server.patches == [{"metadata": {"resourceVersion": "8"}, "status": {"message": "new"}}]
    assert seen.body(KEY) == server.answer


async def test_a_status_that_somebody_else_wrote_in_between_is_not_overwritten() -> None:
    shown, seen = status("Pending"), Seen()
    watched = observed(of=views.recording(KEY.kind, versioned("7", status=shown)))
    seen.put(KEY, versioned("8", status={**shown, "part": 2}))
    server = Server(versioned("9"))

    assert not await controller(server, seen)._write(watched, {**shown, "message": "new"})
    assert server.patches == []


@pytest.mark.parametrize("outcome", [Outcome.CONFLICT, Outcome.NOT_FOUND])
async def test_a_conflict_is_a_value(outcome: Outcome) -> None:
    shown, seen = status("Pending"), Seen()
    watched = observed(of=views.recording(KEY.kind, versioned("7", status=shown)))
    seen.put(KEY, versioned("7", status=shown))

    assert not await controller(Server(outcome), seen)._write(watched, {**shown, "message": "new"})


@pytest.mark.parametrize(("used", "counted"), [(True, 1.0), (None, 0.0)])
async def test_an_ended_recording_with_a_file_in_the_backup_storage_is_counted_once(
    used: bool | None, counted: float
) -> None:
    shown, seen = status("Active"), Seen()
    watched = observed(of=views.recording(KEY.kind, versioned("7", status=shown)))
    seen.put(KEY, versioned("7", status=dict(shown)))
    over = {**shown, "phase": "Complete", "egressId": "EG_x"} | ({"backupStorageUsed": True} if used else {})
    made = controller(Server(versioned("8", status=over)), seen)
    made._actions = cast("Any", type("Actions", (), {"crash": lambda _, __: None})())

    assert await made._write(watched, over)

    assert made._metrics.backed_up._value.get() == counted


class Offered:
    """Stands for the delivery of webhooks; remembers what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def offer(self, *_: object) -> None:
        self.calls.append("offer")

    def forget(self, _: Key) -> None:
        self.calls.append("forget")


@pytest.mark.parametrize(
    ("phase", "finalizer", "after", "call"),
    [
        ("Active", True, (), "offer"),
        ("Complete", True, (), "offer"),
        ("Complete", True, (RemoveFinalizer(),), "forget"),
        # A deleted recording's status still names its last event as waiting: it must not be sent once more.
        ("Complete", False, (), "forget"),
    ],
)
async def test_events_are_offered_until_the_finalizer_goes(
    phase: str, finalizer: bool, after: tuple[Any, ...], call: str
) -> None:
    made = controller(Server(None), Seen())
    made._webhooks = cast("Any", Offered())
    made._poller = cast("Any", type("Poller", (), {"unfollow": lambda _, __: None})())
    shown = observed(of=views.recording(KEY.kind, versioned("7", status=status(phase), finalizer=finalizer)))

    made._follow(shown, Plan(after=after))

    assert cast("Any", made._webhooks).calls == [call]
