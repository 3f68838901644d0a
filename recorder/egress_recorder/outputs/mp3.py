"""Owns MP3: constant bitrate, frames and nothing else, so that every prefix plays and every cut is clean.

No Xing header: it would tell a delay that was taken out already, and a constant bitrate gives length and positions
without it. No ID3 tag: names are in the manifest.
"""

from __future__ import annotations

from egress_recorder.outputs.base import Container

_BARE = {"write_xing": "0", "id3v2_version": "0"}

MP3 = Container(file_type="MP3", muxer="mp3", options=_BARE, final_options=_BARE)
