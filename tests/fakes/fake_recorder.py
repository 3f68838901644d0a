#!/usr/bin/env python3
"""A recorder without media: serves the contract's HTTP, obeys the desired state, leaves a termination message.

What it does is written into the recording's identity as `key=value` pairs separated by `,`:
join=S in the room after S seconds, media=S first media after S more, after=S ends by itself S later, end=KIND of
`complete|limit|failed|aborted|crash|silent|unreachable`, parts=N only the first N parts end so; later ones record on;
degraded=S its encoder saves in the first S seconds of media.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from egress_recorder.contract import (
    Degradation,
    DesiredState,
    EndReason,
    ExitCode,
    FileResult,
    Part,
    Phase,
    Progress,
    RecorderConfig,
    RecorderResult,
)
from egress_recorder.naming import part_filename

_CODES = {
    "complete": (Phase.COMPLETE, ExitCode.FINISHED),
    "limit": (Phase.LIMIT_REACHED, ExitCode.FINISHED),
    "aborted": (Phase.ABORTED, ExitCode.FINISHED),
    "failed": (Phase.FAILED, ExitCode.DATA),
    "unreachable": (Phase.FAILED, ExitCode.UNREACHABLE),
}


class FakeRecorder:
    """The state that the HTTP handlers show and the main thread moves on."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.directory = Path(options.config_dir)
        self.config = RecorderConfig.parse((self.directory / "config.json").read_text())
        self.token = (self.directory / "control-token").read_text().strip()
        identity = getattr(self.config.source, "identity", "") or "join=0"
        self.script = dict(pair.split("=", 1) for pair in identity.split(",") if "=" in pair)
        self.wish = DesiredState()
        self.interrupted = threading.Event()
        self.status: dict[str, Any] = {"phase": Phase.STARTING, "in_room": False, "recording": False}
        self.started: datetime | None = self.config.prior.started_at
        self.part_started: datetime | None = None
        self.acknowledged = threading.Event()

    def stop_wanted(self) -> bool:
        text = (self.directory / "desired-state.json").read_text()
        mounted = DesiredState.parse(text)
        if mounted.generation > self.wish.generation:
            self.wish = mounted
        return self.wish.desired_state == "Stopped"

    def snapshot(self, **changes: Any) -> RecorderResult:
        duration = (datetime.now(UTC) - self.part_started).total_seconds() if self.part_started else 0.0
        degraded = min(duration, float(self.script.get("degraded", "0")))
        saves = bool(self.part_started) and self.status["recording"] and duration <= degraded
        fields: dict[str, Any] = {
            "degraded": Degradation.PICTURES if saves else "",
            "egress_id": self.config.egress_id,
            "room_id": self.config.room_id,
            "started_at": self.started,
            "desired_generation": self.wish.generation,
            "progress": Progress(
                duration=duration,
                bytes_written=int(duration * 400_000),
                frames=int(duration * 30),
                degraded=degraded,
            ),
            "parts": (*self.config.prior.parts, *self.parts(duration)),
            **self.status,
            **changes,
        }
        return RecorderResult(**fields)

    def parts(self, duration: float, *, reason: str = "") -> tuple[Part, ...]:
        if self.part_started is None:
            return ()
        return tuple(
            Part(
                part=self.config.part,
                output=index,
                filename=part_filename(output.filepath, self.config.part),
                location=f"fake://{part_filename(output.filepath, self.config.part)}" if reason else "",
                started_at=self.part_started,
                ended_at=datetime.now(UTC) if reason else None,
                duration=duration,
                size=int(duration * 400_000),
                end_reason=reason,
            )
            for index, output in enumerate(self.config.outputs)
        )

    def run(self) -> int:
        begun = time.monotonic()
        join = float(self.script.get("join", "0"))
        media = join + float(self.script.get("media", "0.3"))
        after = media + float(self.script["after"]) if "after" in self.script else float("inf")
        kind = self.script.get("end", "complete")
        if self.config.part > int(self.script.get("parts", "1000")):
            after = float("inf")
        while True:
            elapsed = time.monotonic() - begun
            # Looked at once: a signal between two looks is an interruption and no stop.
            interrupted, stopped = self.interrupted.is_set(), self.stop_wanted()
            if interrupted and not stopped:
                return self.finish(Phase.INTERRUPTED, ExitCode.INTERRUPTED, EndReason.INTERRUPTED)
            if stopped:
                phase = Phase.COMPLETE if self.started else Phase.ABORTED
                return self.finish(phase, ExitCode.FINISHED, EndReason.STOP_REQUESTED)
            if elapsed >= join:
                self.status["in_room"] = True
            if elapsed >= media and not self.status["recording"] and kind != "aborted":
                self.part_started = datetime.now(UTC)
                self.started = self.started or self.part_started
                self.status |= {"recording": True, "phase": Phase.ACTIVE}
            if elapsed >= after:
                return self.end(kind)
            time.sleep(0.05)

    def end(self, kind: str) -> int:
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "silent":
            return 0
        phase, code = _CODES[kind]
        reason = EndReason.LIMIT_REACHED if kind == "limit" else EndReason.SOURCE_CLOSED
        errors = {"failed": ("track TR_x not found", 404), "unreachable": ("livekit does not answer", 503)}
        return self.finish(phase, code, reason, *errors.get(kind, ("", 0)))

    def finish(
        self, phase: Phase, code: ExitCode, reason: EndReason, error: str = "", error_code: int = 0
    ) -> int:
        self.status |= {"phase": Phase.ENDING, "recording": False, "details": f"End reason: {reason.value}"}
        time.sleep(float(self.script.get("linger", "0.1")))
        duration = (datetime.now(UTC) - self.part_started).total_seconds() if self.part_started else 0.0
        parts = self.parts(duration, reason=reason.value)
        files = tuple(FileResult(**part.model_dump(include=set(FileResult.model_fields))) for part in parts)
        self.status |= {"phase": phase}
        result = self.snapshot(
            parts=(*self.config.prior.parts, *parts),
            file_results=files,
            ended_at=datetime.now(UTC),
            error=error,
            error_code=error_code,
            exit_code=int(code),
            manifest_location=f"fake://{self.config.egress_id}.json",
        )
        Path(self.options.termination_log).write_bytes(result.to_termination_message())
        return int(code)


def _handler(recorder: FakeRecorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def answer(self, code: int, body: str = "") -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def do_GET(self) -> None:
            if self.path == "/livez":
                self.answer(200)
            elif self.path == "/readyz":
                self.answer(200 if recorder.status["recording"] else 503)
            elif self.headers.get("Authorization") != f"Bearer {recorder.token}":
                self.answer(401)
            else:
                self.answer(200, recorder.snapshot().to_json())

        def do_PUT(self) -> None:
            wish = DesiredState.parse(self.rfile.read(int(self.headers["Content-Length"])))
            if "deaf" in recorder.script:
                self.answer(503)
                return
            if wish.generation > recorder.wish.generation:
                recorder.wish = wish
            self.answer(200, "{}")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            recorder.acknowledged.set()
            self.answer(200, "{}")

    return Handler


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command")
    for name in ("config-dir", "credentials-root", "volumes-root", "scratch", "termination-log", "bind"):
        parser.add_argument(f"--{name}", required=True)
    recorder = FakeRecorder(parser.parse_args())
    signal.signal(signal.SIGTERM, lambda *_: recorder.interrupted.set())
    host, _, port = recorder.options.bind.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), _handler(recorder))
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    print(json.dumps({"started": recorder.config.egress_id, "part": recorder.config.part}), flush=True)
    return recorder.run()


if __name__ == "__main__":
    raise SystemExit(main())
