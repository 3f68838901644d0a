"""Owns a recorder process in the surroundings of a pod, with a fake capture process: for tests of the whole `run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from egress_recorder.contract import Manifest, RecorderResult, RecorderStatus

ROOT = Path(__file__).parents[2]
FAKES = ROOT / "tests" / "fakes"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ2aWRlbyI6e319.c2lnbmF0dXJlLW9mLXRva2Vu"
CONTROL_TOKEN = "control-token-of-this-recorder"

LAUNCHER = """
import sys
from functools import partial
from egress_recorder.cli import main
from egress_recorder.supervisor.process import spawn_capture
scenario, fakes, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
capture = [sys.executable, fakes + "/fake_capture.py", "--scenario", scenario]
sys.exit(main(arguments, spawn=partial(spawn_capture, capture),
              finalize_command=[sys.executable, fakes + "/fake_finalize.py"]))
"""


class Recorder:
    """One recorder process in a pod's surroundings."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config_dir = directory / "config"
        self.volume = directory / "volumes" / "claim"
        self.scratch = directory / "scratch"
        self.termination_log = directory / "termination-log"
        for path in (self.config_dir, self.volume):
            path.mkdir(parents=True)
        self.termination_log.touch()
        self.process: subprocess.Popen[str] | None = None
        self.log: list[str] = []
        self.port = 0
        self.extra_arguments: list[str] = []
        self.environment: dict[str, str] = {}

    def configure(self, scenario: list[dict[str, Any]], **changes: Any) -> None:
        config = {
            "egressId": "EG_test",
            "url": "ws://127.0.0.1:1",
            "roomName": "standup",
            "source": {"kind": "participant", "identity": "alice"},
            "outputs": [
                {"filepath": "rec/a.mp4", "destination": {"kind": "pvc", "volume": "claim", "claimName": "c"}}
            ],
            "requestedAt": "2026-11-22T10:00:00Z",
            **changes,
        }
        (self.config_dir / "config.json").write_text(json.dumps(config))
        (self.config_dir / "token").write_text(TOKEN)
        (self.config_dir / "control-token").write_text(CONTROL_TOKEN)
        (self.directory / "scenario.json").write_text(json.dumps(scenario))

    def start(self) -> None:
        arguments = ["run", "--config-dir", self.config_dir, "--scratch", self.scratch]
        arguments += ["--volumes-root", self.volume.parent, "--termination-log", self.termination_log]
        arguments += ["--credentials-root", self.directory / "credentials"]
        arguments += ["--bind", "127.0.0.1:0", *self.extra_arguments]
        command = [sys.executable, "-c", LAUNCHER, self.directory / "scenario.json", FAKES, *arguments]
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "recorder"), **self.environment},
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if '"control endpoint listens"' in line:
                self.port = json.loads(line)["port"]

    def request(
        self, method: str, path: str, body: bytes | None = None, token: str = CONTROL_TOKEN
    ) -> tuple[int, str]:
        self.until(lambda: self.port)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self, since: int = -1, timeout: float = 0) -> RecorderStatus:
        code, text = self.request("GET", f"/v1/status?since={since}&timeout={timeout}")
        assert code == 200
        return RecorderStatus.parse(text)

    def until_status(self, condition: Callable[[RecorderStatus], bool]) -> RecorderStatus:
        status = self.status()
        deadline = time.monotonic() + 10
        while not condition(status):
            assert time.monotonic() < deadline, f"never: last was {status}"
            status = self.status(since=status.sequence, timeout=2)
        return status

    def until(self, condition: Callable[[], Any], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "".join(self.log)
            time.sleep(0.02)

    def wait(self, seconds: float = 20) -> tuple[int, RecorderResult]:
        assert self.process is not None
        code = self.process.wait(seconds)
        return code, RecorderResult.parse(self.termination_log.read_bytes())

    def run(self) -> tuple[int, RecorderResult]:
        self.start()
        return self.wait()

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def capture_pid(self) -> int:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def manifest(self) -> Manifest:
        return Manifest.parse((self.volume / "rec" / "EG_test.json").read_bytes())

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
