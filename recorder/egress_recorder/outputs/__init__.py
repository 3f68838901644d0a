"""Owns where encoded packets go: one file per kind of output, registered here by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from egress_recorder.media.packets import Output
from egress_recorder.media.values import MediaSpec
from egress_recorder.outputs.mp4 import Mp4Output

OUTPUTS: Mapping[str, Callable[[Path, MediaSpec], Output]] = {"mp4": Mp4Output}
