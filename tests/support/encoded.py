"""Owns two and a half seconds of the test pattern, encoded as a recorder does, for every type of file."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from devstack import testpattern
from egress_recorder.filetypes import FILE_KINDS, FileType, SoundCodec
from egress_recorder.media.audioencoder import AudioEncoder
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.media.values import MediaSpec, Picture
from egress_recorder.outputs import OUTPUTS

SECONDS = 2.5
WIDTH, HEIGHT, RATE = 320, 180, 30
SPEC = MediaSpec(width=WIDTH, height=HEIGHT, framerate=RATE, video_bitrate=600, audio_bitrate=96)


def spec_of(file_type: FileType, codec: SoundCodec) -> MediaSpec:
    return replace(SPEC, video=FILE_KINDS[file_type].pictures, audio_codec=codec)


def _cases() -> Iterator[object]:
    for file_type in OUTPUTS:
        codecs = FILE_KINDS[file_type].sound
        for codec in codecs:
            yield pytest.param(file_type, spec_of(file_type, codec), id=f"{file_type}-{codec}")
        if FILE_KINDS[file_type].pictures:
            sound = replace(spec_of(file_type, codecs[0]), video=False)
            yield pytest.param(file_type, sound, id=f"{file_type}-{codecs[0]}-alone")
            yield pytest.param(file_type, replace(SPEC, audio=False), id=f"{file_type}-h264-alone")


CASES = tuple(_cases())
"""Every type of file with every codec, and those that hold pictures with one kind alone: `file_type` and `spec`."""


@cache
def sound_packets(codec: SoundCodec) -> tuple[EncodedPacket, ...]:
    encoder = AudioEncoder(replace(SPEC, audio_codec=codec))
    pcm = testpattern.sound(0, int(SECONDS * 48_000))
    packets = [packet for piece in np.array_split(pcm, 40) for packet in encoder.encode(piece)]
    return (*packets, *encoder.flush())


def picture(number: int) -> Picture:
    return Picture(bytes(testpattern.frame(number, WIDTH, HEIGHT, RATE)), WIDTH, HEIGHT)


@cache
def pictures() -> tuple[EncodedPacket, ...]:
    encoder = VideoEncoder(SPEC)
    packets = [
        packet for number in range(int(SECONDS * RATE)) for packet in encoder.encode(picture(number), number)
    ]
    return (*packets, *encoder.flush())


@cache
def packets(spec: MediaSpec) -> tuple[EncodedPacket, ...]:
    """All packets of a file, in the order of their times."""
    sound = sound_packets(spec.audio_codec) if spec.audio else ()
    return tuple(sorted((*sound, *(pictures() if spec.video else ())), key=lambda packet: packet.file_time))


CHILD_DEADLINE = 60
"""Seconds after which a child is ended by SIGALRM: a test that waits for it fails, instead of the suite."""


def in_child(work: Callable[[], None]) -> int:
    """Run this in a forked process; return its exit code, negative for a signal (SIGALRM: it took too long).

    What is garbage here is never collected there: letting go of a decoder joins its threads, which a fork does
    not have, and so never returns.
    """
    child = os.fork()
    if not child:
        gc.freeze()
        # pytest-timeout has a handler in Python, which a call that never returns never lets run.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(CHILD_DEADLINE)
        try:
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
