"""Cases of TrackCompositeEgress as LiveKit has them: both tracks, one of them (E:test, livekit-egress.md §8.4 F4-F6)."""

from __future__ import annotations

from devstack.conformance.case import Case, Expect
from devstack.conformance.scene import Scene


def _both(scene: Scene) -> None:  # F4
    alice = scene.publisher()
    scene.record_tracks(audio=(alice, "audio"), video=(alice, "video"))
    scene.until(alice, 9.5)


def _video(scene: Scene) -> None:  # F5
    alice = scene.publisher("alice", "--codec", "h264")
    scene.record_tracks(video=(alice, "video"))
    scene.until(alice, 7.5)


def _audio(scene: Scene) -> None:  # F6, as MP4
    alice = scene.publisher()
    scene.record_tracks(audio=(alice, "audio"))
    scene.until(alice, 7.5)


CASES = (
    Case(
        name="tracks-both",
        proves="A TrackCompositeEgress of an audio and a video track becomes one file in sync.",
        script=_both,
        short=True,
    ),
    Case(
        name="tracks-video-only",
        proves="A TrackCompositeEgress of a video track alone becomes a file without a sound track.",
        script=_video,
        expect=Expect(has_audio=False),
        seconds=10,
    ),
    Case(
        name="tracks-audio-only",
        proves="A TrackCompositeEgress of an audio track alone becomes a file without a video track.",
        script=_audio,
        expect=Expect(has_video=False),
        seconds=10,
    ),
)
