"""Owns WAV: 16-bit PCM. The sizes in the header are written at the end; players read a killed file to its end.

Beyond 4 GB (6 hours at 48 kHz) FFmpeg makes an RF64 of it (EBU Tech 3306), which WAV's 32-bit sizes need.
"""

from __future__ import annotations

from egress_recorder.outputs.base import Container

_LARGE = {"rf64": "auto"}

WAV = Container(file_type="WAV", muxer="wav", options=_LARGE, final_options=_LARGE)
