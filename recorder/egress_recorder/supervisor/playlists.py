"""Owns the playlists of one HLS output in one storage: which segments are there, and their text in the storage.

A playlist names only what the storage has. The first write of each of the two overwrites nothing: a playlist of this recording is
gone on with, in place of a foreign one another name is used.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from egress_recorder import playlist
from egress_recorder.errors import AuthorizationError, RecorderError
from egress_recorder.naming import unique_filename
from egress_recorder.playlist import Entry
from egress_recorder.segmentation import relative_to
from egress_recorder.storage import ObjectExistsError, ObjectStore
from egress_recorder.threads import in_thread

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Published:
    """What of an HLS output is in a storage; `segments` are (key, location)."""

    playlist: str = ""
    location: str = ""
    live: str = ""
    live_location: str = ""
    segments: Sequence[tuple[str, str]] = field(default=())


class Playlists:
    """Main and live playlist. `adopt` comes first; `add` and `publish` then in the order of the segments."""

    def __init__(
        self, storage: ObjectStore, *, name: str, egress_id: str, key: str, live: str, target: int
    ) -> None:
        """`name` is for logs; `live` "" for none; `target` the seconds that were asked for."""
        self._storage = storage
        self._name = name
        self._egress_id = egress_id
        self.key, self.live = key, live
        self._own_live = live and unique_filename(live, egress_id)
        self._target = target
        self._entries: list[Entry] = []
        self._segments: list[tuple[str, str]] = []
        self._exists = self._live_exists = False
        self.is_stored = False
        """True when the storage has the newest text."""

    @property
    def published(self) -> Published:
        """What is there now, or will be with the next `publish`."""
        return Published(
            playlist=self.key,
            location=self._storage.location(self.key) if self._exists else "",
            live=self.live,
            live_location=self._storage.location(self.live) if self._live_exists else "",
            segments=tuple(self._segments),
        )

    async def adopt(self, earlier: str = "") -> None:
        """Look for a playlist of this recording and go on with it. `earlier`: the key that a former recorder used.

        Where a former recorder left one that cannot be read (a key that may only write), a name of our own is taken.
        Raises RecorderError when the storage does not answer.
        """
        if earlier and earlier != self.key:
            # The former recorder found the name taken; its live playlist goes on too.
            self.key, self.live = earlier, self._own_live
        try:
            text = await in_thread("playlist", lambda: self._storage.read(self.key))
        except AuthorizationError:
            text = None
        if text is None:
            if earlier:
                self._take_another_name()
            return
        entries = self._own_entries(text.decode(errors="replace"))
        if entries is None:
            self._warn_taken(self.key)
            self._take_another_name()
            return
        self._entries = entries
        directory = self.key.rpartition("/")[0]
        keys = [f"{directory}/{one.uri}" if directory else one.uri for one in self._entries]
        self._segments = [(key, self._storage.location(key)) for key in keys]
        self._exists = True

    def _own_entries(self, text: str) -> list[Entry] | None:
        """Return what this recording has in a playlist, None when it is another one's or nobody's."""
        if playlist.owner(text) != self._egress_id:
            return None
        try:
            return playlist.entries_of(text)
        except ValueError:
            return None

    def add(self, key: str, entry: Entry, *, init: str = "") -> None:
        """Note a segment that the storage has now, and the key of what initialises it."""
        # A playlist's first segment continues nothing.
        follows = bool(self._entries)
        uri, init = relative_to(self.key, key), relative_to(self.key, init)
        self._entries.append(
            replace(entry, uri=uri, init=init, discontinuity=entry.discontinuity and follows)
        )
        self._segments.append((key, self._storage.location(key)))
        self.is_stored = False

    async def publish(self, *, ended: bool = False) -> None:
        """Bring the text into the storage. Raises RecorderError."""
        if not self._entries:
            return
        made = {"target": self._target, "egress_id": self._egress_id, "ended": ended}
        main = playlist.main_playlist(self._entries, **made)  # type: ignore[arg-type]
        if not self._exists:
            await self._create(main)
        else:
            await self._put(self.key, main, overwrite=True)
        if self.live:
            live = playlist.live_playlist(self._entries, **made)  # type: ignore[arg-type]
            if not self._live_exists:
                await self._create_live(live)
            else:
                await self._put(self.live, live, overwrite=True)
        self.is_stored = True

    async def _create(self, text: str) -> None:
        try:
            await self._put(self.key, text, overwrite=False)
        except ObjectExistsError:
            self._warn_taken(self.key)
            self._take_another_name()
            await self._put(self.key, text, overwrite=True)
        self._exists = True

    async def _create_live(self, text: str) -> None:
        """As `_create`; only its owner is asked for, because its text is made of the main playlist's entries."""
        try:
            await self._put(self.live, text, overwrite=self.live == self._own_live)
        except ObjectExistsError:
            if not await self._is_own(self.live):
                self._warn_taken(self.live)
                self.live = self._own_live
            await self._put(self.live, text, overwrite=True)
        self._live_exists = True

    async def _is_own(self, key: str) -> bool:
        """Return whether a playlist is this recording's; one that cannot be read (a key that may only write) is not."""
        try:
            text = await in_thread("playlist", lambda: self._storage.read(key))
        except AuthorizationError:
            return False
        return text is not None and playlist.owner(text.decode(errors="replace")) == self._egress_id

    def _take_another_name(self) -> None:
        """The recording's own name; its segments are relative to the same directory."""
        self.key = unique_filename(self.key, self._egress_id)
        self.live = self._own_live

    def _warn_taken(self, key: str) -> None:
        logger.warning(
            "a playlist of that name exists, another name is used",
            extra={"output": self._name, "taken": key},
        )

    async def _put(self, key: str, text: str, *, overwrite: bool) -> None:
        data = text.encode()

        def put() -> None:
            self._storage.put(key, data, content_type=playlist.CONTENT_TYPE, overwrite=overwrite)

        await in_thread("playlist", put)


async def publish_or_log(playlists: Playlists, name: str) -> bool:
    """Publish while recording: what fails is made up for by the next segment; return whether it worked."""
    try:
        await playlists.publish()
    except RecorderError as error:
        logger.warning("a playlist was not written", extra={"output": name, "error": str(error)})
        return False
    return True
