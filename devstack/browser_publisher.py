"""Owns a participant in a real browser (livekit-client in headless Chromium) that publishes the test pattern.

It sends what the Python SDK cannot: true stereo, three simulcast layers, RED, DTX, and the reconnects of a browser.
Commands: mute_X unmute_X unpublish_X publish_X hold_X resume_X silence_X speak_X (X a label: video, audio, video2,
audio2), size WxH, pause_layer N SECONDS, hold_layer N, resume_layer N (0 is the lowest), reconnect SCENARIO (one of
livekit-client's), disconnect_network SECONDS (returns at once), reload, leave, kill.
`python -m devstack.browser_publisher` measures how far its flash and beep are apart before they are encoded.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from livekit import api

from devstack import chromium, npm, testpattern
from devstack.conformance.actor import Stimulus
from devstack.livekit import LiveKitServer

LABELS = ("video", "audio", "video2", "audio2")
READY_SECONDS = 30.0
"""Until all tracks are published, from the start of the browser or from a reload on."""


def unavailable() -> str:
    """Return why a browser publisher cannot run here; empty when it can."""
    if chromium.find() is None:
        return "no chromium or google-chrome is installed"
    return "" if npm.available() else "npm is not installed"


def token(server: LiveKitServer, room: str, identity: str, *, hidden: bool = False) -> str:
    """Return an access token to join a room."""
    grants = api.VideoGrants(room_join=True, room=room, hidden=hidden, can_publish=not hidden)
    access = api.AccessToken(server.api_key, server.api_secret).with_identity(identity)
    return str(access.with_grants(grants).to_jwt())


@dataclass
class BrowserPublisher:
    """A Chromium that publishes; use as a context manager. Raises BrowserError or NpmError on entering.

    `dtx` and `red` are on by default in livekit-client for one channel and off for two; so they are here.
    """

    server: LiveKitServer
    room: str
    identity: str
    url: str = ""
    """Where the browser finds the server, unless directly (a proxy with faults)."""
    width: int = 640
    height: int = 360
    framerate: int = 30
    bitrate: int = 800  # kbit/s
    codec: str = "vp8"
    simulcast: bool = False
    dynacast: bool = False
    channels: int = 2
    dtx: bool | None = None
    red: bool | None = None
    silent: bool = False
    audio_bitrate: int = 128  # kbit/s
    tone: float = 600 / 32768  # amplitude of the continuous tones, full scale 1; testpattern's
    variant: int = 0
    variant2: int = 2
    """Of video2 and audio2."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Label → LiveKit's TrackSource, where it is not camera or microphone."""
    tab: str = ""
    """Label that is a capture of the browser's tab, at the size of the picture; only by a command (it needs a click)."""
    publish: tuple[str, ...] = ("video", "audio")
    """Labels that are published on entering, and again after a reload."""

    def __post_init__(self) -> None:
        """Say what it publishes, as `conformance.actor.Actor` does."""
        self.stimuli: tuple[Stimulus, ...] = tuple(self._stimulus(label) for label in LABELS)
        self.published: frozenset[str] = frozenset(self.publish)

    def __enter__(self) -> Self:
        """Join, publish and return when everything is published."""
        self.start = float(int(time.time()) + 1)
        """Wall clock of frame 0 and beep 0; a reload does not change it."""
        self._page = chromium.Page(
            "publish.html",
            settings=self._settings(),
            files={
                "livekit-client.js": npm.livekit_client(),
                "publish.js": chromium.PAGES / "publish.js",
                "pattern.js": chromium.PAGES / "pattern.js",
            },
            flags=("--auto-accept-this-tab-capture",) if self.tab else (),
        )
        self._restore: threading.Timer | None = None
        self._page.__enter__()
        try:
            self._state: dict[str, Any] = self._page.wait("report", READY_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the room (at most 2 s) and close the browser."""
        if self._restore is not None:
            self._restore.cancel()
        if self._page.running:
            with contextlib.suppress(chromium.BrowserError):
                self._page.evaluate("room.disconnect().then(() => true)", timeout=2)
        self._page.__exit__()

    def command(self, line: str, *, timeout: float = 30.0) -> None:
        """Carry out one command and return when it is done. Raises BrowserError."""
        name, _, argument = line.strip().partition(" ")
        if name == "kill":
            self._page.kill()
        elif name == "reload":
            self._page.devtools.call("Page.reload")
            self._state = self._page.wait("report", READY_SECONDS)
        elif name == "disconnect_network":
            self._cut_network(float(argument))
        else:
            self._state = self._page.evaluate(f"obey({json.dumps(line)})", timeout=timeout)
            if name == f"publish_{self.tab}":
                # Afterwards: the browser's bar "… is sharing" takes some of the height.
                self._page.resize(self.width, self.height)

    def sid(self, kind: str) -> str:
        """Return the sid of the newest track of a label; a full reconnect gives new ones."""
        with contextlib.suppress(chromium.BrowserError):
            self._state = self._page.evaluate("state()")
        return str(self._state["sids"][kind])

    @property
    def video_sid(self) -> str:
        """Sid of the camera."""
        return self.sid("video")

    @property
    def audio_sid(self) -> str:
        """Sid of the microphone."""
        return self.sid("audio")

    def measure(self, seconds: float) -> dict[str, list[float]]:
        """Return, in ms, flash minus beep (`offsets`) and how late each left (`flashes`, `beeps`)."""
        found: dict[str, list[float]] = self._page.evaluate(f"measure({seconds})", timeout=seconds + 10)
        return found

    def quality(self) -> dict[str, Any]:
        """Return what the browser's encoders do (layers), and the greatest lateness of the pattern in ms."""
        found: dict[str, Any] = self._page.evaluate("quality()")
        return found

    def _cut_network(self, seconds: float) -> None:
        """Stop the process through which all of the browser's packets pass, media and signalling alike.

        What it held comes late, in a burst, as after a radio's pause; `devstack.netrelay` loses packets.
        """
        process = self._page.network_process()
        process.suspend()
        self._restore = threading.Timer(seconds, process.resume)
        self._restore.daemon = True
        self._restore.start()

    def _settings(self) -> dict[str, Any]:
        return {
            "url": self.url or self.server.url,
            "token": token(self.server, self.room, self.identity),
            "codec": self.codec,
            "bitrate": self.bitrate,
            "audioBitrate": self.audio_bitrate,
            "simulcast": self.simulcast,
            "dynacast": self.dynacast,
            "dtx": self.channels == 1 if self.dtx is None else self.dtx,
            "red": self.channels == 1 if self.red is None else self.red,
            "publish": list(self.publish),
            "pattern": {
                "start": self.start,
                "framerate": self.framerate,
                "width": self.width,
                "height": self.height,
                "channels": self.channels,
                "silent": self.silent,
                "tone": self.tone,
            },
            "tracks": {label: self._track(label) for label in LABELS},
        }

    def _variant(self, label: str) -> int:
        return self.variant2 if label.endswith("2") else self.variant

    def _source(self, label: str) -> str:
        return self.sources.get(label, "CAMERA" if label.startswith("video") else "MICROPHONE")

    def _stimulus(self, label: str) -> Stimulus:
        return Stimulus(
            label=label,
            kind="video" if label.startswith("video") else "audio",
            source=self._source(label),
            variant=self._variant(label),
            silent=self.silent and label.startswith("audio"),
            layout="stereo" if self.channels == 2 else "left",
        )

    def _track(self, label: str) -> dict[str, Any]:
        look = testpattern.VARIANTS[self._variant(label)]
        return {
            "kind": label.rstrip("2"),
            "source": self._source(label),
            "tab": label == self.tab,
            "chroma": look.chroma,
            "left": look.left,
            "right": look.right,
            "beep": look.beep,
        }


def main() -> None:
    """Publish for 20 s to a livekit-server of our own and say how exact the publisher is."""
    if reason := unavailable():
        print(reason)
        sys.exit(69)
    with tempfile.TemporaryDirectory(prefix="browser-publisher-") as directory:
        server = LiveKitServer(Path(directory), progress=lambda _: None)
        server.start()
        try:
            with BrowserPublisher(
                server, "measure", "alice", width=1280, height=720, simulcast=True
            ) as publisher:
                found = publisher.measure(20)
                print(json.dumps(publisher.quality(), indent=1))
        finally:
            server.stop()
    for name, values in found.items():
        mean, spread = statistics.mean(values), statistics.pstdev(values)
        print(
            f"{name}: {len(values)}, mean {mean:+.2f} ms, sd {spread:.2f}, {min(values):+.2f} … {max(values):+.2f}"
        )


if __name__ == "__main__":
    main()
