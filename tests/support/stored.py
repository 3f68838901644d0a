"""Owns reading back what a recording has left at any kind of place: its playlists and images, each object fetched and decoded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from devstack.mediacheck import MediaReport, check
from egress_recorder.playlist import Entry, entries_of
from support.pictures import counter, decoded
from support.storage_places import Place


@dataclass(frozen=True)
class Stored:
    """Objects of one place; `directory` takes what is fetched."""

    place: Place
    directory: Path

    def read(self, key: str) -> bytes:
        """Return an object, which must be there."""
        found = self.place.open().read(key)
        assert found is not None, f"{key} is not there"
        return found

    def fetch(self, key: str) -> Path:
        """Copy an object to the disk."""
        path = self.directory / Path(key).name
        path.write_bytes(self.read(key))
        return path

    def entries(self, playlist: str) -> list[Entry]:
        """Return what a playlist names now, none while there is none; each of them must be there."""
        text = self.place.open().read(playlist)
        entries = entries_of(text.decode()) if text is not None else []
        for entry in entries:
            self.read(self._beside(playlist, entry.uri))
        return entries

    def until_named(self, playlist: str, count: int, timeout: float = 40.0) -> None:
        """Wait until a playlist names so many segments."""
        deadline = time.monotonic() + timeout
        while len(entries := self.entries(playlist)) < count:
            assert time.monotonic() < deadline, entries
            time.sleep(0.2)

    def segments(self, playlist: str) -> MediaReport:
        """Decode the MPEG-TS segments that a playlist names, one after the other."""
        whole = self.directory / "whole.ts"
        keys = [self._beside(playlist, entry.uri) for entry in self.entries(playlist)]
        whole.write_bytes(b"".join(self.read(key) for key in keys))
        return check(whole)

    def image(self, key: str) -> tuple[tuple[int, int], int | None]:
        """Decode an image; return its size and the number that it shows."""
        picture = decoded(self.fetch(key))
        return (picture.width, picture.height), counter(picture)

    @staticmethod
    def _beside(playlist: str, uri: str) -> str:
        return f"{playlist.rpartition('/')[0]}/{uri}"
