"""Measures where the A/V offset of a recording comes from: a second receiver that knows when everything was captured.

It joins beside the recorder, reads the frame number of each picture and the beginning of each beep, and compares their delivery with
the test pattern's own clock. Printed per run: when the first packet of a picture leaves the publisher after its capture
(delivery minus processing delay), by how much the picture's own time leads its delivery, when sound is delivered, and what
the statistics know of that. The figure is what they do not know: sound minus picture at the receipt of their packets,
which a recorder cannot see and takes for zero (`egress_recorder/sources/delays.py`). Target: within ±10 ms in every run.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from common import describe_machine, livekit, parser, publisher, workspace
from livekit import api, rtc

from devstack import testpattern
from devstack.livekit import LiveKitServer
from devstack.publisher import PublisherProcess
from egress_recorder.sources.delays import OPUS_LOOKAHEAD

FRAMERATE, SETTLED = 30, 4.0
"""Seconds after the subscription in which the receiver's buffers find their size; not counted."""
LIMIT_MS = 10.0


@dataclass
class Tap:
    """What one receiver saw; all in ms after capture, except the statistics (ms of delay)."""

    start: float
    """Monotonic time of frame 0 and beep 0."""
    delivered: list[float] = field(default_factory=list)
    stamped: list[float] = field(default_factory=list)
    sounds: list[float] = field(default_factory=list)
    processing: list[float] = field(default_factory=list)
    jitter_buffer: list[float] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    async def video(self, track: rtc.RemoteTrack) -> None:
        """Compare pictures with their numbers."""
        async for event in rtc.VideoStream(track, format=rtc.VideoBufferType.I420, capacity=8):
            now, frame = time.monotonic(), event.frame
            luma = np.frombuffer(frame.data, np.uint8)[: frame.width * frame.height]
            number = testpattern.read_counter(luma.reshape(frame.height, frame.width))
            if number is not None and now - self.begun > SETTLED:
                captured = self.start + number / FRAMERATE
                self.delivered.append(1000 * (now - captured))
                self.stamped.append(1000 * (event.timestamp_us / 1e6 - captured))

    async def audio(self, track: rtc.RemoteTrack) -> None:
        """Find the beginnings of beeps, to the sample."""
        stream = rtc.AudioStream(track, sample_rate=testpattern.SAMPLE_RATE, num_channels=2, frame_size_ms=10)
        quiet = 0
        async for event in stream:
            now = time.monotonic()
            left = np.abs(np.frombuffer(event.frame.data, np.int16)[::2].astype(int))
            loud = np.flatnonzero(left > testpattern.BEEP_THRESHOLD * 32768)
            if len(loud) and quiet > 20 and now - self.begun > SETTLED:
                late = now - (len(left) - loud[0]) / testpattern.SAMPLE_RATE - self.start
                self.sounds.append(1000 * (late - round(late - 0.1)))
            quiet = 0 if len(loud) else quiet + 1

    async def statistics(self, track: rtc.RemoteTrack) -> None:
        """Take the mean delay of each half second."""
        last: tuple[float, int] | None = None
        while True:
            await asyncio.sleep(0.5)
            for report in await track.get_stats():
                if report.WhichOneof("stats") != "inbound_rtp":
                    continue
                inbound: Any = report.inbound_rtp.inbound
                video = track.kind == rtc.TrackKind.KIND_VIDEO
                total, count = (
                    (inbound.total_processing_delay, inbound.frames_decoded)
                    if video
                    else (inbound.jitter_buffer_delay, inbound.jitter_buffer_emitted_count)
                )
                if last and count > last[1] and time.monotonic() - self.begun > SETTLED:
                    mean = 1000 * (total - last[0]) / (count - last[1])
                    (self.processing if video else self.jitter_buffer).append(mean)
                last = (total, count)


async def listen(server: LiveKitServer, source: PublisherProcess, seconds: float) -> Tap:
    """Receive both tracks for some seconds."""
    grants = api.VideoGrants(room_join=True, room="delays", can_publish=False, hidden=True)
    token = api.AccessToken(server.api_key, server.api_secret).with_identity("tap").with_grants(grants)
    tap = Tap(source.start + time.monotonic() - time.time())
    room, tasks = rtc.Room(), []

    def subscribed(track: rtc.RemoteTrack, *_: object) -> None:
        follow = tap.video if track.kind == rtc.TrackKind.KIND_VIDEO else tap.audio
        tasks.extend([asyncio.create_task(follow(track)), asyncio.create_task(tap.statistics(track))])

    room.on("track_subscribed", subscribed)
    await room.connect(server.url, token.to_jwt())
    await asyncio.sleep(seconds + SETTLED)
    for task in tasks:
        task.cancel()
    await room.disconnect()
    return tap


def unknown(tap: Tap, name: str) -> float:
    """Print one run; return picture minus sound at the receipt of their packets, ms."""
    delivered, stamped = statistics.median(tap.delivered), statistics.median(tap.stamped)
    processing, buffer = statistics.mean(tap.processing), statistics.mean(tap.jitter_buffer)
    sound = statistics.median(tap.sounds)
    first_packet, sound_left = delivered - processing, sound - buffer - 1000 * OPUS_LOOKAHEAD
    print(
        f"{name}: picture delivered {delivered:.1f} ms after capture, processing {processing:.1f}, so first packet at"
        f" {first_packet:.1f}; its own time leads delivery by {stamped - delivered:.1f}; sound delivered at {sound:.1f}, jitter"
        f" buffer {buffer:.1f}, Opus {1000 * OPUS_LOOKAHEAD:.1f}, rest {sound_left:.1f}: {first_packet - sound_left:+.1f} ms",
        flush=True,
    )
    return first_packet - sound_left


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--seconds", type=float, default=8)
    options.add_argument("--codec", default="vp8", choices=("vp8", "h264"))
    options.add_argument("--size", default="1280x720", help="of the publisher's pictures (1280x720)")
    arguments = options.parse_args()
    describe_machine()
    with (
        workspace(arguments.keep) as directory,
        livekit(directory) as server,
        publisher(server, "delays", "--codec", arguments.codec, "--size", arguments.size) as source,
    ):
        time.sleep(4)
        rests = [
            unknown(asyncio.run(listen(server, source, arguments.seconds)), f"run {number}")
            for number in range(arguments.runs)
        ]
    worst = max(rests, key=abs)
    if abs(worst) > LIMIT_MS:
        print(f"NOT MET: {worst:+.1f} ms that no statistics know of, allowed are ±{LIMIT_MS:g} ms")
    print(f"figure: unknown_mean_ms={statistics.mean(rests):.3g} unknown_worst_ms={worst:.3g}", flush=True)
    # Not sys.exit: native threads of the SDK may hang on the way out.
    os._exit(1 if abs(worst) > LIMIT_MS else 0)


if __name__ == "__main__":
    main()
