"""Owns a capture process without LiveKit and media: speaks the messages of ipc.py and does what a scenario says.

Standard library only, so that it starts in milliseconds. The scenario file holds one JSON object per attempt (the
last one repeats):
  join      false: never joins
  media     bytes of the first file, each other one has one more; absent: no media
  segments  number of segments that are closed in each HLS output, 2 s each, with the file's bytes; of FMP4 with a header more
  open      true: a segment more, which is not closed
  rolls     how often the files are completed and new ones begun, each with the bytes of `media` and 2 s of a segment
  problems  of the progress reports
  images    one list per image output: the bytes of each image as text, in order; made after the media began
  untold    as images, left behind without a word; beside each one is a half one
  progress  number of progress reports (default 1)
  then      end | crash | wait (for a command) | ignore-stop | end-no-exit | silent (recording, then no report)
  ended     fields of the Ended message
  log       a line for stderr
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HEADER = b"".join(
    struct.pack(">I4s", 8 + size, kind) + bytes(size) for kind, size in ((b"ftyp", 4), (b"moov", 9))
)


def now() -> str:
    return datetime.now(UTC).isoformat()


class Fake:
    def __init__(self, commands: Any, events: Any, scenario: Path) -> None:
        self.commands = commands
        self.events = events
        self.request = json.loads(commands.readline())
        directory = Path(self.request["directory"])
        attempt = int(directory.name.rsplit("-", 1)[1])
        steps = json.loads(scenario.read_text())
        self.step = steps[min(attempt, len(steps)) - 1]
        self.paths = [directory / f"media.{name.lower()}" for name in self.request["files"]]
        self.segments = [directory / f"segments-{n}" for n in range(len(self.request["segments"]))]
        self.started_at = ""
        self.progress: dict[str, Any] = {}
        (scenario.parent / f"request-{attempt}.json").write_text(json.dumps(self.request))
        (scenario.parent / f"environment-{attempt}.json").write_text(json.dumps(dict(os.environ)))

    def send(self, event: str, **fields: Any) -> None:
        self.events.write(json.dumps({"event": event, **fields}).encode() + b"\n")
        self.events.flush()

    def media(self, size: int) -> None:
        for number, path in enumerate(self.paths):
            path.write_bytes(b"M" * (size + number))
        self.started_at = now()
        files = [path.name for path in (*self.paths, *self.segments)]
        self.send("started", started_at=self.started_at, files=files, publisher_identity="alice")
        for output, path in enumerate(self.segments):
            path.mkdir()
            for number in range(self.step.get("segments", 0)):
                self.segment(output, self.path(output, number), number, size)
            if self.step.get("open"):
                self.write(self.path(output, self.step.get("segments", 0)), size)
        for number in range(1, self.step.get("progress", 1) + 1):
            written = sum(path.stat().st_size for path in self.paths)
            self.progress = {"duration": float(number), "bytes_written": written, "frames": 30 * number}
            self.send(
                "progress", progress=self.progress, recording=True, problems=self.step.get("problems", {})
            )

    def roll(self, number: int, size: int) -> None:
        done = [path.name for path in (*self.paths, *self.segments)]
        self.paths = [path.with_name(f"media-{number + 1}{path.suffix}") for path in self.paths]
        for one, path in enumerate(self.paths):
            path.write_bytes(b"M" * (size + one))
        at = datetime.fromisoformat(self.started_at) + timedelta(seconds=2 * number)
        self.send(
            "files",
            files=done,
            next_files=[path.name for path in (*self.paths, *self.segments)],
            until=2.0 * number,
            at=at.isoformat(),
            progress={"duration": 2.0, "bytes_written": size, "frames": 60},
        )
        for output in range(len(self.segments)):
            segment = self.step.get("segments", 0) + number - 1
            self.segment(output, self.path(output, segment), segment, size, start=2.0 * number)
        self.progress = {"duration": 2.0, "bytes_written": size, "frames": 60}
        self.send("progress", progress=self.progress, recording=True)

    def path(self, output: int, number: int) -> Path:
        extension = {"TS": "ts", "FMP4": "m4s"}[self.request["segments"][output]["container"]]
        return self.segments[output] / f"{number:05d}.{extension}"

    def write(self, path: Path, size: int) -> None:
        header = HEADER if path.suffix == ".m4s" else b""
        path.write_bytes(header + b"S" * size)

    def segment(self, output: int, path: Path, number: int, size: int, start: float | None = None) -> None:
        self.write(path, size)
        at = datetime.fromisoformat(self.started_at) + timedelta(seconds=2 * number)
        self.send(
            "segment",
            output=output,
            number=number,
            name=path.name,
            start=2.0 * number if start is None else start,
            duration=2.0,
            started_at=at.isoformat(),
            size=size,
        )

    def images(self) -> None:
        directory = Path(self.request["directory"])
        for output, contents in enumerate(self.step.get("images", [])):
            for number, text in enumerate(contents):
                name = f"image-{output}-{number:06d}.jpeg"
                (directory / name).write_bytes(text.encode())
                fields = {"output": output, "name": name, "at": now(), "size": len(text)}
                self.send("image", **fields, dropped=self.step.get("dropped", 0))
        for output, contents in enumerate(self.step.get("untold", [])):
            for number, text in enumerate(contents, 500):
                path = directory / f"image-{output}-{number:06d}.jpeg"
                path.write_text(text)
                path.with_name(f"{path.name}.tmp").write_text(text[:1])

    def ended(self, **fields: Any) -> None:
        values = {
            "phase": "Complete" if self.started_at else "Aborted",
            "reason": "Source closed",
            "exit_code": 0,
            "files": [path.name for path in (*self.paths, *self.segments)] if self.started_at else [],
            "started_at": self.started_at or None,
            "ended_at": now() if self.started_at else None,
            "progress": self.progress,
        }
        self.send("ended", **{**values, **fields, **self.step.get("ended", {})})

    def streams(self, wanted: list[dict[str, Any]]) -> None:
        told = [
            {"key": one["key"], "url": "rtmp://h/app/{...}", "started_at": now(), "error": one["url"]}
            for one in wanted
        ]
        self.send("streams", streams=told)

    def obey(self) -> None:
        for line in self.commands:
            command = json.loads(line)
            if command["command"] == "token":
                self.send("tracks", tracks=[], publisher_identity="renewed")
            elif command["command"] == "streams":
                self.streams(command["streams"])
            elif self.step["then"] == "ignore-stop":
                continue
            elif command["reason"] in {"Interrupted", "Scratch volume full"}:
                self.ended(phase="Interrupted", reason=command["reason"], exit_code=75)
                return
            else:
                self.ended(reason=command["reason"])
                return
        if self.step["then"] == "ignore-stop":
            time.sleep(60)

    def run(self) -> None:
        if "log" in self.step:
            sys.stderr.write(self.step["log"] + "\n")
            sys.stderr.flush()
        if self.step.get("join", True):
            self.send("joined", room_id="RM_fake")
        if "media" in self.step:
            self.media(self.step["media"])
            self.images()
        for number in range(1, self.step.get("rolls", 0) + 1):
            self.roll(number, self.step["media"])
        match self.step["then"]:
            case "end":
                self.ended()
            case "end-no-exit":
                self.ended()
                time.sleep(60)
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "silent":
                threading.Event().wait(60)
            case _:
                self.obey()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenario", type=Path, required=True)
    parser.add_argument("--commands-fd", type=int, required=True)
    parser.add_argument("--events-fd", type=int, required=True)
    options = parser.parse_args()
    with os.fdopen(options.commands_fd, "rb") as commands, os.fdopen(options.events_fd, "wb") as events:
        Fake(commands, events, options.scenario).run()


if __name__ == "__main__":
    main()
