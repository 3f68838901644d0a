"""Owns a receiver of webhooks on loopback for tests: verifies with livekit-api, remembers, and fails when it is told to."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

from livekit import api

from devstack.httpserver import LoopbackServer, SilentHandler


@dataclass(frozen=True)
class Received:
    """One request that was verified. `answer` is the status that it got."""

    event: Any
    sequence: int
    path: str
    answer: int
    headers: dict[str, str] = field(repr=False)


class WebhookServer(LoopbackServer):
    """Answers 200 to what a key of its own has signed, 401 to anything else; `failing` makes it refuse what is right."""

    def __init__(self, keys: dict[str, str], *, tls: ssl.SSLContext | None = None) -> None:
        """``keys``: secrets by the API key's name."""
        super().__init__(_Handler, tls=tls)
        self.keys = dict(keys)
        self.failing = 0
        """Status for everything that is right; 0: 200."""
        self.received: list[Received] = []
        self.forged = 0
        self._lock = threading.Lock()

    def taken(self, egress_id: str = "") -> list[Received]:
        """Return what was answered with 200, in order, of one recording or of all."""
        with self._lock:
            return [
                one
                for one in self.received
                if one.answer == 200 and egress_id in {"", one.event.egress_info.egress_id}
            ]

    def take(self, path: str, headers: dict[str, str], body: str) -> int:
        """Verify one request and return the status to answer with."""
        for name, secret in self.keys.items():
            try:
                event = api.WebhookReceiver(api.TokenVerifier(name, secret)).receive(
                    body, headers["Authorization"]
                )
            except Exception:  # noqa: BLE001 - livekit-api raises plain ones; the next key may fit
                continue
            answer = self.failing or 200
            with self._lock:
                self.received.append(Received(event, int(headers["Egress-Sequence"]), path, answer, headers))
            return answer
        self.forged += 1
        return 401


class _Handler(SilentHandler):
    server: Any

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        owner: WebhookServer = self.server.owner
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        answer = owner.take(self.path, dict(self.headers.items()), body)
        self.send_response(answer)
        if 300 <= answer < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()
