"""Owns the times around changes in which a file need not show yet what is asked; pure."""

from __future__ import annotations

from dataclasses import dataclass

from devstack.conformance.actor import Effect, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Grace:
    """Seconds around a change in which a file need not show yet what is asked."""

    before: float = 0.15
    """What the clocks of publisher and recorder and the delay of the path may differ by."""
    publish: float
    """After a track was published (settling: negotiation, first key frame, jitter buffer)."""
    edge: float
    """After mute, unmute, unpublish and departure."""
    keyframe: float
    """Longer for a picture after unmute: the next key frame."""
    hold: float = 2.5
    """After pictures stopped without any sign: a camera stays for 2 s (media/timeline.py), then it is black."""
    settle: float = 3.0
    """After a track was published or found: whose it is has to be right, but the path still adapts (the publisher's
    bit rate, the jitter buffer), so that single pictures, continuity and sync are not judged. LiveKit's `publish`."""
    tail: float
    """At the end of the recording."""

    def after(self, effect: Effect, kind: Kind) -> float:
        """Return the seconds of grace after an effect."""
        if effect.reason == "held" and effect.off:
            return self.hold
        if effect.off or effect.reason == "away":
            return self.edge if effect.off else self.publish
        if effect.reason == "unpublished":
            return self.publish
        return self.edge + (self.keyframe if kind == "video" else 0.0)


LIVEKIT = Grace(publish=3.0, edge=1.0, keyframe=2.0, tail=1.0)
"""LiveKit Egress' own (E:test/plan.go, reference livekit-egress.md §8.2)."""
OURS = Grace(publish=1.5, edge=0.4, keyframe=0.6, tail=0.3)
"""What this suite asks where the network has no fault: twice as strict. A track that others see already begins with a key
frame that livekit-server asks its publisher for at most once a second."""
