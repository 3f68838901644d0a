"""The browser publisher against the real server: its clock survives a reload, and its commands do what they say."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest

from devstack import browser_publisher
from devstack.browser_publisher import BrowserPublisher
from devstack.chromium import BrowserError
from devstack.livekit import LiveKitServer
from support.realtime import REALTIME

pytestmark = [
    pytest.mark.integration,
    REALTIME,
    pytest.mark.skipif(bool(browser_publisher.unavailable()), reason=browser_publisher.unavailable() or "-"),
]


@pytest.fixture(scope="module")
def alice(livekit_server: LiveKitServer) -> Iterator[BrowserPublisher]:
    with BrowserPublisher(livekit_server, f"browser-{time.time_ns()}", "alice") as publisher:
        yield publisher


def test_flash_and_beep_of_a_second_leave_together(alice: BrowserPublisher) -> None:
    found = alice.measure(4)
    assert len(found["offsets"]) >= 3
    # A biased publisher would blame the recorder; a busy machine delays single ones, not the median.
    assert abs(statistics.median(found["offsets"])) < 8
    assert abs(statistics.median(found["flashes"])) < 20


def test_a_full_reconnect_gives_new_tracks(alice: BrowserPublisher) -> None:
    before = alice.sid("video"), alice.sid("audio")
    alice.command("reconnect full-reconnect")
    after = alice.sid("video"), alice.sid("audio")
    assert all(sid.startswith("TR_") for sid in after)
    assert not set(before) & set(after)


def test_a_reload_keeps_the_clock_of_the_pattern(alice: BrowserPublisher) -> None:
    before = alice.sid("video")
    alice.command("reload")
    assert alice.sid("video") != before
    assert abs(statistics.median(alice.measure(3)["flashes"])) < 20


def test_an_unknown_command_is_an_error_that_names_it(alice: BrowserPublisher) -> None:
    with pytest.raises(BrowserError, match="unknown command dance"):
        alice.command("dance")
