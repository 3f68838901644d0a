"""Owns what a person at a terminal sees: one rewritten line, or a line every ten seconds into a file. Pure text."""

from __future__ import annotations

import asyncio
from typing import TextIO

from egress_recorder.contract import Phase, RecorderResult, RecorderStatus
from egress_recorder.supervisor.board import StatusBoard

CLEAR_LINE = "\r\x1b[2K"
_PLAIN_INTERVAL = 10.0
_TTY_INTERVAL = 0.5


def clock(seconds: float) -> str:
    """Return `HH:MM:SS`."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def size(count: float) -> str:
    """Return bytes in decimal units."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def describe(status: RecorderStatus) -> str:
    """Return the progress line."""
    progress = status.progress
    if status.phase is Phase.STARTING:
        return "in the room, waiting for media" if status.in_room else "joining the room"
    words = [clock(progress.duration), size(progress.bytes_written), f"{progress.frames} frames"]
    if progress.frames_dropped:
        words.append(f"{progress.frames_dropped} dropped")
    if status.degraded:
        words.append("the machine cannot keep up")
    if status.gaps:
        words.append(f"{len(status.gaps)} gaps")
    if status.phase is Phase.ENDING:
        sent = min(progress.bytes_uploaded, progress.bytes_written)
        words.append(f"finishing, {size(sent)} stored")
    elif not status.recording:
        words.append(status.message or "waiting")
    return "  ".join(words)


def conclude(result: RecorderResult) -> str:
    """Return the last lines: each file with its duration and size, or why there is none."""
    files = [
        f"{part.location}  {clock(part.duration)}  {size(part.size)}"
        for part in result.parts
        if part.location
    ]
    if result.error:
        # "Interrupted" is for the operator, which tries again; here nobody does.
        word = Phase.FAILED if result.phase is Phase.INTERRUPTED else result.phase
        files.append(f"{word.value}: {result.error}")
    elif not files:
        files.append(f"{result.phase.value}: nothing was recorded")
    return "\n".join(files)


async def show(board: StatusBoard, stream: TextIO) -> None:
    """Write the line for ever: on a terminal over itself, elsewhere every ten seconds and at each change of phase."""
    terminal = stream.isatty()
    loop = asyncio.get_running_loop()
    last_phase, last_time, last_line = None, -_PLAIN_INTERVAL, ""
    while True:
        status = board.status
        line, now = describe(status), loop.time()
        if terminal:
            if line != last_line:
                stream.write(f"{CLEAR_LINE}{line}")
        elif status.phase is not last_phase or now - last_time >= _PLAIN_INTERVAL:
            stream.write(f"{line}\n")
            last_phase, last_time = status.phase, now
        stream.flush()
        last_line = line
        await asyncio.sleep(_TTY_INTERVAL)
