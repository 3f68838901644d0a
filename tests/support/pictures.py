"""Owns looking at a recording's images, and finding the process that takes them."""

from __future__ import annotations

from pathlib import Path

import av
import psutil

from devstack import testpattern
from devstack.mediacheck import plane_of
from support.scene import Recording


def decoded(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def counter(frame: av.VideoFrame) -> int | None:
    return testpattern.read_counter(plane_of(frame.reformat(format="yuv420p"), 0))


def capture_process(recording: Recording) -> psutil.Process:
    pids = recording.stack.runner.pids(recording.namespace, recording.running_pod())
    return next(
        p for p in map(psutil.Process, pids) if any("egress_recorder.capture" in a for a in p.cmdline())
    )
