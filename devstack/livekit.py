"""Owns one livekit-server on loopback: free ports, random keys, can be killed and started again on the same ports."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from devstack import build, netrelay
from devstack.process import LOOPBACK, ServerProcess, free_port, port_answers, say


class LiveKitServer:
    """A livekit-server; `url`, `api_key` and `api_secret` are all a client needs."""

    def __init__(
        self,
        directory: Path,
        *,
        empty_timeout: int = 300,
        departure_timeout: int = 20,
        auto_create: bool = True,
        relayed: bool = False,
        codecs: Sequence[str] = (),
        progress: Callable[[str], None] = say,
    ) -> None:
        """Choose ports and keys; time-outs are seconds, their defaults livekit-server's.

        `relayed`: clients are told to send media through `devstack.netrelay`, which must run on `media_port`.
        `codecs`: the only MIME types that rooms let through, for example `audio/PCMU`; empty: the server's defaults.
        """
        self.directory = directory
        self.media_port = free_port(udp=True)
        self._relayed = relayed
        self.port = free_port()
        self.url = f"ws://{LOOPBACK}:{self.port}"
        self.http_url = f"http://{LOOPBACK}:{self.port}"
        self.api_key = f"API{secrets.token_hex(6)}"
        self.api_secret = secrets.token_hex(24)
        self._room = {
            "auto_create": auto_create,
            "empty_timeout": empty_timeout,
            "departure_timeout": departure_timeout,
            **({"enabled_codecs": [{"mime": mime} for mime in codecs]} if codecs else {}),
        }
        self._progress = progress
        self._process: ServerProcess | None = None

    @property
    def servers(self) -> list[ServerProcess]:
        """The process, once started."""
        return [] if self._process is None else [self._process]

    def start(self) -> None:
        """Start and return when the server accepts connections. Raises ProcessError."""
        binary = build.ensure("livekit-server", say=self._progress)["livekit-server"]
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._process is None:
            configuration = self.directory / "livekit.yaml"
            configuration.touch(mode=0o600)
            configuration.write_text(yaml.safe_dump(self._configuration()))
            self._process = ServerProcess(
                "livekit-server",
                [binary, "--config", configuration],
                log=self.directory / "livekit-server.log",
            )
        self._process.start()
        self._process.wait_ready(lambda: port_answers(self.port), timeout=60)
        self._progress(f"livekit-server ready ({self.url})")

    def stop(self) -> None:
        """End the server; clients are disconnected."""
        if self._process is not None:
            # A regular end waits for its participants to leave.
            self._process.stop(grace=0.5)

    def kill(self) -> None:
        """Kill the server as a crash would."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> None:
        """Kill the server and start it on the same ports with the same keys; rooms are forgotten."""
        self.kill()
        self.start()

    def _configuration(self) -> dict[str, object]:
        return {
            "port": self.port,
            "bind_addresses": [LOOPBACK],
            "keys": {self.api_key: self.api_secret},
            "rtc": {
                # Media over TCP would listen on all interfaces (pion ignores the bind address), and loopback loses nothing.
                "tcp_port": 0,
                "udp_port": self.media_port,
                "use_external_ip": False,
                "node_ip": netrelay.ADDRESS if self._relayed else LOOPBACK,
                "use_ice_lite": self._relayed,
                "interfaces": {"includes": ["lo"]},
                "enable_loopback_candidate": True,
            },
            "room": self._room,
            "logging": {"level": "info", "pion_level": "error"},
        }
