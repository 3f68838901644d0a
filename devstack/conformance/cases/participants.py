"""Cases of ParticipantEgress: tracks that come, go and are muted; a participant that comes, goes and returns.

LiveKit's own cases (E:test, reference livekit-egress.md §8.4) have their number in the comment.
"""

from __future__ import annotations

from devstack.conformance.actor import Actor
from devstack.conformance.case import Case, Expect
from devstack.conformance.scene import Scene
from egress_recorder.contract import EndReason, Phase


def _steps(scene: Scene, actor: Actor, *steps: tuple[float, str], end: float) -> None:
    """Carry out commands at seconds of the actor's clock, wait for the end."""
    for second, line in steps:
        scene.until(actor, second)
        scene.command(actor, line)
    scene.until(actor, end)


def _vp8(scene: Scene) -> None:
    alice = scene.publisher()
    scene.record()
    scene.until(alice, 9.5)


def _h264(scene: Scene) -> None:
    alice = scene.publisher("alice", "--codec", "h264")
    scene.record()
    scene.until(alice, 9.5)


def _audio_returns(scene: Scene) -> None:  # F1
    alice = scene.publisher("alice", "--no-audio")
    scene.record()
    _steps(
        scene,
        alice,
        (4.5, "publish_audio"),
        (9.5, "unpublish_audio"),
        (12.5, "publish_audio"),
        end=17.5,
    )


def _video_returns(scene: Scene) -> None:  # F2
    alice = scene.publisher("alice", "--codec", "h264")
    scene.record()
    _steps(scene, alice, (5.5, "unpublish_video"), (9.5, "publish_video"), end=14.5)


def _audio_only(scene: Scene) -> None:  # F3
    alice = scene.publisher("alice", "--no-video")
    scene.record()
    _steps(scene, alice, (6.5, "unpublish_audio"), (9.5, "publish_audio"), end=13.5)


def _video_only(scene: Scene) -> None:
    alice = scene.publisher("alice", "--no-audio")
    scene.record()
    scene.until(alice, 7.5)


def _never_publishes(scene: Scene) -> None:  # E1
    alice = scene.publisher("alice", "--no-audio", "--no-video")
    recording = scene.record()
    scene.until(alice, 4.0)
    scene.command(alice, "leave")
    recording.finish()


def _mute(scene: Scene, codec: str = "vp8") -> None:
    # Seconds after each event: the median of six flashes right after events was a throw of dice (sync is within half a tick then).
    alice = scene.publisher("alice", "--codec", codec)
    scene.record()
    _steps(
        scene,
        alice,
        (4.5, "mute_audio"),
        (6.5, "unmute_audio"),
        (10.5, "mute_video"),
        (12.5, "unmute_video"),
        end=18.5,
    )


def _muted_from_the_start(scene: Scene) -> None:
    alice = scene.publisher()
    scene.command(alice, "mute_audio")
    scene.record()
    _steps(scene, alice, (5.5, "unmute_audio"), end=10.5)


def _silent(scene: Scene) -> None:
    alice = scene.publisher("alice", "--silent")
    scene.record()
    scene.until(alice, 7.5)


def _mono(scene: Scene) -> None:
    alice = scene.publisher("alice", "--mono")
    scene.record()
    scene.until(alice, 9.5)


def _two_microphones(scene: Scene) -> None:
    alice = scene.publisher()
    scene.record()
    _steps(scene, alice, (4.5, "publish_audio2"), (10.5, "unpublish_audio"), end=14.5)


def _two_cameras(scene: Scene, codec: str = "vp8") -> None:
    alice = scene.publisher("alice", "--codec", codec)
    scene.record()
    _steps(
        scene,
        alice,
        (3.5, "publish_video2"),
        (7.5, "unpublish_video2"),
        (10.5, "publish_video2"),
        (13.5, "mute_video2"),
        (15.5, "unmute_video2"),
        end=18.5,
    )


def _joins_later(scene: Scene, seconds: float) -> None:
    """Pictures and sound flow when they are published, as a camera's do: from then on nothing but the recorder is waited for."""
    scene.record()
    scene.sleep(seconds)
    alice = scene.publisher("alice", "--no-video", "--no-audio")
    _steps(scene, alice, (0.5, "publish_video"), (0.5, "publish_audio"), end=8.5)


