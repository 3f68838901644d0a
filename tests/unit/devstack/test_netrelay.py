"""The bad network does what it is told: how many packets are lost, when the others arrive, in which order."""

from __future__ import annotations

import random
import socket
import statistics
import time

import pytest

from devstack.netrelay import ADDRESS, Conditions, Impairment, Link, NetRelay, is_rtp
from devstack.process import LOOPBACK, free_port

pytestmark = pytest.mark.unit
RTP, RTCP, STUN = b"\x80\x60" + bytes(50), b"\x80\xc8" + bytes(50), b"\x00\x01" + bytes(50)


def times(how: Impairment, count: int = 5000, *, spacing: float = 0.004) -> list[float | None]:
    """The delay of each packet, None for a lost one."""
    link = Link(random.Random(3))
    released = [(n * spacing, link.release(n * spacing, 1000, how)) for n in range(count)]
    return [None if at is None else at - sent for sent, at in released]


def test_two_percent_loss_is_two_percent() -> None:
    assert times(Impairment(loss=0.02)).count(None) / 5000 == pytest.approx(0.02, abs=0.006)


def test_the_delay_is_spread_evenly_within_the_jitter() -> None:
    delays = [late for late in times(Impairment(delay=0.05, jitter=0.01, reorder=True)) if late is not None]
    assert statistics.mean(delays) == pytest.approx(0.05, abs=0.001)
    assert (min(delays), max(delays)) == (pytest.approx(0.04, abs=0.001), pytest.approx(0.06, abs=0.001))


@pytest.mark.parametrize("reorder", [False, True])
def test_packets_overtake_each_other_only_when_they_may(reorder: bool) -> None:
    link = Link(random.Random(4))
    how = Impairment(delay=0.05, jitter=0.01, reorder=reorder)
    at = [link.release(n * 0.004, 1000, how) or 0.0 for n in range(1000)]
    assert (sorted(at) != at) == reorder


def test_packets_that_come_at_once_leave_one_after_the_other() -> None:
    link = Link(random.Random(4))
    at = [link.release(0.0, 1000, Impairment(delay=0.05, jitter=0.01)) or 0.0 for _ in range(100)]
    assert at == sorted(set(at)), "an event loop runs what is due at the same time in any order"


def test_a_bounded_rate_holds_packets_back_and_drops_what_waits_too_long() -> None:
    delays = times(Impairment(rate=1_000_000), 500)  # 2 Mbit/s are sent
    kept = [late for late in delays if late is not None]
    assert len(kept) * 8000 / 1_000_000 == pytest.approx(2.0 + 0.5, abs=0.1)
    assert 0.4 < max(kept) < 0.52


def test_what_holds_for_one_leg_does_not_for_the_other_or_before_it_is_known() -> None:
    conditions = Conditions()
    conditions.command("publisher", 0.0, loss=0.5)
    assert conditions.of("publisher", 1.0) == Impairment(loss=0.5)
    assert conditions.of("recorder", 1.0) == conditions.of(None, 1.0) == Impairment()
    conditions.command("both", 1.0, outage=10.0)
    assert [conditions.of(leg, 5.0) for leg in ("publisher", "recorder", None)] == [None, None, None]
    assert conditions.of("recorder", 11.5) == Impairment()


def test_only_media_tells_which_leg_a_client_is() -> None:
    assert [is_rtp(packet) for packet in (RTP, RTCP, STUN, b"")] == [True, False, False, False]


def test_packets_pass_the_process_both_ways_until_the_leg_is_out() -> None:
    port = free_port(udp=True)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
        NetRelay(port) as relay,
    ):
        server.bind((LOOPBACK, port))
        server.settimeout(2)
        client.settimeout(2)
        client.sendto(RTP, (ADDRESS, port))
        data, address = server.recvfrom(2000)
        assert data == RTP
        server.sendto(RTP + b"back", address)
        assert client.recv(2000) == RTP + b"back"

        relay.impair("publisher", Impairment(delay=0.2))
        sent = time.monotonic()
        client.sendto(RTP, (ADDRESS, port))
        server.recv(2000)
        assert time.monotonic() - sent >= 0.2

        relay.impair("publisher", Impairment(loss=1.0, only_media=True))
        client.sendto(RTP, (ADDRESS, port))
        client.sendto(STUN, (ADDRESS, port))
        assert server.recv(2000) == STUN

        relay.outage("publisher", 30)
        client.sendto(RTP, (ADDRESS, port))
        server.settimeout(0.5)
        with pytest.raises(TimeoutError):
            server.recv(2000)
