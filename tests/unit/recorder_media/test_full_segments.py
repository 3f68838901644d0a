"""A disk that is full within a segment: what was closed stays, what is told of the last one decodes to its end.

The limit is the kernel's, of a file's size: as on a full disk, a part of the last write is done and the next ones are refused.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from devstack.mediacheck import check
from egress_recorder import fmp4
from egress_recorder.errors import MediaError
from egress_recorder.media.encoder import VideoEncoder
from egress_recorder.media.packets import EncodedPacket
from egress_recorder.outputs.segments import SegmentOutput
from egress_recorder.segmentation import EXTENSIONS, SegmentContainer, SegmentRequest
from support.encoded import RATE, SPEC, in_child, picture, sound_packets

pytestmark = pytest.mark.unit
OF_SEGMENTS = replace(SPEC, key_frame_interval=1.0, segment_duration=1)
END = 2.0
"""Seconds of media: two segments, and the key frame that closes the second."""

containers = pytest.mark.parametrize("container", get_args(SegmentContainer))


def packets() -> list[EncodedPacket]:
    encoder = VideoEncoder(OF_SEGMENTS)
    made = [
        packet for number in range(int(END * RATE) + 1) for packet in encoder.encode(picture(number), number)
    ]
    of_sound = [one for one in sound_packets(OF_SEGMENTS.audio_codec) if one.file_time <= END]
    return sorted((*made, *encoder.flush(), *of_sound), key=lambda packet: packet.file_time)


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def written(directory: Path, container: SegmentContainer, filled: float | None) -> tuple[str, list[Any]]:
    """Write until the second segment has no more room; return what the error said and which segments were told.

    `filled`: how much of it fits, as a fraction of the first one; None: all but what its end needs.
    """
    made, notes = packets(), directory / "notes.json"

    def write() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        output = SegmentOutput(
            directory, OF_SEGMENTS, SegmentRequest(container=container, duration=1), index=0
        )
        grows = directory / output.filename / f"00001{EXTENSIONS[container]}"
        told = []
        try:
            for packet in made:
                if filled is None and packet.kind == "video" and packet.file_time >= END:
                    limit_files(grows.stat().st_size)
                output.write(packet)
                if first := output.take():
                    told += first
                    limit_files(resource.RLIM_INFINITY if filled is None else int(first[0].size * filled))
        except MediaError as error:
            output.close()
            told += output.take()
            # Room again, before what libavformat holds of the file is let go.
            limit_files(resource.RLIM_INFINITY)
            del output
            gc.collect()
            notes.write_text(json.dumps([str(error), [asdict(one) for one in told]]))
            os._exit(0)
        os._exit(4)

    assert in_child(write) == 0
    said, told = json.loads(notes.read_text())
    return said, told


@pytest.mark.parametrize("filled", [0.35, 0.5, 0.65, None])
@containers
def test_the_segment_that_a_full_disk_cuts_ends_with_a_whole_picture(
    tmp_path: Path, container: SegmentContainer, filled: float | None
) -> None:
    error, told = written(tmp_path, container, filled)

    assert error.startswith(f"writing 00001{EXTENSIONS[container]} failed: ")
    assert "see that the scratch volume has space" in error
    assert [one["number"] for one in told] == [0, 1]
    numbers: list[int | None] = []
    for one in told:
        path = tmp_path / "segments-0" / one["name"]
        report = check(path)
        assert report.errors == []
        assert report.frames == round(one["duration"] * RATE)
        assert one["start"] == pytest.approx(len(numbers) / RATE)
        assert one["size"] == path.stat().st_size - (fmp4.header_size(path) if container == "FMP4" else 0)
        numbers += report.counters
    assert numbers == list(range(len(numbers))), "pictures follow each other, none is missing before the cut"
    least = (1 if filled is None else filled) - 0.3  # a fragment of fMP4, and what was held for the sound
    assert len(numbers) >= (1 + least) * RATE


@containers
def test_a_segment_without_a_whole_picture_is_not_told(tmp_path: Path, container: SegmentContainer) -> None:
    _, told = written(tmp_path, container, 0.01)

    assert [(one["number"], one["duration"]) for one in told] == [(0, 1.0)]
