"""Owns a participant in a real browser: it sends what the Python SDK cannot, true stereo sound (440 Hz left, 660 Hz right).

The picture is a canvas with the counter row of `testpattern`; frame numbers begin at 0 when the page starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from livekit import api

from devstack import chromium, npm, testpattern
from devstack.livekit import LiveKitServer


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
    """A Chromium that publishes; use as a context manager. Raises BrowserError or NpmError on entering."""

    server: LiveKitServer
    room: str
    identity: str
    width: int = 640
    height: int = 360
    framerate: int = 30
    bitrate: int = 800
    """kbit/s"""
    codec: str = "vp8"

    def __enter__(self) -> Self:
        """Join, publish both tracks and return when they are published."""
        settings = {
            "url": self.server.url,
            "token": token(self.server, self.room, self.identity),
            "width": self.width,
            "height": self.height,
            "framerate": self.framerate,
            "bitrate": self.bitrate,
            "codec": self.codec,
            "left": testpattern.LEFT_TONE,
            "right": testpattern.RIGHT_TONE,
        }
        self._page = chromium.Page(
            "publish.html", settings=settings, files={"livekit-client.js": npm.livekit_client()}
        )
        self._page.__enter__()
        try:
            report = self._page.wait("report", 30)
        except BaseException:
            self.__exit__()
            raise
        self.start: float = report["start"]
        """Wall clock of frame 0."""
        self.video_sid: str = report["video"]
        self.audio_sid: str = report["audio"]
        return self

    def __exit__(self, *_: object) -> None:
        """Close the browser; the server notices the departure by its own time-out."""
        self._page.__exit__()
