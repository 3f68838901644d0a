"""Owns the test participant: it publishes the test pattern on up to two cameras and microphones and obeys stdin.

It prints one JSON object per line: `joined`, `published` (kind: the track's label; sid), `started` (`start`: wall clock
of frame 0 and beep 0), `done COMMAND`, `left`; `joined` and `published` again when its connection had been lost for too
long and it joined anew. Labels are `video`, `audio`, and `video2`, `audio2` for a second pair (`--source2`, `--variant2`),
which is published only by command. Commands, one per line, LABEL being one of these:
`mute_LABEL unmute_LABEL publish_LABEL unpublish_LABEL hold_LABEL resume_LABEL` (hold: no pictures, no sound),
`size WxH`, `reconnect full_reconnect` (or another of the SDK's scenarios), `leave`, `kill`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from livekit import api, rtc
from livekit.rtc._proto import room_pb2
from livekit.rtc._proto.room_pb2 import AudioEncoding

from devstack import camera, testpattern
from devstack.publisher_options import LABELS

CODECS = {
    "vp8": rtc.VideoCodec.VP8,
    "h264": rtc.VideoCodec.H264,
    "vp9": rtc.VideoCodec.VP9,
    "av1": rtc.VideoCodec.AV1,
    "h265": rtc.VideoCodec.H265,
}
VIDEO_SOURCES = {
    "camera": rtc.TrackSource.SOURCE_CAMERA,
    "screen": rtc.TrackSource.SOURCE_SCREENSHARE,
    "unknown": rtc.TrackSource.SOURCE_UNKNOWN,
}
AUDIO_SOURCES = {
    "camera": rtc.TrackSource.SOURCE_MICROPHONE,
    "screen": rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO,
    "unknown": rtc.TrackSource.SOURCE_UNKNOWN,
}


GIVEN_UP = frozenset(
    {
        rtc.DisconnectReason.UNKNOWN_REASON,
        rtc.DisconnectReason.STATE_MISMATCH,
        rtc.DisconnectReason.SIGNAL_CLOSE,
        rtc.DisconnectReason.CONNECTION_TIMEOUT,
    }
)
"""Nobody wanted it to leave: the SDK could not reach the server for 18.8 s (UNKNOWN_REASON)."""
REJOIN_SECONDS = 0.5


def emit(event: str, **fields: Any) -> None:
    """Print one event line."""
    print(json.dumps({"event": event, "at": time.time(), **fields}), flush=True)


@dataclass
class _Feed:
    """One track: what it shows or plays, and where to."""

    source: str
    variant: int
    held: bool = False
    sink: Any = None
    track: Any = None
    publication: Any = None


class Publisher:
    """Pushes pictures from a thread and sound from the event loop, both on one wall clock."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.room: rtc.Room
        self.rejoining: asyncio.Task[None] | None = None
        self.width, self.height = (int(side) for side in options.size.split("x"))
        first, second = (options.source, options.variant), (options.source2, options.variant2)
        self.feeds = {label: _Feed(*(second if label.endswith("2") else first)) for label in LABELS}
        self.running = True
        self.paused = False
        self.start = 0.0
        self.clock_offset = time.monotonic() - time.time()

    # ---- tracks ------------------------------------------------------------------------------------------

    async def publish(self, label: str) -> None:
        """Publish one track; sound is stereo unless --mono."""
        feed = self.feeds[label]
        is_video = label.startswith("video")
        sink, track, options = self._video(feed) if is_video else self._audio(feed)
        feed.publication = await self.room.local_participant.publish_track(track, options)
        feed.track, feed.sink = track, sink
        emit("published", kind=label, sid=feed.publication.sid)

    async def unpublish(self, label: str) -> None:
        """Take a track back."""
        feed = self.feeds[label]
        feed.sink = None
        await self.room.local_participant.unpublish_track(feed.publication.sid)

    def _video(self, feed: _Feed) -> tuple[Any, Any, rtc.TrackPublishOptions]:
        source = rtc.VideoSource(self.width, self.height, is_screencast=feed.source == "screen")
        options = rtc.TrackPublishOptions(
            source=VIDEO_SOURCES[feed.source],
            simulcast=self.options.simulcast,
            video_codec=CODECS[self.options.codec],
            video_encoding=rtc.VideoEncoding(
                max_framerate=self.options.framerate, max_bitrate=self.options.bitrate * 1000
            ),
        )
        return source, rtc.LocalVideoTrack.create_video_track("video", source), options

    def _audio(self, feed: _Feed) -> tuple[Any, Any, rtc.TrackPublishOptions]:
        channels = 1 if self.options.mono else 2
        source = rtc.AudioSource(testpattern.SAMPLE_RATE, channels, queue_size_ms=0)
        options = rtc.TrackPublishOptions(
            source=AUDIO_SOURCES[feed.source],
            dtx=self.options.dtx,
            red=self.options.red,
            audio_encoding=AudioEncoding(max_bitrate=128_000),
        )
        return source, rtc.LocalAudioTrack.create_audio_track("audio", source), options

    # ---- media -------------------------------------------------------------------------------------------

    def picture(self, number: int, variant: int) -> bytearray:
        """Return one I420 picture of the present size."""
        if self.options.content == "camera":
            return camera.frame(number, self.width, self.height, self.options.framerate)
        return testpattern.frame(number, self.width, self.height, self.options.framerate, variant)

    def video_loop(self) -> None:
        """Thread: frame n at start + n / framerate, whatever happened before."""
        number = 0
        while self.running:
            due = self.start + number / self.options.framerate
            wait = due - time.time()
            if wait > 0:
                time.sleep(wait)
            for label in ("video", "video2"):
                feed = self.feeds[label]
                sink = feed.sink
                if sink is None or feed.held or self.paused:
                    continue
                picture = self.picture(number, feed.variant)
                sink.capture_frame(
                    rtc.VideoFrame(self.width, self.height, rtc.VideoBufferType.I420, picture),
                    # libwebrtc aligns capture times to its own monotonic clock
                    timestamp_us=int((due + self.clock_offset) * 1e6),
                )
            number += 1

    async def audio_loop(self) -> None:
        """10 ms at a time, delivered when their last sample is due."""
        position, step = 0, testpattern.SAMPLE_RATE // 100
        scale = 0.0 if self.options.silent else 1.0
        while self.running:
            wait = self.start + (position + step) / testpattern.SAMPLE_RATE - time.time()
            if wait > 0:
                await asyncio.sleep(wait)
            for label in ("audio", "audio2"):
                feed = self.feeds[label]
                sink = feed.sink
                if sink is None or feed.held:
                    continue
                stereo = testpattern.sound(
                    position, step, beep=not self.options.no_beep, scale=scale, variant=feed.variant
                )
                data = stereo.mean(axis=1, keepdims=True).astype(np.int16) if self.options.mono else stereo
                await sink.capture_frame(
                    rtc.AudioFrame(data.tobytes(), testpattern.SAMPLE_RATE, data.shape[1], step)
                )
            position += step

    # ---- life --------------------------------------------------------------------------------------------

    async def obey(self, line: str) -> bool:
        """Carry out one command; False means leave."""
        command, _, argument = line.strip().partition(" ")
        verb, _, label = command.partition("_")
        match verb:
            case "mute" | "unmute" | "publish" | "unpublish" | "hold" | "resume" if label in self.feeds:
                await self._switch(verb, label)
            case "size":
                self.paused = True
                await asyncio.sleep(2 / self.options.framerate)
                self.width, self.height = (int(side) for side in argument.split("x"))
                # Drawn in a thread: the sound of this loop must not wait for it.
                await asyncio.to_thread(self.picture, 0, self.options.variant)
                self.paused = False
            case "reconnect":
                kind = room_pb2.SimulateScenarioKind.Value(f"SIMULATE_{argument.upper()}")
                await self.room.simulate_scenario(kind)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "leave" | "":
                return False
            case _:
                emit("error", message=f"unknown command {command!r}")
        emit("done", command=line.strip())
        return True

    async def _switch(self, verb: str, label: str) -> None:
        feed = self.feeds[label]
        match verb:
            case "mute":
                feed.track.mute()
            case "unmute":
                feed.track.unmute()
            case "publish":
                await self.publish(label)
            case "unpublish":
                await self.unpublish(label)
            case _:
                feed.held = verb == "hold"

    async def join(self) -> None:
        """Connect, and connect anew whenever the SDK gives up, as an application would."""
        token = (
            api.AccessToken(self.options.api_key, self.options.api_secret)
            .with_identity(self.options.identity)
            .with_grants(api.VideoGrants(room_join=True, room=self.options.room))
            .to_jwt()
        )
        room = rtc.Room()
        room.on("disconnected", self._disconnected)
        await room.connect(self.options.url, token, rtc.RoomOptions(auto_subscribe=False, dynacast=False))
        self.room = room
        emit("joined", sid=room.local_participant.sid)

    def _disconnected(self, reason: rtc.DisconnectReason.ValueType) -> None:
        if self.running and reason in GIVEN_UP:
            self.rejoining = asyncio.create_task(self._rejoin())

    async def _rejoin(self) -> None:
        labels = [label for label, feed in self.feeds.items() if feed.sink is not None]
        while self.running:
            try:
                await self.join()
            except rtc.ConnectError:
                await asyncio.sleep(REJOIN_SECONDS)
                continue
            for label in labels:
                await self.publish(label)
            return

    async def run(self) -> None:
        """Join, publish, obey until told to leave or stdin ends."""
        for variant in (self.options.variant, self.options.variant2):
            self.picture(0, variant)
        await self.join()
        if not self.options.no_video:
            await self.publish("video")
        if not self.options.no_audio:
            await self.publish("audio")
        self.start = float(int(time.time()) + 1)
        emit("started", start=self.start, framerate=self.options.framerate)
        thread = threading.Thread(target=self.video_loop, name="test pattern", daemon=True)
        thread.start()
        sound = asyncio.create_task(self.audio_loop())
        loop = asyncio.get_running_loop()
        lines: asyncio.Queue[str] = asyncio.Queue()
        threading.Thread(target=_read_lines, args=(loop, lines), name="commands", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lines.put_nowait, "leave")
        while await self.obey(await lines.get()):
            pass
        self.running = False
        sound.cancel()
        await self.room.disconnect()
        emit("left")


def _read_lines(loop: asyncio.AbstractEventLoop, lines: asyncio.Queue[str]) -> None:
    for line in sys.stdin:
        loop.call_soon_threadsafe(lines.put_nowait, line)
    loop.call_soon_threadsafe(lines.put_nowait, "leave")


def run(options: argparse.Namespace) -> None:
    """Be the participant until it leaves; ends the process."""
    if not (options.url and options.api_key and options.api_secret):
        sys.exit(
            "set --url, --api-key and --api-secret, or LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        )

    async def main() -> None:
        # Inside the loop: rtc.Room() binds to the event loop that is current when it is made.
        await Publisher(options).run()

    asyncio.run(main())
    # Why: the SDK's native threads may hold the interpreter at exit; everything is already told.
    os._exit(0)
