"""Cases of screen share and of tracks whose source is unknown, as LiveKit Egress selects them."""

from __future__ import annotations

from devstack.conformance.case import Case
from devstack.conformance.scene import Scene


def _screen(scene: Scene) -> None:
    # Camera and microphone of variant 2 are published beside it and must be neither seen nor heard.
    alice = scene.publisher("alice", "--source", "screen")
    scene.command(alice, "publish_video2")
    scene.command(alice, "publish_audio2")
    scene.record(screen_share=True)
    scene.until(alice, 10.5)


def _switch(scene: Scene) -> None:
    alice = scene.publisher("alice", "--source", "screen", "--source2", "screen")
    scene.record(screen_share=True)
    scene.until(alice, 4.5)
    scene.command(alice, "unpublish_video")
    scene.until(alice, 6.5)
    scene.command(alice, "publish_video2")
    scene.until(alice, 11.5)


def _camera_beside_screen(scene: Scene) -> None:
    alice = scene.publisher("alice", "--source2", "screen")
    scene.record()
    scene.until(alice, 3.5)
    scene.command(alice, "publish_video2")
    scene.until(alice, 8.5)


def _unknown(scene: Scene) -> None:
    alice = scene.publisher("alice", "--source2", "unknown")
    scene.command(alice, "publish_video2")
    scene.command(alice, "publish_audio2")
    scene.record()
    scene.record(screen_share=True)
    scene.until(alice, 9.5)


CASES = (
    Case(
        name="screen-share",
        proves="With screenShare the screen and its sound are recorded, camera and microphone are not.",
        script=_screen,
        seconds=13,
    ),
    Case(
        name="screen-switch",
        proves="A screen share that ends and another one that begins: one file, black between them.",
        script=_switch,
        seconds=14,
    ),
    Case(
        name="camera-beside-screen",
        proves="Without screenShare a screen that is shared meanwhile is neither seen nor disturbs.",
        script=_camera_beside_screen,
        seconds=11,
    ),
    Case(
        name="unknown-source",
        proves="Tracks of unknown source belong to the screen share, not to camera and microphone (as in LiveKit).",
        script=_unknown,
        seconds=13,
    ),
)
