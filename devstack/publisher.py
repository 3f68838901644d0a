"""Owns the test publisher: one LiveKit participant that publishes the test pattern and obeys commands on stdin.

`python -m devstack.publisher --url … --room … --identity …` prints one JSON object per line: `joined`, `published`
(with the track sid), `started` (with `start`: wall clock of frame 0 and beep 0), `done COMMAND`, `left`.
Commands, one per line: mute_video unmute_video mute_audio unmute_audio unpublish_video publish_video
unpublish_audio publish_audio hold_video resume_video size WxH leave kill.
`PublisherProcess` runs it as a child process; that is how tests and the demo use it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from livekit import api, rtc
from livekit.rtc._proto.room_pb2 import AudioEncoding

from devstack import camera, testpattern

CODECS = {
    "vp8": rtc.VideoCodec.VP8,
    "h264": rtc.VideoCodec.H264,
    "vp9": rtc.VideoCodec.VP9,
    "av1": rtc.VideoCodec.AV1,
}
VIDEO_SOURCES = {"camera": rtc.TrackSource.SOURCE_CAMERA, "screen": rtc.TrackSource.SOURCE_SCREENSHARE}
AUDIO_SOURCES = {
    "camera": rtc.TrackSource.SOURCE_MICROPHONE,
    "screen": rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO,
}


def emit(event: str, **fields: Any) -> None:
    """Print one event line."""
    print(json.dumps({"event": event, "at": time.time(), **fields}), flush=True)


class Publisher:
    """Pushes frames from a thread and sound from the event loop, both on one wall clock."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.room = rtc.Room()
        self.width, self.height = (int(side) for side in options.size.split("x"))
        self.video: rtc.VideoSource | None = None
        self.audio: rtc.AudioSource | None = None
        self.tracks: dict[str, Any] = {}
        self.publications: dict[str, Any] = {}
        self.running = True
        self.held = False
        self.start = 0.0
        self.clock_offset = time.monotonic() - time.time()
        self.picture = camera.frame if options.content == "camera" else testpattern.frame

    async def publish_video(self) -> None:
        """Publish camera or screen share."""
        source = rtc.VideoSource(self.width, self.height, is_screencast=self.options.source == "screen")
        track = rtc.LocalVideoTrack.create_video_track("video", source)
        options = rtc.TrackPublishOptions(
            source=VIDEO_SOURCES[self.options.source],
            simulcast=self.options.simulcast,
            video_codec=CODECS[self.options.codec],
            video_encoding=rtc.VideoEncoding(
                max_framerate=self.options.framerate, max_bitrate=self.options.bitrate * 1000
            ),
        )
        await self._publish("video", track, options)
        self.video = source

    async def publish_audio(self) -> None:
        """Publish microphone or screen-share audio, stereo unless --mono."""
        channels = 1 if self.options.mono else 2
        source = rtc.AudioSource(testpattern.SAMPLE_RATE, channels, queue_size_ms=0)
        track = rtc.LocalAudioTrack.create_audio_track("audio", source)
        options = rtc.TrackPublishOptions(
            source=AUDIO_SOURCES[self.options.source],
            dtx=False,
            red=False,
            audio_encoding=AudioEncoding(max_bitrate=128_000),
        )
        await self._publish("audio", track, options)
        self.audio = source

    async def _publish(self, kind: str, track: Any, options: rtc.TrackPublishOptions) -> None:
        publication = await self.room.local_participant.publish_track(track, options)
        self.tracks[kind], self.publications[kind] = track, publication
        emit("published", kind=kind, sid=publication.sid)

    async def unpublish(self, kind: str) -> None:
        """Take a track back."""
        if kind == "video":
            self.video = None
        else:
            self.audio = None
        await self.room.local_participant.unpublish_track(self.publications[kind].sid)

    def video_loop(self) -> None:
        """Thread: frame n at start + n / framerate, whatever happened before."""
        framerate = self.options.framerate
        number = 0
        while self.running:
            due = self.start + number / framerate
            wait = due - time.time()
            if wait > 0:
                time.sleep(wait)
            source = self.video
            if source is not None and not self.held:
                picture = self.picture(number, self.width, self.height, framerate)
                source.capture_frame(
                    rtc.VideoFrame(self.width, self.height, rtc.VideoBufferType.I420, picture),
                    # libwebrtc aligns capture times to its own monotonic clock
                    timestamp_us=int((due + self.clock_offset) * 1e6),
                )
            number += 1

    async def audio_loop(self) -> None:
        """10 ms at a time, delivered when their last sample is due."""
        position, step = 0, testpattern.SAMPLE_RATE // 100
        while self.running:
            wait = self.start + (position + step) / testpattern.SAMPLE_RATE - time.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if self.audio is not None:
                stereo = testpattern.sound(position, step, beep=not self.options.no_beep)
                data = stereo[:, :1] if self.options.mono else stereo
                channels = data.shape[1]
                await self.audio.capture_frame(
                    rtc.AudioFrame(data.tobytes(), testpattern.SAMPLE_RATE, channels, step)
                )
            position += step

    async def obey(self, line: str) -> bool:
        """Carry out one command; False means leave."""
        command, _, argument = line.strip().partition(" ")
        match command:
            case "mute_video" | "mute_audio":
                self.tracks[command[5:]].mute()
            case "unmute_video" | "unmute_audio":
                self.tracks[command[7:]].unmute()
            case "unpublish_video" | "unpublish_audio":
                await self.unpublish(command[10:])
            case "publish_video":
                await self.publish_video()
            case "publish_audio":
                await self.publish_audio()
            case "hold_video" | "resume_video":
                self.held = command == "hold_video"
            case "size":
                self.held = True
                await asyncio.sleep(2 / self.options.framerate)
                self.width, self.height = (int(side) for side in argument.split("x"))
                self.picture(0, self.width, self.height, self.options.framerate)
                self.held = False
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "leave" | "":
                return False
            case _:
                emit("error", message=f"unknown command {command!r}")
        emit("done", command=line.strip())
        return True

    async def run(self) -> None:
        """Join, publish, obey until told to leave or stdin ends."""
        token = (
            api.AccessToken(self.options.api_key, self.options.api_secret)
            .with_identity(self.options.identity)
            .with_grants(api.VideoGrants(room_join=True, room=self.options.room))
            .to_jwt()
        )
        self.picture(0, self.width, self.height, self.options.framerate)
        await self.room.connect(
            self.options.url, token, rtc.RoomOptions(auto_subscribe=False, dynacast=False)
        )
        emit("joined", sid=self.room.local_participant.sid)
        if not self.options.no_video:
            await self.publish_video()
        if not self.options.no_audio:
            await self.publish_audio()
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devstack.publisher", description=__doc__)
    environment = os.environ
    parser.add_argument("--url", default=environment.get("LIVEKIT_URL"))
    parser.add_argument("--api-key", default=environment.get("LIVEKIT_API_KEY"))
    parser.add_argument("--api-secret", default=environment.get("LIVEKIT_API_SECRET"))
    parser.add_argument("--room", required=True)
    parser.add_argument("--identity", required=True)
    parser.add_argument("--codec", choices=CODECS, default="vp8")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--framerate", type=int, default=30)
    parser.add_argument("--bitrate", type=int, default=2000, help="kbit/s")
    parser.add_argument("--source", choices=VIDEO_SOURCES, default="camera")
    parser.add_argument("--content", choices=("test", "camera"), default="test")
    parser.add_argument("--simulcast", action="store_true")
    parser.add_argument("--mono", action="store_true")
    parser.add_argument("--no-beep", action="store_true")
    parser.add_argument("--no-video", action="store_true")
    parser.add_argument("--no-audio", action="store_true")
    return parser


