"""Owns a bad network without netem: a relay for livekit-server's media port that loses, delays and holds back packets.

The server is bound to 127.0.0.1 and names `ADDRESS` in its candidates, where one process listens on the same port and
keeps one socket per client towards the server (`LiveKitServer(relayed=True)`; ICE-lite, or the server's own checks would
find a way past the relay). Which leg a client is shows its first RTP packet: a publisher sends it, a recorder gets it;
until then only what holds for `new` clients or for both legs applies. `NetRelay` runs it as a child process.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, cast

from devstack.process import LOOPBACK

ADDRESS = "127.0.0.2"
IN_ORDER = 1e-6
"""Seconds between two packets that would leave at once: an event loop runs what is due at the same time in any order."""
MAX_QUEUE = 0.5
"""Seconds of packets that a link of bounded rate keeps; more are dropped."""

Leg = Literal["publisher", "recorder", "new", "both"]
"""`new`: clients whose leg is not known yet."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a leg does to packets, each direction on its own."""

    loss: float = 0.0
    """Share of packets that are dropped, 0 to 1."""
    delay: float = 0.0
    jitter: float = 0.0
    """Seconds; a packet takes delay ± jitter, evenly distributed."""
    reorder: bool = False
    """Packets may overtake each other; else one that would waits for the one before."""
    rate: float = 0.0
    """bit/s; 0: unbounded."""
    only_media: bool = False
    """Only RTP is touched: the connection lives, and nothing comes of it."""


class Link:
    """One direction of one client; pure, times are seconds of any monotonic clock."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._free = 0.0
        self._last = 0.0

    def release(self, now: float, size: int, how: Impairment) -> float | None:
        """Return when a packet of `size` bytes leaves the link, None when it is lost."""
        if self._rng.random() < how.loss:
            return None
        start = now
        if how.rate:
            start = max(now, self._free)
            if start - now > MAX_QUEUE:
                return None
            self._free = start = start + size * 8 / how.rate
        at = start + max(0.0, how.delay + self._rng.uniform(-how.jitter, how.jitter))
        if not how.reorder:
            at = self._last = max(at, self._last + IN_ORDER)
        return at


def is_rtp(packet: bytes) -> bool:
    """True for a media packet: neither STUN nor DTLS nor RTCP (RFC 7983, RFC 5761)."""
    return len(packet) > 12 and 128 <= packet[0] <= 191 and not 64 <= (packet[1] & 0x7F) <= 95


class Conditions:
    """The impairments and outages in force, by leg."""

    def __init__(self) -> None:
        self._of: dict[Leg, Impairment] = {}
        self._out: dict[Leg, float] = {}

    def command(self, leg: Leg, now: float, *, outage: float | None = None, **impairment: Any) -> None:
        """Set what holds for a leg from now on; `outage`: nothing passes for so many seconds."""
        if outage is not None:
            self._out[leg] = now + outage
        else:
            self._of[leg] = Impairment(**impairment)

    def of(self, leg: Leg | None, now: float) -> Impairment | None:
        """Return what holds for a client of a leg (None: not known yet), None during an outage."""
        legs: tuple[Leg, ...] = (leg or "new", "both")
        if any(self._out.get(name, 0.0) > now for name in legs):
            return None
        return next((self._of[name] for name in legs if name in self._of), Impairment())


class _Client(asyncio.DatagramProtocol):
    """The relay's side towards the server for one client."""

    def __init__(self, relay: _Relay, address: tuple[str, int]) -> None:
        self.relay, self.address = relay, address
        self.leg: Leg | None = None
        self.up, self.down = Link(relay.rng), Link(relay.rng)
        self.transport: asyncio.DatagramTransport | None = None
        self.waiting: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The selector loop's transport is no subclass of DatagramTransport in Python 3.11.
        self.transport = cast("asyncio.DatagramTransport", transport)
        for packet in self.waiting:
            self.transport.sendto(packet)
        self.waiting.clear()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002 - interface
        if self.leg is None and is_rtp(data):
            self.leg = "recorder"
        self.relay.forward(self.down, self.leg, data, self._to_client)

    def error_received(self, exc: Exception) -> None:
        """A killed server: packets are lost, nothing more."""

    def from_client(self, data: bytes) -> None:
        if self.leg is None and is_rtp(data):
            self.leg = "publisher"
        self.relay.forward(self.up, self.leg, data, self._to_server)

    def _to_client(self, data: bytes) -> None:
        assert self.relay.transport is not None
        self.relay.transport.sendto(data, self.address)

    def _to_server(self, data: bytes) -> None:
        if self.transport is None:
            self.waiting.append(data)
        else:
            self.transport.sendto(data)


class _Relay(asyncio.DatagramProtocol):
    """The side towards the clients."""

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.rng = port, random.Random(seed)
        self.conditions = Conditions()
        self.transport: asyncio.DatagramTransport | None = None
        self._clients: dict[tuple[str, int], _Client] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # The selector loop's transport is no subclass of DatagramTransport in Python 3.11.
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        client = self._clients.get(addr)
        if client is None:
            client = self._clients[addr] = _Client(self, addr)
            loop = asyncio.get_running_loop()
            made = loop.create_datagram_endpoint(
                lambda: client, local_addr=(ADDRESS, 0), remote_addr=(LOOPBACK, self.port)
            )
            task = asyncio.ensure_future(made)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        client.from_client(data)

    def obey(self, command: dict[str, Any]) -> None:
        self.conditions.command(now=asyncio.get_running_loop().time(), **command)

    def forward(self, link: Link, leg: Leg | None, data: bytes, send: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        how = self.conditions.of(leg, now)
        if how is not None and how.only_media and not is_rtp(data):
            how = Impairment()
        at = None if how is None else link.release(now, len(data), how)
        if at is None:
            return
        if at <= now:
            send(data)
        else:
            loop.call_at(at, send, data)


async def _serve(port: int, seed: int) -> None:
    loop = asyncio.get_running_loop()
    relay = _Relay(port, seed)
    await loop.create_datagram_endpoint(lambda: relay, local_addr=(ADDRESS, port))
    ended = asyncio.Event()

    def obey() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(relay.obey, json.loads(line))
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=obey, daemon=True).start()
    print("ready", flush=True)
    await ended.wait()


class NetRelay:
    """The relay of one server as a child process; `with` ends it."""

    def __init__(self, port: int, *, seed: int = 1) -> None:
        """`port`: the server's media port."""
        self._command = [sys.executable, "-m", "devstack.netrelay", str(port), str(seed)]

    def __enter__(self) -> Self:
        """Start and wait until packets pass. Raises RuntimeError."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            self._process.kill()
            raise RuntimeError("the network relay did not start")
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def impair(self, leg: Leg, how: Impairment) -> None:
        """Let this hold for a leg from now on; `Impairment()` heals it."""
        self._tell(leg=leg, **asdict(how))

    def outage(self, leg: Leg, seconds: float) -> None:
        """Let nothing pass for so long (0: let it pass again)."""
        self._tell(leg=leg, outage=seconds)

    def _tell(self, **command: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        time.sleep(0.02)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
