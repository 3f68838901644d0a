"""Owns being a hidden participant of a LiveKit room: joins, stays through lost connections, leaves.

The SDK restores a connection by itself for about 19 s; one that it gives up is made anew with the newest token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable

from livekit import rtc

from egress_recorder.errors import RecorderError
from egress_recorder.media.values import MediaSink
from egress_recorder.redact import remember
from egress_recorder.sources.base import RoomEnd, SourceListener
from egress_recorder.sources.connect import connect
from egress_recorder.sources.roster import Roster
from egress_recorder.sources.selection import Selection

REJOIN_SECONDS = 60.0
"""How long a lost connection is tried to be made again (the SDK itself has tried for 19 s before)."""
_log = logging.getLogger(__name__)

_CLOSED = {
    rtc.DisconnectReason.ROOM_DELETED,
    rtc.DisconnectReason.ROOM_CLOSED,
    rtc.DisconnectReason.PARTICIPANT_REMOVED,
}
_EVENTS = (
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_unsubscribed",
    "track_muted",
    "track_unmuted",
    "participant_connected",
)


class LiveKitSource:
    """A `Source` for one room. All methods run in the event loop that `run` runs in."""

    def __init__(
        self,
        *,
        url: str,
        token: str,
        selection: Selection,
        partial: bool,
        sink: MediaSink,
        listener: SourceListener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`partial`: begin with what is there of several named tracks (a later part of a recording)."""
        self._url, self._token = url, token
        self._listener, self._clock = listener, clock
        self._roster = Roster(selection, sink, listener, partial=partial, clock=clock)
        self._room: rtc.Room | None = None
        self._ended: asyncio.Future[RoomEnd | None] | None = None
        self._leaving = False

    # ---- Source ------------------------------------------------------------------------------------------

    async def run(self) -> RoomEnd:
        """Join and stay, through lost connections, until the room is over."""
        await self._join()
        while True:
            assert self._ended is not None
            end = await self._ended
            if end is not None:
                self._roster.close()
                return end
            self._listener.disconnected(self._clock())
            self._roster.lost()
            if not await self._rejoin():
                return RoomEnd.LEFT if self._leaving else RoomEnd.LOST
            self._listener.connected(self._clock())

    async def leave(self) -> None:
        """End the streams and disconnect."""
        self._leaving = True
        self._roster.close()
        if self._room is not None:
            with contextlib.suppress(TimeoutError, RuntimeError):
                await asyncio.wait_for(self._room.disconnect(), 2)
        self._finish(RoomEnd.LEFT)

    def renew(self, token: str) -> None:
        """Use this token at the next join."""
        self._token = token

    def missing(self) -> str:
        """Name what is awaited."""
        return self._roster.missing()

    # ---- connection --------------------------------------------------------------------------------------

    async def _join(self) -> None:
        room = rtc.Room()
        for event in _EVENTS:
            self._on(room, event, lambda *_: self._roster.sync())
        self._on(room, "participant_disconnected", self._roster.participant_gone)
        self._on(room, "track_subscription_failed", self._roster.subscription_failed)
        self._on(room, "token_refreshed", lambda: self._refreshed(room))
        self._on(room, "reconnecting", lambda: self._listener.disconnected(self._clock()))
        self._on(room, "reconnected", self._reconnected)
        self._on(room, "disconnected", self._disconnected)
        self._ended = asyncio.get_running_loop().create_future()
        self._room = room
        await connect(room, self._url, self._token)
        room_id = await self._room_id(room)
        self._listener.joined(room_id)
        self._roster.enter(room)

    def _on(self, room: rtc.Room, event: str, handle: Callable[..., None]) -> None:
        """Events of a room that was given up (an attempt that succeeded late) mean nothing any more."""

        def current(*arguments: object) -> None:
            if room is self._room:
                handle(*arguments)

        room.on(event, current)

    async def _room_id(self, room: rtc.Room) -> str:
        # The sid comes with the join or shortly after; a recording does not wait for it.
        with contextlib.suppress(TimeoutError, RuntimeError):
            return await asyncio.wait_for(room.sid, 2)
        return ""

    def _refreshed(self, room: rtc.Room) -> None:
        """The server renewed the token (it does so while we are in the room): a later join must not use the old one."""
        token = getattr(room, "_token", None)
        if isinstance(token, str) and token:
            remember(token)
            self._token = token

    async def _rejoin(self) -> bool:
        deadline, pause = self._clock() + REJOIN_SECONDS, 0.5
        while not self._leaving and self._clock() < deadline:
            try:
                await self._join()
            except RecorderError as error:
                # Also a refused token: a renewed one may be on its way.
                _log.warning("rejoining failed, trying again", extra={"error": str(error)})
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))
                pause = min(pause * 2, 8.0)
            else:
                return True
        return False

    def _disconnected(self, reason: int) -> None:
        name = rtc.DisconnectReason.Name(reason)
        _log.info("disconnected from the room", extra={"reason": name})
        if self._leaving:
            self._finish(RoomEnd.LEFT)
        elif reason in _CLOSED:
            self._finish(RoomEnd.CLOSED)
        elif reason == rtc.DisconnectReason.DUPLICATE_IDENTITY:
            self._finish(RoomEnd.SUPERSEDED)
        else:
            self._finish(None)

    def _finish(self, end: RoomEnd | None) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(end)

    def _reconnected(self) -> None:
        self._listener.connected(self._clock())
        self._roster.reconnected()