def _leaves(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record()
    _steps(scene, alice, (6.5, "leave"), end=6.5)
    recording.finish()


def _rejoins(scene: Scene) -> None:
    alice = scene.publisher()
    scene.record(rejoin_timeout=20.0)
    _steps(scene, alice, (5.5, "leave"), end=7.0)
    again = scene.publisher()
    scene.until(again, 5.5)


def _does_not_rejoin(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record(rejoin_timeout=3.0)
    _steps(scene, alice, (5.5, "leave"), end=5.5)
    recording.finish()


CLOSED = Expect(reason=EndReason.SOURCE_CLOSED.value)

CASES = (
    Case(
        name="participant-vp8",
        proves="Camera (VP8) and microphone of a participant become one file in sync.",
        script=_vp8,
        expect=Expect(listed=()),
        short=True,
    ),
    Case(
        name="participant-h264",
        proves="Camera (H264) and microphone of a participant become one file in sync.",
        script=_h264,
    ),
    Case(
        name="audio-returns",
        proves="Audio that joins late, leaves and returns is silence meanwhile; the picture goes on.",
        script=_audio_returns,
        seconds=20,
    ),
    Case(
        name="video-returns",
        proves="Video that leaves and returns is black meanwhile; the sound goes on.",
        script=_video_returns,
        seconds=17,
    ),
    Case(
        name="audio-only",
        proves="A participant without a camera becomes a black picture with its sound.",
        script=_audio_only,
        expect=Expect(listed=("no media",)),
        seconds=16,
    ),
    Case(
        name="video-only",
        proves="A participant without a microphone becomes its picture with a silent sound track.",
        script=_video_only,
        seconds=10,
    ),
    Case(
        name="never-publishes",
        proves="A participant that leaves without having published anything: Aborted, and no file.",
        script=_never_publishes,
        expect=Expect(
            phase=Phase.ABORTED,
            reason=EndReason.SOURCE_CLOSED.value,
            error="Start signal not received",
            parts=0,
        ),
        seconds=7,
    ),
    Case(
        name="mute",
        proves="A muted microphone is silent and a muted camera black until unmuted; the other one goes on.",
        script=_mute,
        seconds=21,
        short=True,
    ),
    Case(
        name="mute-h264",
        proves="The same with a publisher of H264, whose picture is back with its first key frame.",
        script=lambda scene: _mute(scene, "h264"),
        seconds=21,
    ),
    Case(
        name="muted-from-the-start",
        proves="A microphone that is muted when the recording begins is silent and heard once it is unmuted.",
        script=_muted_from_the_start,
        seconds=13,
    ),
    Case(
        name="silent-source",
        proves="A microphone that delivers silence changes nothing for the picture.",
        script=_silent,
        seconds=10,
    ),
    Case(
        name="mono",
        proves="A mono microphone is heard on both channels.",
        script=_mono,
    ),
    Case(
        name="two-microphones",
        proves="Several microphones of a participant are mixed; one that stops leaves the others alone.",
        script=_two_microphones,
        seconds=17,
    ),
    Case(
        name="two-cameras",
        proves="Of two cameras the newest live one is seen; when it stops or is muted, the other one, not black.",
        script=_two_cameras,
        seconds=21,
        short=True,
    ),
    Case(
        name="two-cameras-h264",
        proves="The same with cameras in H264.",
        script=lambda scene: _two_cameras(scene, "h264"),
        seconds=21,
    ),
    Case(
        name="joins-later",
        proves="A recorder that waits in the room records a participant from its first media on.",
        script=lambda scene: _joins_later(scene, 3.0),
        seconds=15,
    ),
    Case(
        name="joins-after-60-s",
        proves="A participant may join more than 60 s after the recorder (LiveKit gives up after 30 s).",
        script=lambda scene: _joins_later(scene, 61.0),
        seconds=75,
    ),
    Case(
        name="leaves",
        proves="The recording ends when the participant leaves, and so does the file.",
        script=_leaves,
        expect=CLOSED,
        seconds=9,
        short=True,
    ),
    Case(
        name="rejoins",
        proves="A participant that returns within rejoinTimeout is recorded into the same file; black and silence meanwhile.",
        script=_rejoins,
        expect=Expect(listed=("absent",)),
        seconds=17,
    ),
    Case(
        name="does-not-rejoin",
        proves="Without a return within rejoinTimeout the recording ends, and the file ends at the departure.",
        script=_does_not_rejoin,
        expect=CLOSED,
        seconds=12,
    ),
)
