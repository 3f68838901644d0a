"""Owns what a spec's requests for key frames come to, where several outputs share one encode. Pure."""

from __future__ import annotations

from egress_operator import streams
from egress_operator.api import Spec

SHORTEST_SEGMENT = 1
"""Seconds. LiveKit would cut segments of 0 s for a keyFrameInterval below 1."""


def segment_seconds(spec: Spec) -> list[int]:
    """Return how long the segments of each HLS output are.

    Where a stream is beside them a given `keyFrameInterval` is met by shorter segments, in whole seconds: LiveKit's rule
    (E:pkg/config/pipeline.go, reference livekit-egress.md §3.6). Ours may be several outputs, which share their key frames: of
    those that are longer than the shortest one each keeps a multiple of it.
    """
    asked = [output.seconds for output in spec.segment_outputs]
    given = spec.advanced.key_frame_interval if spec.advanced else None
    if not asked or not given or not streams.wanted(spec):
        return asked
    longest = max(SHORTEST_SEGMENT, int(given))
    least = min(longest, *asked)
    return [min(longest, seconds) // least * least for seconds in asked]
