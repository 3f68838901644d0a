"""Owns a recorder in the surroundings of a pod: its configuration directory, its command, its control endpoint."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measured import MeasuredProcess

from egress_recorder.contract import RecorderResult, RecorderStatus

EGRESS_ID = "EG_bench"
VOLUME: Mapping[str, str] = {"kind": "pvc", "volume": "claim", "claimName": "bench"}
"""A destination: `PodRecorder.volume`."""
_CONTROL_TOKEN = "control-token-of-the-benchmark"
_STOP = json.dumps({"generation": 2, "desiredState": "Stopped"}).encode()
_RECORDER = (str(Path(sys.executable).with_name("egress-recorder")),)


class PodRecorder:
    """`egress-recorder run` with what a pod has: directories, Secrets as files, a loopback address."""

    def __init__(
        self,
        directory: Path,
        config: Mapping[str, Any],
        *,
        token: str,
        secrets: Mapping[str, str] | None = None,
        streams: Sequence[Mapping[str, str]] = (),
    ) -> None:
        """`config`: fields of `RecorderConfig`; `secrets`: text by `storage/file`; `streams`: `{key, url}` each."""
        self._directory, self._port = directory, 0
        self.scratch, self.volume = directory / "scratch", directory / "volumes" / "claim"
        files = {
            "config/config.json": json.dumps(
                {"egressId": EGRESS_ID, "requestedAt": "2026-11-22T10:00:00Z", **config}
            ),
            "config/streams.json": json.dumps({"streams": list(streams)}),
            "config/token": token,
            "config/control-token": _CONTROL_TOKEN,
            **{f"credentials/{name}": text for name, text in (secrets or {}).items()},
        }
        for path in (self.scratch, self.volume, *((directory / name).parent for name in files)):
            path.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name).write_text(text)

    def process(self, command: Sequence[str] = _RECORDER) -> MeasuredProcess:
        """Return the recorder, not started yet. `command`: what stands before `run`."""
        here = self._directory
        options = {
            "config-dir": here / "config",
            "scratch": self.scratch,
            "credentials-root": here / "credentials",
            "volumes-root": here / "volumes",
            "termination-log": here / "termination.json",
            "bind": "127.0.0.1:0",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return MeasuredProcess(command=[*command, "run", *words], log=here / "recorder.log")

    def status(self, process: MeasuredProcess) -> RecorderStatus:
        """Return where the recorder is; waits for its control endpoint. Exits with its log when it does not answer."""
        while not self._port:
            self._port = self._announced()
            if not process.running:
                sys.exit(f"the recorder has ended:\n{process.log_tail()}")
            time.sleep(0.05)
        try:
            return RecorderStatus.parse(self._ask("GET", "/v1/status"))
        except OSError as error:
            sys.exit(f"the recorder does not answer ({error}):\n{process.log_tail()}")

    def stop(self) -> None:
        """Ask for the end, as the operator does."""
        self._port = self._port or self._announced()
        self._ask("PUT", "/v1/desired-state", _STOP)

    def result(self) -> RecorderResult:
        """Return what the recorder left in its termination message."""
        return RecorderResult.parse((self._directory / "termination.json").read_bytes())

    def _announced(self) -> int:
        log = self._directory / "recorder.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        known = [json.loads(line) for line in lines if '"control endpoint listens"' in line]
        return int(known[-1]["port"]) if known else 0

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}",
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {_CONTROL_TOKEN}"},
        )
        # No proxy of the environment may stand between us and loopback.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return bytes(answer.read())
