"""Owns MP4 and M4A: hybrid fragmented while growing, an ordinary MP4 once closed.

Every fragment is on disk as soon as it is complete, so that a killed process loses `FRAGMENT_SECONDS` plus what is on
its way through the encoder. Closing appends the index and turns the fragments into one ordinary `mdat` (reference
facts: 19 ms for an hour).
"""

from __future__ import annotations

from egress_recorder.outputs.base import Container

FRAGMENT_SECONDS = 0.25
_GROWING = {
    "movflags": "hybrid_fragmented",
    "frag_duration": str(int(FRAGMENT_SECONDS * 1_000_000)),
}

MP4 = Container(file_type="MP4", muxer="mp4", options=_GROWING)
M4A = Container(file_type="M4A", muxer="ipod", options=_GROWING)
"""The same with the brand by which players know a file of sound."""
