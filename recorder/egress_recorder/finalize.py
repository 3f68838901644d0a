"""Owns turning what a killed recorder left behind into an ordinary file: `python -m egress_recorder.finalize IN OUT`.

The name of IN says what it is (`outputs.OUTPUTS`, and `outputs.segments.FORMATS`, whose times go on over all segments). Packets are copied until the first one that cannot be read or is cut; nothing is decoded. Prints one JSON line
`{"duration": s, "frames": n, "audio_duration": s}`; exit code 65 when nothing in it can be played. The result
appears under its name only when it is complete; IN is not touched. A process of its own, because a damaged file may
take FFmpeg down.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from egress_recorder.errors import RequestDataError
from egress_recorder.filetypes import of_extension
from egress_recorder.outputs import OUTPUTS
from egress_recorder.outputs.base import Format, packet_end
from egress_recorder.outputs.segments import FORMATS
from egress_recorder.segmentation import EXTENSIONS
from egress_recorder.vocabulary import ExitCode

_ROUNDING = 1e-3
"""Seconds; more than the time bases of MPEG-TS (1/90000) and of an MP4 track round."""


@dataclass(frozen=True, slots=True)
class Finalized:
    """What the finished file holds. Durations in seconds, from media time 0; `frames` are video frames."""

    duration: float
    frames: int
    audio_duration: float


def finalize(source: Path, target: Path) -> Finalized:
    """Write `target` from `source`. Raises RequestDataError when nothing is playable, OSError when writing fails."""
    partial = target.with_name(f"{target.name}.part")
    segments = {EXTENSIONS[container]: form for container, form in FORMATS.items()}
    kind = segments.get(source.suffix) or OUTPUTS[of_extension(source.name) or "MP4"]
    try:
        until = _end_of_sound(source, kind) if kind.followed else math.inf
        with av.open(str(source), "r") as container:
            result = _copy(container, partial, kind, until)
    except av.FFmpegError as error:
        partial.unlink(missing_ok=True)
        raise RequestDataError(f"{source.name} cannot be read: {error.strerror}") from None
    if result.duration <= 0:
        partial.unlink(missing_ok=True)
        raise RequestDataError(f"{source.name} holds no complete frame")
    partial.replace(target)
    return result


def _end_of_sound(source: Path, container: Format) -> float:
    """Return the time, seconds, up to which there is sound before the first damage; infinity where there is none."""
    with av.open(str(source), "r") as opened:
        packets = _whole(_readable(opened, _media(opened)), container)
        return max(
            (packet_end(packet) for packet in packets if packet.stream.type == "audio"), default=math.inf
        )


def _media(source: InputContainer) -> list[Any]:
    return [stream for stream in source.streams if stream.type in {"video", "audio"}]


def _copy(source: InputContainer, target: Path, container: Format, until: float) -> Finalized:
    """`until`: seconds at which the pictures end at the latest."""
    streams = _media(source)
    if not streams:
        return Finalized(0.0, 0, 0.0)
    ends: dict[str, float] = {}
    frames = 0
    with av.open(str(target), "w", format=container.muxer, options=dict(container.final_options)) as output:
        copies: dict[int, Any] = {}
        for stream in streams:
            copies[stream.index] = output.add_stream_from_template(stream, opaque=True)
            copies[stream.index].time_base = stream.time_base
        last: dict[int, int] = {}
        for packet in _whole(_readable(source, streams), container):
            index = packet.stream.index
            if packet.dts <= last.get(index, packet.dts - 1):
                continue
            last[index] = packet.dts
            kind = packet.stream.type
            end = packet_end(packet)
            if kind == "video" and end > until + _ROUNDING:
                continue
            ends[kind] = max(ends.get(kind, 0.0), end)
            frames += kind == "video"
            packet.stream = copies[index]
            output.mux_one(packet)
    if ends:
        rate = source.streams.audio[0].rate if source.streams.audio else 0
        container.finished(target, round(ends.get("audio", 0.0) * rate))
    duration = max(ends.values(), default=0.0)
    return Finalized(round(duration, 6), frames, round(ends.get("audio", 0.0), 6))


def _readable(source: InputContainer, streams: Sequence[Any]) -> Iterator[Any]:
    """Yield the packets before the first damage."""
    try:
        for packet in source.demux(*streams):
            if packet.dts is None or packet.pts is None:
                continue
            if packet.is_corrupt or not packet.size:
                return
            yield packet
    except av.FFmpegError:
        # The tail of a killed process: everything before it was good.
        return


def _whole(packets: Iterator[Any], container: Format) -> Iterator[Any]:
    """Leave out the last packet if it was cut."""
    last = next(packets, None)
    for packet in packets:
        yield last
        last = packet
    if last is not None and container.whole(bytes(last)):
        yield last


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="egress_recorder.finalize", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    try:
        result = finalize(options.source, options.target)
    except RequestDataError as error:
        sys.stderr.write(f"{error}\n")
        return ExitCode.DATA
    except OSError as error:
        sys.stderr.write(f"{options.target.name} cannot be written: {os.strerror(error.errno or 0)}\n")
        return ExitCode.SOFTWARE
    sys.stdout.write(json.dumps(asdict(result)) + "\n")
    return ExitCode.FINISHED


if __name__ == "__main__":
    sys.exit(main())
