"""Cases of ParticipantEgress: LiveKit's own (E:test, reference livekit-egress.md §8.4) and what its users expect."""

from __future__ import annotations

from devstack.conformance.case import Case
from devstack.conformance.scene import Scene


def _camera_and_microphone(scene: Scene) -> None:
    alice = scene.publisher()
    scene.record()
    scene.until(alice, 9.5)


def _audio_returns(scene: Scene) -> None:
    alice = scene.publisher("alice", "--no-audio")
    scene.record()
    scene.until(alice, 4.5)
    scene.command(alice, "publish_audio")
    scene.until(alice, 9.5)
    scene.command(alice, "unpublish_audio")
    scene.until(alice, 12.5)
    scene.command(alice, "publish_audio")
    scene.until(alice, 17.5)


CASES = (
    Case(
        name="participant",
        proves="Camera and microphone of a participant become one file in sync.",
        script=_camera_and_microphone,
        short=True,
    ),
    Case(
        name="audio-returns",
        proves="Audio that joins late, leaves and returns is silence meanwhile; the picture goes on.",
        script=_audio_returns,
        seconds=18,
        short=True,
    ),
)
