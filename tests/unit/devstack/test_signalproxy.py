"""The proxy before a signal port: lets through, cuts, refuses, lets through again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from devstack.process import LOOPBACK
from devstack.signalproxy import SignalProxy

pytestmark = pytest.mark.unit


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; yields its port."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def client(proxy: SignalProxy) -> socket.socket:
    return socket.create_connection((LOOPBACK, proxy.port), timeout=2)


def passes(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"hello")
        return connection.recv(100) == b"hello"
    except OSError:
        return False


def test_a_cut_ends_connections_and_lets_new_ones_through(echo: int) -> None:
    with SignalProxy(echo) as proxy, client(proxy) as before:
        assert passes(before)
        proxy.cut()
        assert not passes(before)
        with client(proxy) as after:
            assert passes(after)
        assert proxy.accepted == 2


def test_what_refuses_lets_nothing_through_until_it_heals(echo: int) -> None:
    with SignalProxy(echo) as proxy:
        proxy.cut(refuse=True)
        with client(proxy) as refused:
            assert not passes(refused)
        proxy.heal()
        with client(proxy) as again:
            assert passes(again)
