"""Owns where encoded packets go: one file per container family, its types registered here."""

from __future__ import annotations

from collections.abc import Mapping

from egress_recorder.filetypes import FileType
from egress_recorder.outputs.base import Container
from egress_recorder.outputs.flac import FLAC
from egress_recorder.outputs.matroska import MKV, WEBM
from egress_recorder.outputs.mp3 import MP3
from egress_recorder.outputs.mp4 import M4A, MP4
from egress_recorder.outputs.ogg import OGG
from egress_recorder.outputs.wav import WAV

OUTPUTS: Mapping[FileType, Container] = {
    container.file_type: container for container in (MP4, MKV, OGG, MP3, WEBM, M4A, WAV, FLAC)
}
