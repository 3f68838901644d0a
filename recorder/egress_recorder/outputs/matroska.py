"""Owns Matroska and WebM: short clusters while growing, so that a kill loses one of them; cues and length at the end.

WebM holds the sound alone: its pictures would have to be VP8 or VP9, and a capture encodes H.264 once.
"""

from __future__ import annotations

from egress_recorder.outputs.base import Container

CLUSTER_SECONDS = 0.25
_GROWING = {"cluster_time_limit": str(int(CLUSTER_SECONDS * 1000))}

MKV = Container(file_type="MKV", muxer="matroska", options=_GROWING)
WEBM = Container(file_type="WEBM", muxer="webm", options=_GROWING)
