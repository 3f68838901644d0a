"""Cases of sizes, aspects and frame rates: the file keeps its own, the picture keeps its aspect."""

from __future__ import annotations

from dataclasses import replace

from devstack.conformance.case import Case
from devstack.conformance.recording import SMALL
from devstack.conformance.scene import Scene
from egress_recorder.contract import PRESETS, Encoding

PORTRAIT = replace(SMALL, width=360, height=640)
"""The small form of LiveKit's PORTRAIT presets."""


def _record(scene: Scene, *arguments: str, encoding: Encoding = SMALL, end: float = 8.5) -> None:
    alice = scene.publisher("alice", "--bitrate", "800", *arguments)
    scene.record(encoding=encoding)
    scene.until(alice, end)


def _change(scene: Scene, *sizes: str, codec: str = "vp8") -> None:
    alice = scene.publisher("alice", "--codec", codec)
    scene.record()
    at = 4.5
    for size in sizes:
        scene.until(alice, at)
        scene.command(alice, f"size {size}")
        at += 4
    scene.until(alice, at)


CASES = (
    Case(
        name="resolution-changes",
        proves="A publisher that changes its resolution (VP8) keeps filling the file's picture.",
        script=lambda scene: _change(scene, "320x180", "640x360"),
        seconds=16,
    ),
    Case(
        name="resolution-changes-h264",
        proves="A publisher that changes its resolution (H264) keeps filling the file's picture.",
        script=lambda scene: _change(scene, "320x180", "640x360", codec="h264"),
        seconds=16,
    ),
    Case(
        name="aspect-changes",
        proves="A publisher that turns to portrait and back keeps its aspect: black bars beside it, same file size.",
        script=lambda scene: _change(scene, "360x640", "640x360"),
        seconds=16,
        short=True,
    ),
    Case(
        name="portrait-preset",
        proves="A portrait preset with a portrait publisher fills the picture.",
        script=lambda scene: _record(scene, "--size", "360x640", encoding=PORTRAIT),
    ),
    Case(
        name="landscape-in-portrait",
        proves="A landscape publisher in a portrait preset lies between black bars above and below.",
        script=lambda scene: _record(scene, "--size", "640x360", encoding=PORTRAIT),
    ),
    Case(
        name="odd-size",
        proves="A publisher whose width and height are no multiples of 16, nor the aspect the file's.",
        script=lambda scene: _record(scene, "--size", "500x374"),
    ),
    Case(
        name="default-preset",
        proves="H264_720P_30, the default: 1280x720, 30 frames per second, Main profile, within 3000 kbit/s.",
        script=lambda scene: _record(
            scene, "--size", "1280x720", "--bitrate", "2000", encoding=PRESETS["H264_720P_30"]
        ),
        alone=True,
    ),
    Case(
        name="fps-15",
        proves="A publisher of 15 frames per second: each picture stays for two of the file's.",
        script=lambda scene: _record(scene, "--size", "640x360", "--framerate", "15"),
    ),
    Case(
        name="fps-60",
        proves="A publisher of 60 frames per second in a file of 60: every picture is there.",
        script=lambda scene: _record(
            scene,
            "--size",
            "320x180",
            "--framerate",
            "60",
            encoding=Encoding(width=320, height=180, framerate=60),
        ),
        alone=True,
    ),
    Case(
        name="fps-60-in-30",
        proves="A publisher of 60 frames per second in a file of 30: evenly every second picture.",
        script=lambda scene: _record(scene, "--size", "320x180", "--framerate", "60"),
        alone=True,
    ),
)
