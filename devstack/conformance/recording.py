"""Owns one real recorder of a case: `egress-recorder run` in the surroundings of a pod, with a volume as destination."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from livekit import api

from devstack.conformance.observe import Left
from devstack.conformance.plan import Selection
from devstack.livekit import LiveKitServer
from devstack.process import LOOPBACK, ServerProcess
from egress_recorder.contract import (
    Encoding,
    Manifest,
    ParticipantSource,
    RecorderConfig,
    RecorderResult,
    RecorderStatus,
    TrackCompositeSource,
)

SMALL = Encoding(width=640, height=360, video_bitrate=1000)
"""What cases are encoded to that prove nothing about sizes: several fit on two cores."""
_REPOSITORY = Path(__file__).parents[2]
_FILEPATH = "rec/media.mp4"


def recorder_token(server: LiveKitServer, room: str, identity: str, *, ttl: float | None = None) -> str:
    """Return the token that the operator would give; `ttl` in seconds."""
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        can_publish=False,
        can_publish_data=False,
        can_subscribe=True,
        hidden=True,
        recorder=True,
    )
    token = api.AccessToken(server.api_key, server.api_secret).with_identity(identity).with_grants(grants)
    if ttl is not None:
        token = token.with_ttl(timedelta(seconds=ttl))
    return str(token.to_jwt())


def first_seen(log: Path) -> dict[str, float]:
    """Return, by kind, the wall clock at which a recorder's log first tells of a track."""
    found: dict[str, float] = {}
    for line in log.read_text(errors="replace").splitlines():
        if '"recorded tracks"' in line:
            entry = json.loads(line)
            at = datetime.fromisoformat(entry["time"]).timestamp()
            for track in entry["tracks"]:
                found.setdefault(track.partition(" ")[0], at)
    return found


@dataclass
class Recording:
    """One recording of a scene; started by `Scene.record`. All times are wall clock, UNIX seconds."""

    server: LiveKitServer
    room: str
    directory: Path
    source: ParticipantSource | TrackCompositeSource
    selection: Selection
    encoding: Encoding = SMALL
    settings: dict[str, Any] = field(default_factory=dict)
    """More fields of `RecorderConfig`, for example rejoin_timeout."""
    url: str = ""
    """Where the recorder finds the server, when that is not the server itself (a relay with faults)."""
    egress_id: str = field(default_factory=lambda: f"EG_{secrets.token_hex(6)}")
    ready_at: float = 0.0
    """When it was in the room; what was published before that is recorded from then on."""
    stopped_at: float | None = None
    """When it was asked to stop."""
    expected_end: float | None = None
    """Where the file has to end; None: where it was stopped, or when all that it recorded had left."""
    exit_code: int | None = None
    result: RecorderResult | None = None

    def start(self) -> None:
        """Start the recorder; returns at once."""
        config_dir, volume = self.directory / "config", self.volume
        for path in (config_dir, volume):
            path.mkdir(parents=True)
        self._termination_log = self.directory / "termination-log"
        self._termination_log.touch()
        self._control_token = secrets.token_hex(16)
        config = RecorderConfig(
            egress_id=self.egress_id,
            url=self.url or self.server.url,
            room_name=self.room,
            source=self.source,
            encoding=self.encoding,
            outputs=({"filepath": _FILEPATH, "destination": {"kind": "pvc", "volume": "claim"}},),
            requested_at=datetime.now(UTC),
            **self.settings,
        )
        (config_dir / "config.json").write_text(config.to_json())
        self.renew_token(recorder_token(self.server, self.room, self.egress_id))
        (config_dir / "control-token").write_text(self._control_token)
        command = [sys.executable, "-m", "egress_recorder", "run", "--config-dir", str(config_dir)]
        command += ["--scratch", str(self.directory / "scratch"), "--volumes-root", str(volume.parent)]
        command += ["--termination-log", str(self._termination_log), "--bind", f"{LOOPBACK}:0"]
        self.process = ServerProcess(
            "recorder",
            command,
            log=self.directory / "recorder.log",
            env={**os.environ, "PYTHONPATH": str(_REPOSITORY / "recorder")},
        )
        self.process.start()

    def renew_token(self, token: str) -> None:
        """Write a token as the operator does."""
        (self.directory / "config" / "token").write_text(token)

    # ---- while it runs -----------------------------------------------------------------------------------

    @property
    def volume(self) -> Path:
        """The mounted claim."""
        return self.directory / "volumes" / "claim"

    def status(self) -> RecorderStatus:
        """Ask the control endpoint. Raises OSError when nobody answers."""
        return RecorderStatus.parse(self._request("GET", "/v1/status"))

    def until(
        self, accept: Callable[[RecorderStatus], bool], what: str, timeout: float = 20.0
    ) -> RecorderStatus:
        """Wait until the status is as wanted. Raises TimeoutError or RuntimeError with the end of the log."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                status = self.status()
            except OSError:
                status = None
            if status is not None and accept(status):
                return status
            if not self.process.running:
                raise RuntimeError(f"the recorder ended before {what}:\n{self.process.log_tail()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout:g} s, last status {status}")
            time.sleep(0.05)

    def until_in_room(self) -> None:
        """Wait until the recorder has joined, and note when."""
        self.until(lambda status: status.in_room, "the recorder joined")
        self.ready_at = time.time()

    def until_active(self) -> None:
        """Wait for the first media."""
        self.until(lambda status: status.started_at is not None, "the first media")

    def stop(self) -> None:
        """Ask for the end as the operator does; the file ends now."""
        self.stopped_at = time.time()
        self._request("PUT", "/v1/desired-state", {"generation": 1, "desiredState": "Stopped"})

    def finish(self, timeout: float = 30.0) -> None:
        """Wait for the end of the process and read its result. Raises TimeoutError."""
        deadline = time.monotonic() + timeout
        while self.process.running:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the recorder did not end within {timeout:g} s:\n{self.process.log_tail()}"
                )
            time.sleep(0.05)
        self.exit_code = self.process.returncode
        self.result = RecorderResult.parse(self._termination_log.read_bytes())

    def close(self) -> None:
        """End the process whatever it does."""
        if hasattr(self, "process"):
            self.process.kill()

    # ---- what it left ------------------------------------------------------------------------------------

    def manifest(self) -> Manifest | None:
        """Read the manifest; None when there is none."""
        path = self.volume / Path(_FILEPATH).parent / f"{self.egress_id}.json"
        return Manifest.parse(path.read_bytes()) if path.exists() else None

    def seen(self) -> dict[str, float]:
        """Return the wall clock at which it first saw a track, by kind."""
        return first_seen(self.process.log)

    def files(self) -> list[Left]:
        """Return each part's file with the clock that the manifest gives it."""
        manifest = self.manifest()
        if manifest is None:
            return []
        zeros = {media.part: media.zero_at for media in manifest.media}
        return [
            Left(
                self.volume / part.filename,
                part.part,
                zeros.get(part.part, part.started_at).timestamp(),
                part.started_at.timestamp(),
            )
            for part in manifest.parts
            if part.started_at and part.location and part.output == 0
        ]

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self._port()}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {self._control_token}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def _port(self) -> int:
        for line in self.process.log.read_text(errors="replace").splitlines():
            if '"control endpoint listens"' in line:
                return int(json.loads(line)["port"])
        raise ConnectionRefusedError("the control endpoint does not listen yet")