@dataclass
class PublisherProcess:
    """The publisher as a child process. `on_line` may echo its events; all are kept in `events`."""

    url: str
    api_key: str
    api_secret: str
    room: str
    identity: str
    arguments: tuple[str, ...] = ()
    on_line: Callable[[dict[str, Any]], None] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start and wait until both tracks are published and the clock of the pattern is known."""
        command = [
            sys.executable,
            "-m",
            "devstack.publisher",
            "--room",
            self.room,
            "--identity",
            self.identity,
        ]
        environment = {
            **os.environ,
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": self.api_key,
            "LIVEKIT_API_SECRET": self.api_secret,
        }
        self._process = subprocess.Popen(
            [*command, *self.arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._changed = threading.Condition()
        self._errors: list[str] = []
        threading.Thread(target=self._collect, daemon=True).start()
        threading.Thread(target=self._collect_errors, daemon=True).start()
        try:
            self.wait("started", timeout=30)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the room; kill when that takes more than 5 s."""
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            with self._changed:
                self.events.append(event)
                self._changed.notify_all()
            if self.on_line:
                self.on_line(event)
        with self._changed:
            self.events.append({"event": "gone"})
            self._changed.notify_all()

    def _collect_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._errors = [*self._errors[-20:], line]

    def wait(self, event: str, *, timeout: float = 10.0, **fields: Any) -> dict[str, Any]:
        """Return the first event with these fields. Raises TimeoutError, RuntimeError when the process is gone."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for item in self.events:
                    if item["event"] == event and all(item.get(k) == v for k, v in fields.items()):
                        return item
                if any(item["event"] == "gone" for item in self.events):
                    message = f"publisher ended before {event}: {''.join(self._errors)[-800:]}"
                    raise RuntimeError(message)
                if not self._changed.wait(deadline - time.monotonic()):
                    message = f"publisher did not report {event} within {timeout} s"
                    raise TimeoutError(message)

    def command(self, line: str, *, timeout: float = 10.0) -> None:
        """Send a command; wait until it was carried out (not for leave and kill)."""
        assert self._process.stdin is not None
        done_before = sum(item["event"] == "done" for item in self.events)
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        if line in {"leave", "kill"}:
            self._process.wait(timeout)
            return
        deadline = time.monotonic() + timeout
        with self._changed:
            while sum(item["event"] == "done" for item in self.events) == done_before:
                if not self._changed.wait(deadline - time.monotonic()):
                    message = f"publisher did not carry out {line!r} within {timeout} s"
                    raise TimeoutError(message)

    def sid(self, kind: str) -> str:
        """Return the sid of the last published track of a kind (audio, video)."""
        return str(
            [item for item in self.events if item["event"] == "published" and item["kind"] == kind][-1]["sid"]
        )

    @property
    def start(self) -> float:
        """Wall clock of frame 0 and beep 0."""
        return float(self.wait("started")["start"])

    @property
    def pid(self) -> int:
        """Process id, for tests that kill it."""
        return self._process.pid


if __name__ == "__main__":
    arguments = _parser().parse_args()
    if not (arguments.url and arguments.api_key and arguments.api_secret):
        sys.exit(
            "set --url, --api-key and --api-secret, or LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        )

    async def _main() -> None:
        # Inside the loop: rtc.Room() binds to the event loop that is current when it is made.
        await Publisher(arguments).run()

    asyncio.run(_main())
    # Why: the SDK's native threads may hold the interpreter at exit; everything is already told.
    os._exit(0)
