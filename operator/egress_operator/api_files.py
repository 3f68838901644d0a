"""Owns the schema's rules of which types of file fit a spec. Pure.

They say what `egress_recorder.filetypes.problem` says, which the recorder applies; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from egress_operator.schema import rule
from egress_recorder.contract import DEFAULT_FILETYPE, WITH_PICTURES, types_holding

_UNSAID = f"!has(output.fileType) || output.fileType == '{DEFAULT_FILETYPE}'"


def _listed(types: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in types) + "]"


_HOLDS_PICTURES = f"({_UNSAID} || output.fileType in {_listed(WITH_PICTURES)})"
_NONE = "!has(self.fileOutputs)"
_SEGMENTS = "has(self.segmentOutputs)"
"""They hold pictures, and sound as AAC."""
_STREAMS = "(has(self.streamOutputs) && self.streamOutputs.size() > 0)"
_ANY_PICTURES = f"self.fileOutputs.exists(output, {_HOLDS_PICTURES})"

PARTICIPANT_FILES = rule(
    f"{_NONE} || {_SEGMENTS} || {_ANY_PICTURES} || self.fileOutputs.all(output, output.fileType != 'WEBM')",
    "fileOutputs: WEBM would hold the sound only, because pictures are H.264 and WebM takes VP8 or VP9: use MKV or MP4 for"
    " pictures, OGG for the sound alone",
)
VIDEO_TRACK_FILES = rule(
    f"{_NONE} || {_SEGMENTS} || !has(self.videoTrackId) || {_ANY_PICTURES}",
    "fileOutputs: the video track would be in no file, these types hold sound only: add an output with MP4 or MKV, or remove"
    " videoTrackId",
)
SOUND_FILES = rule(
    f"{_NONE} || has(self.audioTrackId) || self.fileOutputs.all(output, {_HOLDS_PICTURES})",
    "fileOutputs: a fileType that holds sound only needs audioTrackId: add audioTrackId, or use MP4 or MKV",
)


def _holding(codec: str, *, unsaid: str = "true") -> str:
    types = _listed(types_holding(codec))
    return f"(has(self.fileOutputs) && self.fileOutputs.exists(output, ({_UNSAID}) ? {unsaid} : output.fileType in {types}))"


def audio_codec_files(*, sound_alone: str = "false") -> dict[str, Any]:
    """Return the rule that some output can hold the audio codec. `sound_alone`: when a default type holds no pictures."""
    ways = "; ".join(f"{codec} goes into {', '.join(types_holding(codec))}" for codec in _CODECS)
    return rule(
        f"!has(self.advanced) || !has(self.advanced.audioCodec)"
        f" || (self.advanced.audioCodec == 'AAC' ? {_SEGMENTS} || {_STREAMS} || {_holding('AAC')}"
        f" : self.advanced.audioCodec == 'OPUS' ? {_holding('OPUS')}"
        f" : self.advanced.audioCodec == 'AC_MP3' ? {_holding('AC_MP3', unsaid=sound_alone)} : true)",
        f"advanced.audioCodec fits no output: {ways}; segments and streams have AAC, images no sound",
    )


_CODECS = ("AAC", "OPUS", "AC_MP3")
