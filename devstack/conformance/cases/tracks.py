"""Cases of TrackCompositeEgress: tracks by their ids, what follows them when they get new ones, and when it ends."""

from __future__ import annotations

from dataclasses import replace

from devstack.conformance.actor import Actor, Effect
from devstack.conformance.case import Case, Expect
from devstack.conformance.plan import OURS
from devstack.conformance.recording import Recording
from devstack.conformance.scene import Scene
from egress_recorder.contract import EndReason

ENDED = Expect(reason=EndReason.SOURCE_CLOSED.value)
"""The recording ends by itself, because of what it records."""


def _both(scene: Scene) -> None:
    alice = scene.publisher()
    scene.record_tracks(audio=(alice, "audio"), video=(alice, "video"))
    scene.until(alice, 9.5)


def _sound_only(scene: Scene) -> None:
    alice = scene.publisher()
    scene.record_tracks(audio=(alice, "audio"))
    scene.until(alice, 8.5)


def _picture_only(scene: Scene) -> None:
    alice = scene.publisher()
    scene.record_tracks(video=(alice, "video"))
    scene.until(alice, 8.5)


def _of_two(scene: Scene) -> None:
    alice = scene.publisher("alice", "--no-video")
    bob = scene.publisher("bob", "--variant", "1", "--no-audio")
    scene.record_tracks(audio=(alice, "audio"), video=(bob, "video"))
    scene.until(bob, 10.5)


def _one_of_two_leaves(scene: Scene) -> None:
    alice = scene.publisher("alice", "--no-video")
    bob = scene.publisher("bob", "--variant", "1", "--no-audio")
    scene.record_tracks(audio=(alice, "audio"), video=(bob, "video"))
    scene.until(bob, 6.5)
    scene.command(bob, "leave")
    scene.until(alice, 12.5)


def _one_unpublished(scene: Scene) -> None:
    alice = scene.publisher()
    scene.record_tracks(audio=(alice, "audio"), video=(alice, "video"))
    scene.until(alice, 5.5)
    scene.command(alice, "unpublish_video")
    scene.until(alice, 11.5)


def _both_unpublished(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record_tracks(audio=(alice, "audio"), video=(alice, "video"))
    scene.until(alice, 5.5)
    scene.command(alice, "unpublish_video")
    scene.command(alice, "unpublish_audio")
    recording.expected_end = scene.log.changes[-1].end
    recording.finish()


def _rejoin_timeout(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record_tracks(audio=(alice, "audio"), video=(alice, "video"), rejoin_timeout=6.0)
    scene.until(alice, 4.5)
    for label in ("video", "audio"):
        scene.command(alice, f"unpublish_{label}")
    scene.until(alice, 8.5)
    for label in ("video", "audio"):
        scene.command(alice, f"publish_{label}")
    scene.until(alice, 13.5)
    for label in ("video", "audio"):
        scene.command(alice, f"unpublish_{label}")
    recording.expected_end = scene.log.changes[-1].end
    recording.finish()


def _replaced(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record_tracks(audio=(alice, "audio"), video=(alice, "video"))
    scene.until(alice, 5.5)
    for label in ("video", "audio"):
        scene.command(alice, f"unpublish_{label}")
    for label in ("video", "audio"):
        scene.command(alice, f"publish_{label}")
    _follows(recording, alice)
    scene.until(alice, 18.5)  # the new tracks' delay is one jump of seventeen seconds


def _reloaded(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record_tracks(audio=(alice, "audio"), video=(alice, "video"))
    scene.until(alice, 5.5)
    with scene.disturbance("the participant joins again, which ends its old connection", settle=1.0):
        scene.note(alice, Effect("*", "away", off=True))
        again = scene.publisher()
    _follows(recording, again)
    scene.until(again, 6.5)


def _reconnected(scene: Scene) -> None:
    alice = scene.publisher()
    recording = scene.record_tracks(audio=(alice, "audio"), video=(alice, "video"))
    before = {track.sid for track in recording.status().tracks}
    scene.until(alice, 5.5)
    with scene.disturbance("the publisher's full reconnect", settle=3.5):
        scene.command(alice, "reconnect full_reconnect", effect=())
    recording.until(
        lambda status: len(status.tracks) == 2 and not before & {track.sid for track in status.tracks},
        "the publisher's new track ids are in the status",
    )
    scene.until(alice, 14.5)


def _follows(recording: Recording, actor: Actor) -> None:
    """Wait until the status names the newest ids of an actor's tracks."""
    ids = {actor.sid("audio"), actor.sid("video")}
    recording.until(
        lambda status: {track.sid for track in status.tracks} == ids,
        "the new track ids are in the status",
    )


CASES = (
    Case(
        name="tracks",
        proves="A track pair by ids becomes one file in sync.",
        script=_both,
        short=True,
    ),
    Case(
        name="tracks-audio-only",
        proves="An audio track alone becomes a file with sound only.",
        script=_sound_only,
        expect=Expect(has_video=False),
    ),
    Case(
        name="tracks-video-only",
        proves="A video track alone becomes a file with a picture only.",
        script=_picture_only,
        # Nothing but a key frame begins it, and the server asks for one at most once a second.
        expect=Expect(has_audio=False, start=1.5),
    ),
    Case(
        name="tracks-of-two",
        proves="Sound of one participant and picture of another become one file in sync.",
        script=_of_two,
    ),
    Case(
        name="tracks-one-leaves",
        proves="When the participant of one track leaves, the other track goes on.",
        script=_one_of_two_leaves,
    ),
    Case(
        name="tracks-unpublish-one",
        proves="When one track of a pair is unpublished, the other goes on.",
        script=_one_unpublished,
    ),
    Case(
        name="tracks-unpublish-both",
        proves="When both tracks are unpublished, the recording ends where they ended.",
        script=_both_unpublished,
        expect=ENDED,
    ),
    Case(
        name="tracks-rejoin-timeout",
        proves="Within rejoinTimeout tracks that return are recorded into the same file, black and silence between.",
        script=_rejoin_timeout,
        expect=replace(ENDED, gaps=(0.0, 6.0)),
        seconds=24,
    ),
    Case(
        name="tracks-replaced",
        proves="Tracks that are replaced by the same identity within 2 s are followed; the status names the new ids.",
        script=_replaced,
        expect=Expect(gaps=(0.0, 2.0)),
        seconds=22,
    ),
    Case(
        name="tracks-reload",
        proves="The tracks of a publisher whose page is reloaded are followed into the same file.",
        script=_reloaded,
        expect=Expect(gaps=(0.0, 3.0)),
        alone=True,
    ),
    Case(
        name="tracks-reconnect",
        proves="A publisher's full reconnect gives its tracks new ids: they are followed; the status names them.",
        script=_reconnected,
        expect=Expect(gaps=(0.0, 4.0), score=None, sync_p95=60.0, sync_mean=30.0, phase_breaks=3),
        grace=replace(OURS, publish=2.0),
        seconds=18,
    ),
)
