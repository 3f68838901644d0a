"""Owns Ogg with Opus (RFC 7845): a page is complete with its checksum, so that every prefix of pages plays."""

from __future__ import annotations

from egress_recorder.outputs.base import Container

PAGE_SECONDS = 0.2
"""FFmpeg's default of 1 s would be lost by a kill."""

OGG = Container(file_type="OGG", muxer="ogg", options={"page_duration": str(int(PAGE_SECONDS * 1_000_000))})
