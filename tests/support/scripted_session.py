"""Owns a session whose source follows a script instead of a room, and pictures for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from egress_recorder import ipc
from egress_recorder.media.values import Picture
from egress_recorder.session import Session
from egress_recorder.sources.base import RoomEnd
from egress_recorder.vocabulary import Encoding, ParticipantSource

GREY = Picture(bytes([128]) * (64 * 36 * 3 // 2), 64, 36)


class ScriptedSource:
    """Runs a script instead of a room."""

    def __init__(self, script: Callable[[], Awaitable[RoomEnd | None]]) -> None:
        self._script = script
        self._left = asyncio.Event()

    async def run(self) -> RoomEnd:
        end = await self._script()
        if end is None:
            await self._left.wait()
            return RoomEnd.LEFT
        return end

    async def leave(self) -> None:
        self._left.set()

    def renew(self, token: str) -> None:
        raise NotImplementedError

    def missing(self) -> str:
        return "participant alice"


def request(directory: Path, *, continuing: bool = False, **fields: Any) -> ipc.CaptureRequest:
    return ipc.CaptureRequest(
        url="ws://127.0.0.1",
        room_name="r",
        source=ParticipantSource(identity="alice"),
        encoding=Encoding(width=64, height=36, video_bitrate=100),
        token="t",
        directory=str(directory),
        continuing=continuing,
        **fields,
    )


async def run(
    wanted: ipc.CaptureRequest, script: Callable[[Session], Awaitable[RoomEnd | None]]
) -> tuple[ipc.Ended, list[Any]]:
    events: list[Any] = []
    session = Session(wanted, events.append)
    session.start_media()
    ended = await asyncio.wait_for(session.run(ScriptedSource(lambda: script(session))), 20)
    return ended, events


def publish(session: Session, seconds: float = 1.0) -> float:
    """Deliver a second of pictures that were captured just now; return when the last one was."""
    now = time.monotonic()
    session.joined("RM_x")
    session.present(now)
    session.pipeline.opened("v", "video", now - seconds)
    for number in range(11):
        session.pipeline.picture("v", GREY, now - seconds + number * seconds / 10)
    return now


async def until_started(session: Session) -> None:
    while session.pipeline.origin is None:  # noqa: ASYNC110 - the media thread knows no event loop
        await asyncio.sleep(0.005)
