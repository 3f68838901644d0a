"""Cases of what publishers encode with: recorded, or a clear error before media is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from devstack.conformance.case import Case, Expect
from devstack.conformance.plan import OURS
from devstack.conformance.scene import Scene
from devstack.netrelay import Impairment
from egress_recorder.contract import Phase

SLOW = replace(OURS, publish=2.0, edge=0.8)


def _codec(name: str) -> Callable[[Scene], None]:
    def script(scene: Scene) -> None:
        alice = scene.publisher("alice", "--codec", name)
        scene.record()
        scene.until(alice, 9.5)

    return script


def _telephone(name: str) -> Callable[[Scene], None]:
    """The SDK has no choice of audio codec: the room offers nothing else."""

    def script(scene: Scene) -> None:
        scene.own_server(codecs=(f"audio/{name}", "video/VP8", "video/RTX"))
        alice = scene.publisher("alice", "--mono")
        scene.record()
        scene.until(alice, 9.5)

    return script


def _without_media(scene: Scene) -> None:
    relay = scene.own_server(relayed=True)
    assert relay is not None
    relay.impair("recorder", Impairment(loss=1.0, only_media=True))
    scene.publisher()
    recording = scene.record()
    recording.expected_end = time.time()
    recording.finish(timeout=60)


CASES = (
    *(
        Case(
            name=f"codec-{codec}",
            proves=f"A publisher of {codec.upper()} is recorded.",
            script=_codec(codec),
            grace=SLOW,
        )
        for codec in ("vp9", "av1", "h265")
    ),
    *(
        Case(
            name=f"codec-{name.lower()}",
            proves=f"Sound in {name} (a telephone's) is recorded.",
            script=_telephone(name),
            expect=Expect(start=1.5, score=None, phase_breaks=1000),
            grace=SLOW,
        )
        for name in ("PCMU", "PCMA")
    ),
    Case(
        name="published-without-media",
        proves="A track that is published and never sends anything is named with its codec after 20 s.",
        script=_without_media,
        expect=Expect(
            exit_code=69, phase=Phase.INTERRUPTED, reason="", error="is published, but no media", parts=0
        ),
        seconds=30,
    ),
)
