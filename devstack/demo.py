"""Owns `make demo`: records a real participant through real Kubernetes objects and shows what is in the files.

Brings the stack up, applies a ParticipantEgress before its room exists, publishes, adds a TrackCompositeEgress for the
same tracks, prints their phases as they change, stops both, decodes the files, and leaves nothing running.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import yaml

from devstack import browser, build
from devstack.mediacheck import MediaReport, check
from devstack.operatorprocess import REPOSITORY
from devstack.process import ProcessError, say
from devstack.publisher import PublisherProcess
from devstack.stack import CLAIM, Stack

NAMESPACE = "default"
PLURALS = {"ParticipantEgress": "participantegresses", "TrackCompositeEgress": "trackcompositeegresses"}
TERMINAL = {"Complete", "Failed", "Aborted", "LimitReached"}
COLUMNS = "{:<34} {:<9} {:<10} {:<8} {:<10} {:<12} {}"


class DemoError(RuntimeError):
    """Something did not happen; the message says what and what the resource said."""


class _StoppedError(BaseException):
    """Ctrl-C or SIGTERM."""


def example(name: str) -> dict[str, Any]:
    """Return the first document of an example file."""
    document: dict[str, Any] = next(yaml.safe_load_all((REPOSITORY / "examples" / name).read_text()))
    return document


class Watch:
    """Prints a line whenever the phase of a recording changes, as ``kubectl get -w`` would."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.started = time.monotonic()
        self.first_active: float | None = None
        self._shown: dict[str, tuple[str, str]] = {}
        self._watched: list[tuple[str, str]] = []
        say("\n" + COLUMNS.format("NAME", "PHASE", "ROOM", "DURATION", "SIZE", "AGE", "MESSAGE"))

    def add(self, kind: str, name: str) -> None:
        """Watch one more recording."""
        self._watched.append((kind, name))

    def status(self, kind: str, name: str) -> dict[str, Any]:
        """Return the status now, and print it when the phase is new."""
        item = self.stack.api.get(PLURALS[kind], NAMESPACE, name)
        status: dict[str, Any] = item.get("status") or {}
        seen = (
            status.get("phase", ""),
            status.get("message", "") if status.get("phase") == "Pending" else "",
        )
        if self._shown.get(name) != seen and seen[0]:
            self._shown[name] = seen
            self._print(kind, name, item["spec"]["roomName"], status)
        if seen[0] == "Active" and self.first_active is None:
            self.first_active = time.monotonic() - self.started
        return status

    def _print(self, kind: str, name: str, room: str, status: dict[str, Any]) -> None:
        progress = status.get("progress", {})
        say(
            COLUMNS.format(
                f"{kind.lower()}/{name}",
                status.get("phase", ""),
                room,
                progress.get("duration", ""),
                progress.get("bytesWritten", ""),
                f"{time.monotonic() - self.started:.1f}s",
                status.get("error") or status.get("message", ""),
            ).rstrip()
        )

    def until(self, kind: str, name: str, phases: set[str], *, timeout: float) -> dict[str, Any]:
        """Wait until a recording is in one of the phases. Raises DemoError."""
        deadline = time.monotonic() + timeout
        while True:
            for other in self._watched:
                self.status(*other)
            status = self.status(kind, name)
            if status.get("phase") in phases:
                return status
            if status.get("phase") in TERMINAL or time.monotonic() > deadline:
                raise DemoError(
                    f"{kind} {name} is {status.get('phase', 'without a status')} instead of {' or '.join(phases)}"
                    f" after {timeout:.0f} s: {status.get('error') or status.get('message', '')}"
                )
            time.sleep(0.2)

    def settle(self, seconds: float) -> None:
        """Go on printing for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for other in self._watched:
                self.status(*other)
            time.sleep(0.3)


def run(stack: Stack, *, seconds: float, output: Path) -> bool:
    """Record, fetch and check. Returns whether every file is as it should be."""
    participant = example("participant-egress-pvc.yaml")
    composite = example("track-composite-egress.yaml")
    room, identity = participant["spec"]["roomName"], participant["spec"]["identity"]
    watch = Watch(stack)
    stack.api.create(PLURALS["ParticipantEgress"], NAMESPACE, participant)
    first = ("ParticipantEgress", participant["metadata"]["name"])
    watch.add(*first)
    watch.settle(2)
    livekit = stack.livekit
    with PublisherProcess(livekit.url, livekit.api_key, livekit.api_secret, room, identity) as publisher:
        composite["spec"]["roomName"] = room
        composite["spec"]["audioTrackId"] = publisher.sid("audio")
        composite["spec"]["videoTrackId"] = publisher.sid("video")
        composite["spec"]["fileOutputs"][0]["s3"] |= {
            "bucket": stack.s3.bucket,
            "endpoint": stack.s3.endpoint,
            "region": stack.s3.region,
            "forcePathStyle": True,
        }
        stack.api.create(PLURALS["TrackCompositeEgress"], NAMESPACE, composite)
        second = ("TrackCompositeEgress", composite["metadata"]["name"])
        watch.add(*second)
        for kind, name in (first, second):
            watch.until(kind, name, {"Active"}, timeout=60)
        watch.settle(seconds)
        for kind, name in (first, second):
            stack.api.patch(PLURALS[kind], NAMESPACE, name, {"spec": {"desiredState": "Stopped"}})
        ends = [watch.until(kind, name, {"Complete"}, timeout=60) for kind, name in (first, second)]
    output.mkdir(parents=True, exist_ok=True)
    say("")
    good = [_judge(fetch(stack, status, output), seconds) for status in ends]
    say(f"\nfrom the start of the watch to the first Active: {watch.first_active:.1f} s")
    return all(good)


def fetch(stack: Stack, status: dict[str, Any], output: Path) -> Path:
    """Copy the recording out of the volume or the bucket."""
    result = status["fileResults"][0]
    target = output / Path(result["filename"]).name
    if result["location"].startswith("http"):
        key = urlsplit(result["location"]).path.removeprefix(f"/{stack.s3.bucket}/")
        return stack.s3.download(key, target)
    shutil.copyfile(stack.runner.claim_directory(NAMESPACE, CLAIM) / result["filename"], target)
    return target


def _judge(path: Path, seconds: float) -> bool:
    report = check(path)
    say(report.summary())
    problems = list(_problems(report, seconds))
    if browser.available():
        playback = browser.play(path, report=report)
        say(f"  in Chromium: {playback.summary()}")
        if not playback.plays:
            problems.append("Chromium does not play it to its end as it is")
    else:
        say("  in a browser: not tried, no Chromium is installed")
    for problem in problems:
        say(f"  PROBLEM: {problem}")
    return not problems


def _problems(report: MediaReport, seconds: float) -> Iterator[str]:
    yield from report.errors
    if report.duration < seconds - 1:
        yield f"only {report.duration:.1f} s of at least {seconds - 1:.1f} s were recorded"
    if report.video_codec != "h264" or report.audio_codec != "aac":
        yield f"unexpected streams: {report.streams}"
    if len(set(report.counted())) < seconds * report.framerate * 0.5:
        yield "fewer than half of the published frames can be read"
    if not report.offsets_ms:
        yield "no flash and beep was found"


@contextmanager
def _signals_end_it() -> Iterator[None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        raise _StoppedError(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m devstack.demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="how long to record (default 12)")
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="where the files are copied to"
    )
    parser.add_argument("--keep", action="store_true", help="keep the stack's logs and data")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="egress-demo-"))
    stack: Stack | None = None
    failed = True
    try:
        with _signals_end_it():
            started = time.monotonic()
            build.ensure()
            stack = Stack(directory)
            stack.start()
            stack.prepare_namespace(NAMESPACE)
            say(f"the stack is up after {time.monotonic() - started:.0f} s")
            failed = not run(stack, seconds=arguments.seconds, output=arguments.output)
    except (DemoError, ProcessError, build.BuildError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
    except _StoppedError:
        say("ending everything")
    finally:
        if stack is not None:
            stack.stop()
        if failed or arguments.keep:
            say(f"logs and data: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    say(
        "nothing is left running; "
        + ("the demo FAILED" if failed else f"the files are in {arguments.output}/")
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
