"""What is held of the watched objects: newest bodies, and which recordings were never started."""

from __future__ import annotations

import pytest

from egress_operator.names import PARTICIPANT_KIND, Key
from egress_operator.seen import Seen
from support import operator_builders as build

pytestmark = pytest.mark.unit

KEY = Key(PARTICIPANT_KIND, "calls", "alice")


def test_a_recording_is_unstarted_until_its_status_names_a_job() -> None:
    seen = Seen()
    assert not seen.is_unstarted(KEY)
    seen.put(KEY, build.body())
    assert seen.is_unstarted(KEY)
    started = build.body(status=build.status())
    started["metadata"]["resourceVersion"] = "8"
    seen.put(KEY, started)

    assert not seen.is_unstarted(KEY)


def test_an_older_body_does_not_replace_a_newer_one_and_managed_fields_are_not_kept() -> None:
    seen, newer, older = Seen(), build.body(generation=2), build.body()
    newer["metadata"] |= {"resourceVersion": "10", "managedFields": [{"manager": "kubectl"}]}
    older["metadata"]["resourceVersion"] = "9"

    assert seen.put(KEY, newer)
    assert not seen.put(KEY, older)
    held = seen.body(KEY)
    assert held is not None
    assert held["metadata"]["generation"] == 2
    assert "managedFields" not in held["metadata"]
