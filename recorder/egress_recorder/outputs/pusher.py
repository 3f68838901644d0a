"""Owns the process of one stream's connection: packets from stdin to an RTMP or SRT receiver, one line per event out.

`python -m egress_recorder.outputs.pusher`. A process of its own because FFmpeg's network calls hold the GIL, block for
ever on a receiver that does not answer, and can take a process down (reference media.md §1): whoever feeds it kills it.
It never tries again: the next connection is a new process.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import ssl
import sys
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.container import OutputContainer
from av.stream import Stream

from egress_recorder.media.values import MediaSpec
from egress_recorder.outputs.srt import SrtSocket
from egress_recorder.outputs.stream_wire import Item, Opening, read
from egress_recorder.outputs.streams import add_sound, add_video

FALLBACK_ROOTS = "/etc/ssl/certs/ca-certificates.crt"


class _LastWords(logging.Handler):
    """Keeps what FFmpeg says: its exceptions say "Input/output error" where its log names the cause."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=3)

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage().strip()
        # What the tee muxer says of its own comes last, tells nothing and must not push out what does.
        if "lave '" not in line and "tee " not in line:
            self.lines.append(line)


def _tee(url: str) -> str:
    """Return the URL for FFmpeg's tee muxer, which, unlike PyAV, hands options on to the protocol."""
    roots = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile or FALLBACK_ROOTS
    options = {"f": "flv", "onfail": "abort", "flvflags": "no_duration_filesize"}
    if url.startswith("rtmps://"):
        # Not FFmpeg's default.
        options |= {"tls_verify": "1", "ca_file": roots}
    escaped = "".join(f"\\{letter}" if letter in "\\'|" else letter for letter in url)
    return f"[{':'.join(f'{name}={value}' for name, value in options.items())}]{escaped}"


class Connection:
    """One receiver; `write` begins it with the first packet of the kind that the container needs."""

    def __init__(self, opening: Opening, tell: Callable[[dict[str, Any]], None]) -> None:
        self._opening, self._tell = opening, tell
        self._spec = MediaSpec(
            width=opening.width,
            height=opening.height,
            framerate=opening.framerate,
            video_bitrate=0,
            audio_bitrate=opening.audio_bitrate,
            audio_frequency=opening.audio_frequency,
            video=opening.video,
            audio=opening.audio,
        )
        self._container: OutputContainer | None = None
        self._socket: SrtSocket | None = None
        self._streams: dict[bool, Stream] = {}
        self._first: dict[bool, int] = {}
        self._last: dict[bool, int] = {}

    def write(self, item: Item) -> None:
        """Send one packet; times begin at 0 with the first one."""
        if self._container is None:
            self._open(item)
        stream = self._streams.get(item.video)
        pts = item.pts - self._first[item.video]
        if stream is None or pts <= self._last.get(item.video, -1):
            return
        self._last[item.video] = pts
        packet: av.Packet[Any] = av.Packet(len(item.data))
        packet.update(item.data)
        packet.pts = packet.dts = pts
        packet.duration = item.duration
        packet.time_base = Fraction(1, self._rate(video=item.video))
        packet.is_keyframe, packet.stream = item.key, stream
        assert self._container is not None
        self._container.mux_one(packet)

    def close(self) -> None:
        """End the stream in good order."""
        if self._container is not None:
            self._container.close()
        if self._socket is not None:
            self._socket.close()

    def _rate(self, *, video: bool) -> int:
        return self._opening.framerate if video else self._opening.audio_frequency

    def _open(self, first: Item) -> None:
        opening = self._opening
        if opening.protocol == "SRT":
            self._socket = SrtSocket(opening.url)
            container = av.open(self._socket, "w", format="mpegts", options={"flush_packets": "1"})
        else:
            container = av.open(_tee(opening.url), "w", format="tee")
        if opening.video:
            self._streams[True] = add_video(container, self._spec, first.data)
        if opening.audio:
            self._streams[False] = add_sound(container, self._spec)
        container.start_encoding()
        self._container = container
        at = Fraction(first.pts, self._rate(video=first.video))
        self._first = {video: round(at * self._rate(video=video)) for video in (True, False)}
        self._tell({"event": "connected"})


def run(source: BinaryIO, tell: Callable[[dict[str, Any]], None]) -> int:
    """Send what comes from `source` until it ends; return the exit code."""
    words = _LastWords()
    logging.getLogger("libav").addHandler(words)
    av.logging.set_level(av.logging.ERROR)
    opening = Opening.parse(source.readline())
    connection = Connection(opening, tell)
    try:
        while (item := read(source)) is not None:
            connection.write(item)
        connection.close()
    except (av.FFmpegError, OSError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        tell({"event": "failed", "error": ": ".join(dict.fromkeys((said, *words.lines)))[:500]})
        return 1
    return 0


def main() -> None:
    """Run the process; no way out but a hard one: what FFmpeg still holds may block."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})

    def tell(event: dict[str, Any]) -> None:
        os.write(1, json.dumps(event).encode() + b"\n")

    os._exit(run(sys.stdin.buffer, tell))


if __name__ == "__main__":
    main()
