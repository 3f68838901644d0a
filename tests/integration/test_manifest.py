"""The manifest's words about time, against the media: two recordings run together by them, spans are where they say."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from devstack import mixcheck
from devstack.livekit import LiveKitServer
from devstack.publisher import PublisherProcess
from egress_recorder import ipc
from egress_recorder.contract import Manifest, ParticipantSource, Phase
from egress_recorder.spans import MediaGap, TrackSpan
from support.capture_process import CaptureProcess, publisher
from support.realtime import MEASURES, REALTIME

pytestmark = [pytest.mark.integration, REALTIME, MEASURES]
EGRESS_RECORDER = str(Path(sys.executable).with_name("egress-recorder"))
SETTLING = 2
"""Pairs at the beginning of a file, in which its axis still finds its ticks (the conformance suite gives 3 s)."""
LIMIT_MS = 40.0
"""For the middle of the distances: little more than a picture, of which a publisher on a busy machine makes one more or
less. Delays that were not taken out are 100 ms and more; ±20 ms on a calm machine is what `make bench-align` asks for."""


def at_800_kbits(server: LiveKitServer, room: str, identity: str, *arguments: str) -> PublisherProcess:
    return publisher(server, room, "--bitrate", "800", *arguments, identity=identity)


@contextmanager
def recorder(
    server: LiveKitServer, room: str, identity: str, directory: Path
) -> Iterator[subprocess.Popen[bytes]]:
    directory.mkdir()
    environment = {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
    }
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                EGRESS_RECORDER,
                "record",
                "--room",
                room,
                "--identity",
                identity,
                "-o",
                f"{directory}/{identity}.mp4",
                # Two publishers and two recorders at once: small pictures, so that two cores are enough.
                *("--width", "640", "--height", "360", "--video-bitrate", "800"),
            ],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def manifest_of(directory: Path) -> Manifest:
    (path,) = directory.glob("EG_*.json")
    return Manifest.parse(path.read_bytes())


def until(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def kill_capture(process: subprocess.Popen[bytes]) -> None:
    for child in psutil.Process(process.pid).children(recursive=True):
        if any("egress_recorder.capture" in word for word in child.cmdline()):
            child.send_signal(signal.SIGKILL)


def test_two_recordings_run_together_by_what_align_says_also_after_a_crash(
    livekit_server: LiveKitServer, room: str, tmp_path: Path
) -> None:
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    with ExitStack() as stack:
        stack.enter_context(at_800_kbits(livekit_server, room, "alice"))
        stack.enter_context(at_800_kbits(livekit_server, room, "bob", "--codec", "h264"))
        first = stack.enter_context(recorder(livekit_server, room, "alice", alice))
        time.sleep(2.3)
        second = stack.enter_context(recorder(livekit_server, room, "bob", bob))
        until(lambda: bool([*bob.glob("EG_*.json")]) and len(manifest_of(bob).parts) == 1)
        time.sleep(8)
        kill_capture(second)
        until(lambda: len(manifest_of(bob).parts) == 2)
        time.sleep(8)
        for process in (first, second):
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0, (tmp_path / "bob" / "log").read_text()
            time.sleep(0.7)

    command = [EGRESS_RECORDER, "align", "--json", *map(str, sorted(tmp_path.glob("*/EG_*.json")))]
    alignment = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert [(file["identity"], file["part"]) for file in alignment["files"]] == [
        ("alice", 1),
        ("bob", 1),
        ("bob", 2),
    ]
    # Each file has a channel of its own, so that both of bob's are held against alice's.
    files = [
        mixcheck.MixedFile(Path(file["location"]), index, file["offset"])
        for index, file in enumerate(alignment["files"])
    ]
    mixcheck.mix(files, tmp_path / "mix.mkv")
    heard = mixcheck.measure(tmp_path / "mix.mkv", files)
    for part in (1, 2):
        for kind, every in heard.differences_ms(0, part).items():
            errors = every[SETTLING:]
            what = f"{kind} of bob's part {part}: {[round(error) for error in errors]} ms"
            assert len(errors) >= 5, what
            assert abs(np.median(errors)) <= LIMIT_MS, what

    manifest = manifest_of(bob)
    assert [gap.reason for gap in manifest.gaps] == ["Process killed"]
    for media, name in zip(manifest.media, ("bob.mp4", "bob-p2.mp4"), strict=True):
        assert media.sha256 == hashlib.sha256((bob / name).read_bytes()).hexdigest()
        spans = {span.kind: span for span in media.tracks}
        assert len(media.tracks) == len(spans) == 2
        assert (spans["video"].codec, spans["video"].identity) == ("h264", "bob")
        assert (spans["audio"].codec, spans["audio"].source) == ("opus", "MICROPHONE")
        assert 0.0 < media.receive_delay < 0.5
        for span in spans.values():
            assert span.start < 2.0
            assert span.end == pytest.approx(media.duration, abs=0.1)


class Told:
    """What a capture process has said of its file."""

    def __init__(self, capture: CaptureProcess) -> None:
        self._capture = capture

    @property
    def spans(self) -> list[TrackSpan]:
        latest: dict[int, TrackSpan] = {}
        for _, event in [*self._capture.events]:
            if isinstance(event, ipc.SpansChanged):
                latest.update({span.number: span for span in event.spans})
        return [latest[number] for number in sorted(latest)]

    @property
    def gaps(self) -> list[MediaGap]:
        return [
            gap
            for _, event in [*self._capture.events]
            if isinstance(event, ipc.SpansChanged)
            for gap in event.gaps
        ]


def tell(process: PublisherProcess, command: str) -> None:
    assert process._process.stdin is not None
    process._process.stdin.write(command + "\n")
    process._process.stdin.flush()


def test_a_mute_a_leave_and_a_return_are_where_the_manifest_says(
    livekit_server: LiveKitServer, room: str, tmp_path: Path
) -> None:
    source = ParticipantSource(identity="alice")
    with (
        at_800_kbits(livekit_server, room, "alice") as alice,
        CaptureProcess(livekit_server, room, source, tmp_path, rejoin_timeout=60.0) as capture,
    ):
        zero = capture.wait(ipc.Started).started_at.timestamp()
        time.sleep(2)
        tell(alice, "mute_video")
        muted = time.time() - zero
        time.sleep(2)
        tell(alice, "unmute_video")
        unmuted = time.time() - zero
        time.sleep(2)
        tell(alice, "leave")
        left = time.time() - zero
        time.sleep(3)
        with at_800_kbits(livekit_server, room, "alice") as again:
            returned = again.wait("published", kind="video")["at"] - zero
            capture.wait(ipc.SpansChanged, where=lambda event: bool(event.gaps))
            time.sleep(2)
            capture.stop()
            ended = capture.ended()
        told = Told(capture)
    assert ended.phase is Phase.COMPLETE
    camera = next(span for span in told.spans if span.kind == "video")
    (mute,) = camera.muted
    assert mute.start == pytest.approx(muted, abs=0.4)
    assert mute.end == pytest.approx(unmuted, abs=0.4)
    (gap,) = told.gaps
    assert gap.reason == "absent"
    assert gap.start == pytest.approx(left, abs=0.5)
    assert returned - 0.5 < gap.end < returned + 2.0
    assert [span.kind for span in told.spans].count("video") == 2
    assert [span.kind for span in told.spans].count("audio") == 2
    assert {span.identity for span in told.spans} == {"alice"}
    # The first ones end where the gap begins, the others begin where it ends.
    assert max(span.end or 0.0 for span in told.spans[:2]) == pytest.approx(gap.start, abs=0.3)
    assert min(span.start for span in told.spans[2:]) == pytest.approx(gap.end, abs=0.1)
