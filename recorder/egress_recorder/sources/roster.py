"""Owns what of a room is recorded: subscribes to what is selected, follows what changes, tells who is there.

Level-triggered: every room event only leads to `sync`, which compares what the room lists with what is recorded, so
that a lost or reordered event heals with the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from livekit import rtc

from egress_recorder.errors import RecorderError
from egress_recorder.media.values import MediaSink
from egress_recorder.sources.base import SourceListener
from egress_recorder.sources.listing import describe, refuse_encrypted, view, without_media
from egress_recorder.sources.selection import STILL_SOURCES, Publication, Selection
from egress_recorder.sources.silence import MEDIA_TIMEOUT, Silence
from egress_recorder.sources.streams import Pump

UNPUBLISH_GRACE = 2.0
"""Seconds after the selected tracks ended before that counts: whoever reconnects or reloads a page unpublishes first."""
WATCH_SECONDS = 1.0
_log = logging.getLogger(__name__)

Listed = dict[str, tuple[rtc.RemoteTrackPublication, rtc.RemoteParticipant]]


class Roster:
    """The recorded tracks of one room after another. Runs in the event loop."""

    def __init__(
        self,
        selection: Selection,
        sink: MediaSink,
        listener: SourceListener,
        *,
        partial: bool,
        clock: Callable[[], float],
    ) -> None:
        """`partial`: begin with what is there of several named tracks (a later part of a recording)."""
        self._selection, self._partial = selection, partial
        self._sink, self._listener, self._clock = sink, listener, clock
        self._room: rtc.Room | None = None
        self._pumps: dict[str, Pump] = {}
        self._muted: dict[str, bool] = {}
        self._asked: set[str] = set()
        self._chosen: list[Publication] = []
        self._owners: set[str] = set()
        self._began = False
        self._was_present = False
        self._told: object = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._silence = Silence()
        self._failures: dict[str, str] = {}

    def missing(self) -> str:
        """Name what is awaited."""
        return self._selection.missing(self._chosen)

    def enter(self, room: rtc.Room) -> None:
        """We are in a (new) room."""
        self._room = room
        self._asked.clear()
        self._silence.restart(self._clock())
        self.sync()
        self._spawn(self._watch(room))

    def lost(self) -> None:
        """The room is gone; nobody knows who is still in it."""
        self.close()
        self._lost_presence(certain=False)

    def close(self) -> None:
        """End all streams."""
        for sid in [*self._pumps]:
            self._stop(sid)

    def reconnected(self) -> None:
        """After a full reconnect of ours nothing is subscribed any more."""
        self._asked = {sid for sid in self._asked if sid in self._pumps}
        self._silence.restart(self._clock())
        self.sync()

    def subscription_failed(self, participant: rtc.RemoteParticipant, sid: str, error: str) -> None:
        """A track could not be subscribed (a codec that is unknown here); `_watch` tells when it does not come."""
        _log.warning("subscribing failed", extra={"track": sid, "of": participant.identity, "error": error})
        self._failures[sid] = error

    def participant_gone(self, participant: rtc.RemoteParticipant) -> None:
        """A participant left. Without a reason it may be our own full reconnect, or theirs."""
        certain = participant.disconnect_reason is not None
        if participant.identity == self._selection.identity:
            self._lost_presence(certain=certain)
            self.sync()
        else:
            self.sync(certain=certain and participant.identity in self._owners)

    def sync(self, *, certain: bool = False) -> None:
        """Compare what the room lists with what is recorded. `certain`: who is missing now left for good."""
        room = self._room
        if room is None or not room.isconnected():
            return
        listed: Listed = {
            publication.sid: (publication, participant)
            for participant in room.remote_participants.values()
            for publication in participant.track_publications.values()
        }
        had_tracks = bool(self._chosen)
        try:
            self._chosen = self._selection.choose((view(*item) for item in listed.values()), self._clock())
            for item in self._chosen:
                refuse_encrypted(item)
        except RecorderError as error:
            self._listener.refused(error)
            return
        if not (self._began or self._partial or self._selection.complete(self._chosen)):
            return
        self._began = self._began or bool(self._chosen)
        if self._chosen:
            self._owners = {item.identity for item in self._chosen}
        for item in self._chosen:
            self._follow(listed[item.sid][0], item)
        for sid in [*self._pumps]:
            if (
                sid not in {item.sid for item in self._chosen}
                or listed[sid][0].track is not self._pumps[sid].track
            ):
                self._stop(sid)
        self._asked &= set(listed)
        self._tell_presence(room, had_tracks=had_tracks, certain=certain)
        self._tell_tracks(listed)

    def _follow(self, publication: rtc.RemoteTrackPublication, item: Publication) -> None:
        track = publication.track
        if track is None:
            if item.sid not in self._asked:
                self._asked.add(item.sid)
                publication.set_subscribed(True)
            return
        pump = self._pumps.get(item.sid)
        if pump is not None and pump.track is not track:
            self._stop(item.sid)
            pump = None
        if pump is None:
            self._pumps[item.sid] = Pump(
                publication, self._sink, still=item.source in STILL_SOURCES, clock=self._clock
            )
            self._muted[item.sid] = False
        if self._muted.get(item.sid) != publication.muted:
            self._muted[item.sid] = publication.muted
            self._sink.muted(item.sid, publication.muted, self._clock())

    def _tell_presence(self, room: rtc.Room, *, had_tracks: bool, certain: bool) -> None:
        if self._selection.identity:
            if self._selection.identity in room.remote_participants:
                self._was_present = True
                self._listener.present(self._clock())
        elif self._chosen:
            self._was_present = True
            self._listener.present(self._clock())
        elif certain or had_tracks:
            self._lost_presence(certain=False)
            self._spawn(self._confirm_unpublished(room, left=certain))

    async def _confirm_unpublished(self, room: rtc.Room, *, left: bool) -> None:
        """The tracks went while their owners stayed, or these left: an end, unless they are replaced soon."""
        await asyncio.sleep(UNPUBLISH_GRACE)
        if self._chosen or id(room) != id(self._room) or not room.isconnected():
            return
        if left or self._owners & set(room.remote_participants):
            self._lost_presence(certain=True)

    async def _watch(self, room: rtc.Room) -> None:
        """Tell of tracks that are published and never deliver anything."""
        while id(room) == id(self._room):
            await asyncio.sleep(WATCH_SECONDS)
            for sid, pump in self._pumps.items():
                if pump.heard:
                    self._silence.heard(sid)
            if not room.isconnected():
                self._silence.restart(self._clock())
                continue
            for item in self._overdue(room):
                publication = room.remote_participants[item.identity].track_publications[item.sid]
                reason = self._failures.get(item.sid, "")
                error = without_media(describe(publication, item), item.identity, MEDIA_TIMEOUT, reason)
                if self._silence.all_silent:
                    self._listener.refused(error)
                else:
                    _log.warning("a track is silent", extra={"error": str(error)})

    def _overdue(self, room: rtc.Room) -> list[Publication]:
        sending = {
            item.sid: item
            for item in self._chosen
            if (participant := room.remote_participants.get(item.identity)) is not None
            and (publication := participant.track_publications.get(item.sid)) is not None
            and not publication.muted
        }
        return [sending[sid] for sid in self._silence.overdue(sending, self._clock())]

    def _lost_presence(self, *, certain: bool) -> None:
        if self._was_present:
            self._listener.absent(self._clock(), certain=certain)

    def _tell_tracks(self, listed: Listed) -> None:
        tracks = tuple(describe(listed[item.sid][0], item) for item in self._chosen)
        # LiveKit's {publisher_identity}: of the video's publisher, else of the audio's.
        by_kind = {item.kind: item.identity for item in self._chosen}
        publisher = self._selection.identity or by_kind.get("video") or by_kind.get("audio") or ""
        if (tracks, publisher) != self._told:
            self._told = (tracks, publisher)
            self._listener.tracks(tracks, publisher)

    def _stop(self, sid: str) -> None:
        self._muted.pop(sid, None)
        self._asked.discard(sid)
        if pump := self._pumps.pop(sid, None):
            self._spawn(pump.close())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
